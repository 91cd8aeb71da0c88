/* test_base.c: status messages, checked allocation, the random generator's golden values. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/rng.h"

static void message_survives_nesting(void **state) {
    (void)state;
    assert_int_equal(hm_fail(HM_ERR_IO, "cannot open %s", "a.json"), HM_ERR_IO);
    assert_int_equal(hm_fail_in(HM_ERR_IO, "while reading %s", "b"), HM_ERR_IO);
    assert_string_equal(hm_error_message(), "while reading b: cannot open a.json");
}

static void huge_allocations_fail(void **state) {
    (void)state;
    void *p = NULL;
    assert_int_equal(hm_alloc(&p, SIZE_MAX / 2, 16), HM_ERR_MEMORY);
    assert_null(p);
    assert_int_equal(hm_alloc(&p, 0, 16), HM_OK);
    assert_null(p);
    size_t cap = 0;
    assert_int_equal(hm_grow(&p, &cap, 17, 8), HM_OK);
    assert_int_equal(cap, 32);
    free(p);
}

static void generator_matches_its_table(void **state) {
    (void)state;
    assert_true(hm_rng_key(0, "a") == 0xaf63dc4c8601ec8cull);
    assert_true(hm_rng_bits(hm_rng_key(0, "a"), 0) == 0x5f29c2aadd9b8527ull);
    assert_true(hm_rng_key(11, "images") == 0x77c85c023b40b70cull);
    assert_true(hm_rng_bits(hm_rng_key(11, "images"), 0) == 0x1bc3a03ad88547c7ull);
    assert_true(2 * hm_rng_uniform(hm_rng_key(0, "a"), 1) - 1 == 0x1.fe13c4p-1f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(message_survives_nesting),
        cmocka_unit_test(huge_allocations_fail),
        cmocka_unit_test(generator_matches_its_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
