/* test_vec.c: accuracy and limits of the inline float functions against libm in double. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "device/cpu/vec.h"

static float cdf(float x) {
    float density;
    return hm_normal_cdff(x, &density);
}

static float density(float x) {
    float d;
    (void)hm_normal_cdff(x, &d);
    return d;
}

static double ref_softplus(double x) {
    return fmax(x, 0) + log1p(exp(-fabs(x)));
}

static double ref_sigmoid(double x) {
    return 1 / (1 + exp(-x));
}

static double ref_cdf(double x) {
    return 0.5 * erfc(-x / sqrt(2));
}

static double ref_density(double x) {
    return exp(-0.5 * x * x) / sqrt(2 * M_PI);
}

/* Largest error in units of the last place of the exact result over a grid of [lo, hi]. */
static double worst_ulp(float (*f)(float), double (*ref)(double), double lo, double hi, float *where) {
    double worst = 0;
    for (int i = 0; i <= 200003; i++) {
        const float x = (float)(lo + (hi - lo) * i / 200003);
        const double want = ref((double)x), got = (double)f(x);
        const double ulp = ldexp(1, ilogb(fmax(fabs(want), 1.2e-38)) - 23), error = fabs(got - want) / ulp;
        if (!(error <= worst)) {
            worst = error;
            *where = x;
        }
    }
    return worst;
}

static void check(const char *name, float (*f)(float), double (*ref)(double), double lo, double hi, double allowed) {
    float where = 0;
    const double worst = worst_ulp(f, ref, lo, hi, &where);
    print_message("%-10s [%g, %g]: %.2f ulp at %.9g\n", name, lo, hi, worst, (double)where);
    assert_true(worst <= allowed);
}

static void accuracy(void **state) {
    (void)state;
    check("exp", hm_expf, exp, -87, 88.7, 2);
    check("exp", hm_expf, exp, -1, 1, 2);
    check("log", hm_logf, log, 1e-6, 2, 2);
    check("log", hm_logf, log, 0.9, 1.1, 2);
    check("log", hm_logf, log, 1, 3e38, 2);
    check("log", hm_logf, log, 1e-45, 1e-37, 2);
    check("log1p", hm_log1pf, log1p, -0.99, 1, 4);
    check("log1p", hm_log1pf, log1p, -1e-3, 1e-3, 4);
    check("log1p", hm_log1pf, log1p, 1, 1e9, 4);
    check("erf", hm_erff, erf, -6, 6, 4);
    check("erf", hm_erff, erf, -1e-3, 1e-3, 4);
    check("sigmoid", hm_sigmoidf, ref_sigmoid, -85, 20, 4);
    check("softplus", hm_softplusf, ref_softplus, -85, 100, 4);
    check("sin", hm_sinf, sin, -0.7, 0.7, 4);
    check("cos", hm_cosf, cos, -0.7, 0.7, 4);
}

/* Near their zeros sin and cos are exact to 1e-7, not to a relative error; the tails of the normal distribution are
 * exact to the rounding of x^2 / 2, which grows with it. */
static void absolute_accuracy(void **state) {
    (void)state;
    for (int i = -300000; i <= 300000; i++) {
        const float x = (float)i * 1e-3f;
        assert_true(fabs((double)hm_sinf(x) - sin((double)x)) <= 1.5e-7);
        assert_true(fabs((double)hm_cosf(x) - cos((double)x)) <= 1.5e-7);
    }
    for (int i = -120000; i <= 60000; i++) {
        const float x = (float)i * 1e-4f;
        const double relative = 5e-7 + 6e-8 * (double)(x * x);
        assert_true(fabs((double)cdf(x) - ref_cdf((double)x)) <= relative * ref_cdf((double)x));
        assert_true(fabs((double)density(x) - ref_density((double)x)) <= relative * ref_density((double)x));
    }
}

static void limits(void **state) {
    (void)state;
    float d;
    float (*const all[])(float) = {hm_expf, hm_logf, hm_log1pf, hm_erff, hm_sigmoidf, hm_softplusf, hm_sinf, hm_cosf};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        assert_true(isnan(all[i](NAN)));
    assert_true(isnan(hm_normal_cdff(NAN, &d)) && isnan(d));
    assert_true(hm_expf(INFINITY) == INFINITY && hm_expf(-INFINITY) == 0 && hm_expf(0) == 1);
    assert_true(hm_expf(89) == INFINITY && hm_expf(-104) == 0 && hm_expf(-100) > 0);
    assert_true(hm_logf(INFINITY) == INFINITY && hm_logf(0) == -INFINITY && isnan(hm_logf(-1)) && hm_logf(1) == 0);
    assert_true(isnan(hm_logf(-INFINITY)) && isnan(hm_log1pf(-2)) && hm_log1pf(-1) == -INFINITY);
    assert_true(hm_log1pf(INFINITY) == INFINITY && hm_log1pf(0) == 0);
    assert_true(hm_erff(INFINITY) == 1 && hm_erff(-INFINITY) == -1 && hm_erff(0) == 0 && hm_erff(20) == 1);
    assert_true(hm_sigmoidf(INFINITY) == 1 && hm_sigmoidf(-INFINITY) == 0 && hm_sigmoidf(0) == 0.5f);
    assert_true(hm_softplusf(INFINITY) == INFINITY && hm_softplusf(-INFINITY) == 0);
    assert_true(isnan(hm_sinf(INFINITY)) && isnan(hm_cosf(-INFINITY)) && hm_sinf(0) == 0 && hm_cosf(0) == 1);
    assert_true(hm_normal_cdff(INFINITY, &d) == 1 && d == 0 && hm_normal_cdff(-INFINITY, &d) == 0 && d == 0);
    assert_true(hm_normal_cdff(0, &d) == 0.5f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accuracy),
        cmocka_unit_test(absolute_accuracy),
        cmocka_unit_test(limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
