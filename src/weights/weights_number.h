/* weights_number.h: one number of a safetensors file as float, whatever floating-point type the file has. */
#ifndef HM_WEIGHTS_WEIGHTS_NUMBER_H
#define HM_WEIGHTS_WEIGHTS_NUMBER_H

#include <string.h>

#include "base/dtype.h"
#include "io/safetensors.h"

static inline bool hm_weights_is_float(hm_st_dtype t) {
    return t == HM_ST_F32 || t == HM_ST_F16 || t == HM_ST_BF16 || t == HM_ST_F64;
}

/* Element i of a tensor for which hm_weights_is_float. */
static inline float hm_weights_number(const hm_safetensor *t, size_t i) {
    const char *const at = (const char *)t->data + i * hm_st_dtype_size(t->dtype);
    uint16_t half;
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
        return hm_bf16_to_f32(half);
    default:
        memcpy(&half, at, sizeof half);
        return hm_f16_to_f32(half);
    }
}

#endif
