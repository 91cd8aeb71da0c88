/* cuda_fp16.h: the half type of emulated kernels, with the library's own rounding. */
#ifndef HM_EMULATE_CUDA_FP16_H
#define HM_EMULATE_CUDA_FP16_H

#include "cuda_runtime.h"

#include "base/dtype.h"

struct __half {
    uint16_t bits;
};
struct __align__(4) __half2 {
    __half x, y;
};
static inline float __half2float(__half h) {
    return hm_f16_to_f32(h.bits);
}
static inline __half __float2half_rn(float x) {
    return __half{hm_f32_to_f16(x)};
}
static inline __half __float2half(float x) {
    return __float2half_rn(x);
}

#endif
