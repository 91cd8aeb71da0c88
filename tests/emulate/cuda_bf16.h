/* cuda_bf16.h: the bfloat16 type of emulated kernels, with the library's own rounding. */
#ifndef HM_EMULATE_CUDA_BF16_H
#define HM_EMULATE_CUDA_BF16_H

#include "cuda_runtime.h"

#include "base/dtype.h"

struct __nv_bfloat16 {
    uint16_t bits;
};
struct __align__(4) __nv_bfloat162 {
    __nv_bfloat16 x, y;
};
static inline float __bfloat162float(__nv_bfloat16 h) {
    return hm_bf16_to_f32(h.bits);
}
static inline __nv_bfloat16 __float2bfloat16_rn(float x) {
    return __nv_bfloat16{hm_f32_to_bf16(x)};
}
static inline __nv_bfloat16 __float2bfloat16(float x) {
    return __float2bfloat16_rn(x);
}

#endif
