/* weights_number.h: one number of a safetensors file as float, whatever floating-point type the file has. */
#ifndef HM_WEIGHTS_WEIGHTS_NUMBER_H
#define HM_WEIGHTS_WEIGHTS_NUMBER_H

#include <math.h>
#include <string.h>

#include "io/safetensors.h"

static inline bool hm_weights_is_float(hm_st_dtype t) {
    return t == HM_ST_F32 || t == HM_ST_F16 || t == HM_ST_BF16 || t == HM_ST_F64;
}

/* IEEE 754 binary16. */
static inline float hm_weights_half(uint16_t bits) {
    const int exponent = bits >> 10 & 31, fraction = bits & 1023;
    float x;
    if (exponent == 31)
        x = fraction ? NAN : INFINITY;
    else
        x = exponent ? ldexpf((float)(1024 + fraction), exponent - 25) : ldexpf((float)fraction, -24);
    return bits >> 15 ? -x : x;
}

/* Element i of a tensor for which hm_weights_is_float. */
static inline float hm_weights_number(const hm_safetensor *t, size_t i) {
    const char *const at = (const char *)t->data + i * hm_st_dtype_size(t->dtype);
    uint16_t half;
    uint32_t bits;
    float f;
    double d;
    switch (t->dtype) {
    case HM_ST_F32:
        memcpy(&f, at, sizeof f);
        return f;
    case HM_ST_F64:
        memcpy(&d, at, sizeof d);
        return (float)d;
    case HM_ST_BF16:
        memcpy(&half, at, sizeof half);
        bits = (uint32_t)half << 16;
        memcpy(&f, &bits, sizeof f);
        return f;
    default:
        memcpy(&half, at, sizeof half);
        return hm_weights_half(half);
    }
}

#endif
