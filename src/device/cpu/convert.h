/* convert.h: arrays between fp32 and the half formats, for kernels (inline, for the instruction set that the file is
 * compiled for) and for everyone else (hm_convert). The rounding is base/dtype.h's. */
#ifndef HM_DEVICE_CPU_CONVERT_H
#define HM_DEVICE_CPU_CONVERT_H

#include "base/dtype.h"
#include "device/cpu/isa.h"

#ifdef __F16C__
#include <immintrin.h>
#endif

static inline void hm_widen_bf16(const uint16_t *restrict x, float *restrict y, int64_t n) {
    uint32_t *const u = (uint32_t *)(void *)y;
    for (int64_t i = 0; i < n; i++)
        u[i] = (uint32_t)x[i] << 16;
}

static inline void hm_narrow_bf16(const float *restrict x, uint16_t *restrict y, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        y[i] = hm_f32_to_bf16(x[i]);
}

/* The same for operands of bf16 products, on processors with AVX512-BF16 by its own instruction. That takes numbers
 * below the smallest normal one for 0, as the products do. */
#if defined(__AVX512F__)
#define HM_BF16_TARGET __attribute__((target("avx512bf16")))

static inline HM_BF16_TARGET void hm_narrow_operand(const float *restrict x, uint16_t *restrict y, int64_t n) {
    int64_t i = 0;
    for (; i + 32 <= n; i += 32)
        _mm512_storeu_si512(y + i, (__m512i)_mm512_cvtne2ps_pbh(_mm512_loadu_ps(x + i + 16), _mm512_loadu_ps(x + i)));
    hm_narrow_bf16(x + i, y + i, n - i);
}
#else
#define HM_BF16_TARGET

static inline void hm_narrow_operand(const float *restrict x, uint16_t *restrict y, int64_t n) {
    hm_narrow_bf16(x, y, n);
}
#endif

static inline void hm_widen_f16(const uint16_t *restrict x, float *restrict y, int64_t n) {
    int64_t i = 0;
#if defined(__AVX512F__)
    for (; i + 16 <= n; i += 16)
        _mm512_storeu_ps(y + i, _mm512_cvtph_ps(_mm256_loadu_si256((const void *)(x + i))));
#elif defined(__F16C__)
    for (; i + 8 <= n; i += 8)
        _mm256_storeu_ps(y + i, _mm256_cvtph_ps(_mm_loadu_si128((const void *)(x + i))));
#endif
    for (; i < n; i++)
        y[i] = hm_f16_to_f32(x[i]);
}

static inline void hm_narrow_f16(const float *restrict x, uint16_t *restrict y, int64_t n) {
    int64_t i = 0;
#if defined(__AVX512F__)
    for (; i + 16 <= n; i += 16)
        _mm256_storeu_si256((void *)(y + i), _mm512_cvtps_ph(_mm512_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT));
#elif defined(__F16C__)
    for (; i + 8 <= n; i += 8)
        _mm_storeu_si128((void *)(y + i), _mm256_cvtps_ph(_mm256_loadu_ps(x + i), _MM_FROUND_TO_NEAREST_INT));
#endif
    for (; i < n; i++)
        y[i] = hm_f32_to_f16(x[i]);
}

/* y[n] = fp32 of elements first.. of x. */
static inline void hm_widen(hm_dtype from, const void *x, int64_t first, float *restrict y, int64_t n) {
    if (from == HM_BF16)
        hm_widen_bf16((const uint16_t *)x + first, y, n);
    else if (from == HM_F16)
        hm_widen_f16((const uint16_t *)x + first, y, n);
    else
        memcpy(y, (const float *)x + first, (size_t)n * sizeof *y);
}

/* Elements first.. of y = x[n], rounded. */
static inline void hm_narrow(hm_dtype to, const float *restrict x, void *y, int64_t first, int64_t n) {
    if (to == HM_BF16)
        hm_narrow_bf16(x, (uint16_t *)y + first, n);
    else if (to == HM_F16)
        hm_narrow_f16(x, (uint16_t *)y + first, n);
    else
        memcpy((float *)y + first, x, (size_t)n * sizeof *x);
}

/* The same for reading in place: fp32 elements first.. of x where they lie, or widened into room[n]. */
static inline const float *hm_row_in(hm_dtype d, const void *x, int64_t first, int64_t n, float *room) {
    if (d == HM_F32)
        return (const float *)x + first;
    hm_widen(d, x, first, room, n);
    return room;
}

/* Where to compute elements first.. of y in fp32: in place, or in `room`, which hm_row_done then rounds into y. */
static inline float *hm_row_out(hm_dtype d, void *y, int64_t first, float *room) {
    return d == HM_F32 ? (float *)y + first : room;
}

static inline void hm_row_done(hm_dtype d, void *y, int64_t first, const float *row, int64_t n) {
    if (d != HM_F32)
        hm_narrow(d, row, y, first, n);
}

/* y [n] of type `to` = x [n] of type `from`, floating-point types both; by `threads` threads with instructions of
 * `isa`. */
void hm_convert(hm_dtype from, const void *x, hm_dtype to, void *y, int64_t n, hm_isa isa, int threads);

#endif
