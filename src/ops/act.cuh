/* act.cuh: activations on the GPU, one number at a time, for kernels that apply them and for gradients. GELU is the
 * exact one; its normal distribution has a small relative error in both tails (the polynomial of device/cpu/vec.h).
 * NaN stays NaN; the gradient of ReLU is zero where y <= 0, whatever arrives there. */
#ifndef HM_OPS_ACT_CUH
#define HM_OPS_ACT_CUH

#include "device/cuda/kernel.cuh"
#include "ops/activation/activation.h"

/* The standard normal distribution at x, and its density. */
static __device__ inline float hm_normal_cdf(float x, float *density) {
    const float u = __fdividef(1.0f, 1.0f + 0.35f * (fabsf(x) * 0.707106781f)), e = __expf(-0.5f * (x * x));
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
    const float tail = 0.5f * e * (p * u);
    *density = 0.398942280f * e;
    return x > 0.0f ? 1.0f - tail : tail;
}

static __device__ inline float hm_sigmoid(float x) {
    return __fdividef(1.0f, 1.0f + __expf(-x));
}

static __device__ inline float hm_act_value(hm_act act, float z) {
    float density;
    switch (act) {
    case HM_ACT_RELU:
        return z < 0.0f ? 0.0f : z;
    case HM_ACT_GELU:
        return z * hm_normal_cdf(z, &density);
    case HM_ACT_SILU:
        return z * hm_sigmoid(z);
    case HM_ACT_SIGMOID:
        return hm_sigmoid(z);
    default:
        return z;
    }
}

/* dy times the derivative, computed from v: y for ReLU and sigmoid, else z. */
static __device__ inline float hm_act_back(hm_act act, float dy, float v) {
    float density, s;
    switch (act) {
    case HM_ACT_RELU:
        return v <= 0.0f ? 0.0f : dy;
    case HM_ACT_GELU:
        s = hm_normal_cdf(v, &density);
        return dy * (s + v * density);
    case HM_ACT_SILU:
        s = hm_sigmoid(v);
        return dy * (s * (1.0f + v * (1.0f - s)));
    case HM_ACT_SIGMOID:
        return dy * (v * (1.0f - v));
    default:
        return dy;
    }
}

#endif
