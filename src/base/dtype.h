/* dtype.h: element types and the rounding between them. Half formats round to nearest, ties to even: overflow gives
 * infinity, NaN stays NaN, numbers below the smallest normal number keep their subnormals (IEEE 754; bfloat16 likewise
 * with 8 bits of precision). These are the definitions; arrays are converted by device/cpu/convert.h. */
#ifndef HM_BASE_DTYPE_H
#define HM_BASE_DTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/inline.h"

typedef enum hm_dtype { HM_F32, HM_F16, HM_BF16, HM_I32, HM_U8 } hm_dtype;

HM_INLINE bool hm_dtype_is_half(hm_dtype d) {
    return d == HM_F16 || d == HM_BF16;
}

HM_INLINE bool hm_dtype_is_float(hm_dtype d) {
    return d == HM_F32 || hm_dtype_is_half(d);
}

/* Largest finite number of a floating-point type. */
HM_INLINE double hm_dtype_max(hm_dtype d) {
    return d == HM_F16 ? 65504.0 : d == HM_BF16 ? 0x1.FEp127 : 0x1.FFFFFEp127;
}

/* Smallest normal number. */
HM_INLINE double hm_dtype_min_normal(hm_dtype d) {
    return d == HM_F16 ? 0x1p-14 : 0x1p-126;
}

HM_INLINE float hm_bf16_to_f32(uint16_t h) {
    const uint32_t u = (uint32_t)h << 16;
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

HM_INLINE uint16_t hm_f32_to_bf16(float x) {
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    const uint32_t rounded = (u + 0x7FFFu + (u >> 16 & 1u)) >> 16, quiet = u >> 16 | 0x40u;
    return (uint16_t)((u & 0x7FFFFFFFu) > 0x7F800000u ? quiet : rounded);
}

HM_INLINE float hm_f16_to_f32(uint16_t h) {
    const uint32_t sign = (uint32_t)(h & 0x8000u) << 16, body = h & 0x7FFFu;
    float x;
    if (body < 0x0400u) { /* zero and subnormals: multiples of 2^-24 */
        x = (float)body * 0x1p-24f;
        return sign ? -x : x;
    }
    const uint32_t u = sign | (body >= 0x7C00u ? 0x7F800000u | (body & 0x3FFu) << 13 : (body + 0x1C000u) << 13);
    memcpy(&x, &u, sizeof x);
    return x;
}

HM_INLINE uint16_t hm_f32_to_f16(float x) {
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    const uint32_t sign = u >> 16 & 0x8000u, body = u & 0x7FFFFFFFu;
    if (body > 0x7F800000u)
        return (uint16_t)(sign | 0x7E00u | (body >> 13 & 0x3FFu));
    if (body >= 0x477FF000u) /* 65520 and above */
        return (uint16_t)(sign | 0x7C00u);
    if (body < 0x38800000u) { /* below 2^-14: adding 0.5 leaves the multiple of 2^-24 in the low bits, rounded */
        float magnitude;
        memcpy(&magnitude, &body, sizeof magnitude);
        magnitude += 0.5f;
        memcpy(&u, &magnitude, sizeof u);
        return (uint16_t)(sign | (u - 0x3F000000u));
    }
    return (uint16_t)(sign | ((body + 0xFFFu + (body >> 13 & 1u) - 0x38000000u) >> 13));
}

/* Element i of an array of a floating-point type. */
HM_INLINE float hm_float_at(hm_dtype d, const void *p, size_t i) {
    return d == HM_F16    ? hm_f16_to_f32(((const uint16_t *)p)[i])
           : d == HM_BF16 ? hm_bf16_to_f32(((const uint16_t *)p)[i])
                          : ((const float *)p)[i];
}

HM_INLINE void hm_float_put(hm_dtype d, void *p, size_t i, float x) {
    if (d == HM_F32)
        ((float *)p)[i] = x;
    else
        ((uint16_t *)p)[i] = d == HM_F16 ? hm_f32_to_f16(x) : hm_f32_to_bf16(x);
}

#endif
