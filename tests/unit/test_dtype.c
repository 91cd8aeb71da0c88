/* test_dtype.c: rounding to half formats: exact numbers survive, ties go to even, and the processor's conversions agree
 * with the definition. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/dtype.h"
#include "device/cpu/convert.h"

static uint32_t bits_of(float x) {
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}

static float float_of(uint32_t u) {
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

static void every_half_survives(void **state) {
    (void)state;
    for (uint32_t h = 0; h < 65536; h++) {
        const bool nan16 = (h & 0x7FFF) > 0x7C00, nan_b = (h & 0x7FFF) > 0x7F80;
        const float f = hm_f16_to_f32((uint16_t)h), b = hm_bf16_to_f32((uint16_t)h);
        if (nan16)
            assert_true(f != f && (hm_f32_to_f16(f) & 0x7FFF) > 0x7C00);
        else
            assert_int_equal(hm_f32_to_f16(f), h);
        if (nan_b)
            assert_true(b != b && (hm_f32_to_bf16(b) & 0x7FFF) > 0x7F80);
        else
            assert_int_equal(hm_f32_to_bf16(b), h);
    }
}

static void known_numbers(void **state) {
    (void)state;
    assert_int_equal(hm_f32_to_f16(1.0f), 0x3C00);
    assert_int_equal(hm_f32_to_f16(65504.0f), 0x7BFF);
    assert_int_equal(hm_f32_to_f16(65519.996f), 0x7BFF);
    assert_int_equal(hm_f32_to_f16(65520.0f), 0x7C00); /* half way to 65536 */
    assert_int_equal(hm_f32_to_f16(-1e30f), 0xFC00);
    assert_int_equal(hm_f32_to_f16(0x1p-24f), 0x0001);
    assert_int_equal(hm_f32_to_f16(0x1p-25f), 0x0000);        /* a tie: to even */
    assert_int_equal(hm_f32_to_f16(0x1.000002p-25f), 0x0001); /* just above */
    assert_int_equal(hm_f32_to_f16(1.0f + 0x1p-11f), 0x3C00); /* a tie: to even */
    assert_int_equal(hm_f32_to_f16(1.0f + 0x3p-11f), 0x3C02); /* a tie: to even, upwards */
    assert_int_equal(hm_f32_to_bf16(1.0f + 0x1p-8f), 0x3F80); /* a tie */
    assert_int_equal(hm_f32_to_bf16(1.0f + 0x3p-8f), 0x3F82);
    assert_int_equal(hm_f32_to_bf16(3.4e38f), 0x7F80);
}

/* Every sign and exponent, fractions around all ties, infinities and NaN, in arrays of awkward lengths. */
static void instructions_agree(void **state) {
    (void)state;
    enum { N = 1009 };
    static float x[N], back[N];
    static uint16_t y[N];
    uint32_t u = 0;
    for (int round = 0; round < 400; round++) {
        for (int i = 0; i < N; i++, u += 0x00001F35u * 7)
            x[i] = float_of(round % 2 ? u : (u & 0xFFFFE000u) | (u >> 3 & 1 ? 0x1000u : 0));
        for (int isa = 0; isa < HM_ISA_COUNT; isa++) {
            hm_isa have;
            if (hm_isa_parse(hm_isa_name((hm_isa)isa), &have) != HM_OK)
                continue;
            for (int half = HM_F16; half <= HM_BF16; half++) {
                hm_convert(HM_F32, x, (hm_dtype)half, y, N, have, 1);
                hm_convert((hm_dtype)half, y, HM_F32, back, N, have, 1);
                for (int i = 0; i < N; i++) {
                    const uint16_t want = half == HM_F16 ? hm_f32_to_f16(x[i]) : hm_f32_to_bf16(x[i]);
                    const float wide = half == HM_F16 ? hm_f16_to_f32(want) : hm_bf16_to_f32(want);
                    if (x[i] != x[i]) {
                        assert_true(back[i] != back[i]);
                        continue;
                    }
                    if (y[i] != want || bits_of(back[i]) != bits_of(wide))
                        fail_msg("%s: %a becomes %04x, not %04x", hm_isa_name(have), (double)x[i], y[i], want);
                }
            }
        }
    }
}

static void between_halves(void **state) {
    (void)state;
    const uint16_t x[3] = {0x3C00, 0x7BFF, 0x0001}; /* 1, 65504, 2^-24 */
    uint16_t y[3];
    hm_convert(HM_F16, x, HM_BF16, y, 3, hm_isa_best(), 1);
    for (int i = 0; i < 3; i++)
        assert_int_equal(y[i], hm_f32_to_bf16(hm_f16_to_f32(x[i])));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_half_survives),
        cmocka_unit_test(known_numbers),
        cmocka_unit_test(instructions_agree),
        cmocka_unit_test(between_halves),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
