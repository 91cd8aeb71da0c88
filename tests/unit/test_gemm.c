/* test_gemm.c: products against plain loops, and the same bits for every number of threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <omp.h>
#include <stdlib.h>
#include <string.h>

#include "base/dtype.h"
#include "base/rng.h"
#include "device/cpu/gemm.h"
#include "device/cpu/gemm_bf16.h"

static float *numbers(const char *name, size_t n) {
    float *const x = malloc(n * sizeof *x);
    const uint64_t key = hm_rng_key(1, name);
    assert_non_null(x);
    for (size_t i = 0; i < n; i++)
        x[i] = hm_rng_uniform(key, i) - 0.5f;
    return x;
}

static void check(bool ta, bool tb, int64_t m, int64_t n, int64_t k) {
    float *const a = numbers("a", (size_t)(m * k)), *const b = numbers("b", (size_t)(k * n));
    float *const c = malloc(sizeof *c * (size_t)(m * n)), *const d = malloc(sizeof *d * (size_t)(m * n));
    const int64_t lda = ta ? m : k, ldb = tb ? k : n;
    for (int64_t i = 0; i < m * n; i++)
        c[i] = d[i] = NAN; /* beta 0 must not read it */
    assert_int_equal(hm_gemm(ta, tb, m, n, k, 1, a, lda, b, ldb, 0, c, n, 1), HM_OK);
    assert_int_equal(hm_gemm(ta, tb, m, n, k, 1, a, lda, b, ldb, 0, d, n, 3), HM_OK);
    assert_memory_equal(c, d, (size_t)(m * n) * sizeof *c);
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++) {
            double want = 0;
            for (int64_t l = 0; l < k; l++)
                want += (double)a[ta ? l * m + i : i * k + l] * (double)b[tb ? j * k + l : l * n + j];
            assert_true(fabs(c[i * n + j] - want) <= 1e-6 * sqrt((double)k));
        }
    free(a);
    free(b);
    free(c);
    free(d);
}

static void products(void **state) {
    (void)state;
    for (int flags = 0; flags < 4; flags++) {
        check(flags & 1, flags & 2, 1, 1, 1);
        check(flags & 1, flags & 2, 33, 1, 65);
        check(flags & 1, flags & 2, 1, 33, 65);
        check(flags & 1, flags & 2, 200, 97, 33);
        check(flags & 1, flags & 2, 4, 256, 1025);
        check(flags & 1, flags & 2, 401, 193, 64);
    }
}

static void nothing_to_sum(void **state) {
    (void)state;
    float c[2] = {NAN, 3};
    assert_int_equal(hm_gemm(false, false, 1, 1, 0, 1, c, 1, c, 1, 0, c, 1, 2), HM_OK);
    assert_int_equal(hm_gemm(false, false, 1, 1, 0, 1, c, 1, c, 1, 2, c + 1, 1, 2), HM_OK);
    assert_true(c[0] == 0 && c[1] == 6);
}

static void serial_restores_threads(void **state) {
    (void)state;
    omp_set_num_threads(3);
    float a = 2, b = 3, c = 0;
    assert_true(hm_gemm_serial(false, false, 1, 1, 1, 1, &a, 1, &b, 1, 0, &c, 1));
    assert_true(c == 6);
    const uint16_t half = hm_f32_to_bf16(3);
    assert_true(hm_gemm_bf16_serial(false, false, 1, 1, 1, &half, 1, &half, 1, &c, 1));
    assert_true(c == 9);
    assert_int_equal(omp_get_max_threads(), 3);
}

/* Rows of bf16 longer than the matrix, as the columns of a head are. */
static void check_bf16(bool ta, bool tb, int64_t m, int64_t n, int64_t k, int64_t pad) {
    const int64_t lda = (ta ? m : k) + pad, ldb = (tb ? k : n) + pad, ldc = n + pad;
    const size_t count_a = (size_t)(lda * (ta ? k : m)), count_b = (size_t)(ldb * (tb ? n : k));
    float *const a = numbers("a", count_a), *const b = numbers("b", count_b);
    float *const c = malloc((size_t)(m * ldc) * sizeof *c);
    uint16_t *const half_a = malloc(count_a * sizeof *half_a), *const half_b = malloc(count_b * sizeof *half_b);
    for (size_t i = 0; i < count_a; i++)
        a[i] = hm_bf16_to_f32(half_a[i] = hm_f32_to_bf16(a[i]));
    for (size_t i = 0; i < count_b; i++)
        b[i] = hm_bf16_to_f32(half_b[i] = hm_f32_to_bf16(b[i]));
    for (int64_t i = 0; i < m * ldc; i++)
        c[i] = 7;
    assert_true(hm_gemm_bf16_serial(ta, tb, m, n, k, half_a, lda, half_b, ldb, c, ldc));
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < ldc; j++) {
            double want = j < n ? 0 : 7;
            for (int64_t l = 0; j < n && l < k; l++)
                want += (double)a[ta ? l * lda + i : i * lda + l] * (double)b[tb ? j * ldb + l : l * ldb + j];
            assert_true(fabs(c[i * ldc + j] - want) <= 1e-6 * sqrt((double)k));
        }
    free(a);
    free(b);
    free(c);
    free(half_a);
    free(half_b);
}

static void products_of_bf16(void **state) {
    (void)state;
    for (int flags = 0; flags < 8; flags++) {
        const int64_t pad = flags & 4 ? 5 : 0;
        check_bf16(flags & 1, flags & 2, 1, 1, 1, pad);
        check_bf16(flags & 1, flags & 2, 33, 1, 65, pad);
        check_bf16(flags & 1, flags & 2, 1, 33, 65, pad);
        check_bf16(flags & 1, flags & 2, 33, 17, 1, pad);
        check_bf16(flags & 1, flags & 2, 128, 97, 64, pad);
        check_bf16(flags & 1, flags & 2, 37, 64, 339, pad);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products),
        cmocka_unit_test(nothing_to_sum),
        cmocka_unit_test(serial_restores_threads),
        cmocka_unit_test(products_of_bf16),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
