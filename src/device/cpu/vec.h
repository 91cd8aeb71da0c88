/* vec.h: float functions for the inner loops of CPU kernels. Inline and free of branches, so that a loop over them
 * vectorises for whatever instruction set the file is compiled for. Errors stay below about 4 ulp (results below the
 * smallest normal number are less exact); NaN gives NaN; infinities give the limit. No errno, no tables.
 * Polynomials are least-maximum fits made for these intervals (Remez exchange in 40 digits, rounded to float). */
#ifndef HM_DEVICE_CPU_VEC_H
#define HM_DEVICE_CPU_VEC_H

#include <stdint.h>

static inline uint32_t hm_float_bits(float x) {
    uint32_t u;
    __builtin_memcpy(&u, &x, sizeof u);
    return u;
}

static inline float hm_bits_float(uint32_t u) {
    float x;
    __builtin_memcpy(&x, &u, sizeof x);
    return x;
}

static inline float hm_absf(float x) {
    return hm_bits_float(hm_float_bits(x) & 0x7FFFFFFFu);
}

/* |x| with the sign of s. */
static inline float hm_copysignf(float x, float s) {
    return hm_bits_float((hm_float_bits(x) & 0x7FFFFFFFu) | (hm_float_bits(s) & 0x80000000u));
}

/* Adding this number rounds a float below 2^22 to the nearest integer, which is then in the low bits. */
#define HM_VEC_ROUND 12582912.0f

/* 2^k for -126 <= k <= 127; a meaningless number for other k. */
static inline float hm_vec_pow2(int32_t k) {
    return hm_bits_float((uint32_t)(k + 127) << 23);
}

/* e^x = 2^n e^r with |r| <= ln(2) / 2; 2^n in two factors, so that it may leave the range of normal numbers. */
static inline float hm_expf(float x) {
    x = x > 89.0f ? 89.0f : x;
    x = x < -104.0f ? -104.0f : x;
    const float shifted = x * 1.44269504f + HM_VEC_ROUND;
    const float n = shifted - HM_VEC_ROUND;
    const float r = (x - n * 0.693359375f) + n * 2.12194440e-4f; /* the first product is exact */
    float p = 0.00139517128f;
    p = p * r + 0.00836959761f;
    p = p * r + 0.0416661873f;
    p = p * r + 0.166665122f;
    p = p * r + 0.5f;
    p = p * (r * r) + r + 1.0f;
    const int32_t k = (int32_t)(hm_float_bits(shifted) - 0x4B400000u);
    const int32_t half = k >> 1; /* k is noise for NaN, where p is NaN */
    return p * hm_vec_pow2(half) * hm_vec_pow2(k - half);
}

/* ln x = e ln 2 + ln(1 + f) with 1 + f in [sqrt(1/2), sqrt 2); 0 gives -inf, negative numbers NaN. */
static inline float hm_logf(float x) {
    const float tiny = x < 1.17549435e-38f ? 1.0f : 0.0f;
    const float scaled = tiny != 0.0f ? x * 8388608.0f : x;
    const uint32_t u = hm_float_bits(scaled) - 0x3F3504F3u; /* sqrt(1/2) */
    const float e = (float)((int32_t)u >> 23) - 23.0f * tiny;
    const float f = hm_bits_float((u & 0x007FFFFFu) + 0x3F3504F3u) - 1.0f;
    float p = 0.0675757155f;
    p = p * f - 0.116943359f;
    p = p * f + 0.118935116f;
    p = p * f - 0.124030836f;
    p = p * f + 0.142185554f;
    p = p * f - 0.166680902f;
    p = p * f + 0.200021669f;
    p = p * f - 0.250000089f;
    p = p * f + 0.333333105f;
    const float f2 = f * f;
    float y = p * (f2 * f) - e * 2.12194440e-4f;
    y = y - 0.5f * f2;
    y = (y + f) + e * 0.693359375f;
    y = x > 3.40282347e38f ? x : y;
    y = x == 0.0f ? -__builtin_inff() : y;
    return x >= 0.0f ? y : x < 0.0f ? __builtin_nanf("") : x;
}

/* ln(1 + x); the rounding error of 1 + x is put back to first order. */
static inline float hm_log1pf(float x) {
    const float u = 1.0f + x;
    const float y = hm_logf(u) + (x - (u - 1.0f)) / u;
    const float z = x > 3.40282347e38f ? x : y;
    return u == 0.0f ? -__builtin_inff() : z;
}

/* erfc(t) e^(t^2) for t >= 0: a polynomial in u = 1 / (1 + 0.35 t), times u. */
static inline float hm_vec_erfcx(float t) {
    const float u = 1.0f / (1.0f + 0.35f * t);
    float p = 0.03840103f;
    p = p * u - 0.158928066f;
    p = p * u + 0.1814605f;
    p = p * u - 0.0277043674f;
    p = p * u + 0.087017417f;
    p = p * u + 0.146043047f;
    p = p * u + 0.15118584f;
    p = p * u + 0.187902495f;
    p = p * u + 0.197138339f;
    p = p * u + 0.197483778f;
    return p * u;
}

static inline float hm_erff(float x) {
    const float t = hm_absf(x), s = x * x;
    float p = 7.88913239e-05f;
    p = p * s - 0.000802084513f;
    p = p * s + 0.00518953567f;
    p = p * s - 0.0268544443f;
    p = p * s + 0.112836003f;
    p = p * s - 0.37612626f;
    p = p * s + 0.128379166f;
    const float near = p * x + x;
    const float far = hm_copysignf(1.0f - hm_expf(-s) * hm_vec_erfcx(t), x);
    return t < 1.0f ? near : far;
}

/* The standard normal distribution at x, relative error small in both tails, and its density. */
static inline float hm_normal_cdff(float x, float *density) {
    const float t = hm_absf(x) * 0.707106781f;
    const float e = hm_expf(-0.5f * (x * x));
    const float tail = 0.5f * e * hm_vec_erfcx(t);
    *density = 0.398942280f * e;
    return x > 0.0f ? 1.0f - tail : tail;
}

static inline float hm_sigmoidf(float x) {
    return 1.0f / (1.0f + hm_expf(-x));
}

/* ln(1 + e^x). */
static inline float hm_softplusf(float x) {
    return (x > 0.0f ? x : 0.0f) + hm_log1pf(hm_expf(-hm_absf(x)));
}

/* sin(x + quarter * pi/2), for |x| below 10^4; larger arguments lose digits. */
static inline float hm_vec_sine(float x, uint32_t quarter) {
    const float shifted = x * 0.636619772f + HM_VEC_ROUND;
    const float n = shifted - HM_VEC_ROUND;
    float r = x - n * 1.5703125f; /* pi/2 in three parts of few bits: exact products */
    r = r - n * 4.83751297e-4f;
    r = r - n * 7.54978995e-8f;
    const float s = r * r;
    const float sine = ((2.71756448e-06f * s - 0.000198392561f) * s + 0.00833332911f) * s - 0.166666672f;
    const float cosine = (2.47994358e-05f - 2.72033049e-07f * s) * s - 0.00138888834f;
    const float a = sine * (s * r) + r;
    const float b = ((cosine * s + 0.0416666679f) * s - 0.5f) * s + 1.0f;
    const uint32_t q = hm_float_bits(shifted) + quarter;
    const float y = (q & 1u) ? b : a;
    return hm_bits_float(hm_float_bits(y) ^ ((q & 2u) << 30));
}

static inline float hm_sinf(float x) {
    return hm_vec_sine(x, 0);
}

static inline float hm_cosf(float x) {
    return hm_vec_sine(x, 1);
}

#endif
