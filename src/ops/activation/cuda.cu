/* cuda.cu: activations on the GPU, 4 or 8 neighbours a thread. Results may overwrite the first input. NaN stays NaN;
 * the gradient of ReLU is zero where y <= 0, whatever arrives there. */
#include "device/cuda/vector.cuh"
#include "ops/activation/activation_attr.h"
#include "ops/cuda_op.cuh"

extern "C" HM_CUDA_DECLARE(hm_activation);
extern "C" HM_CUDA_DECLARE(hm_activation_back);

#define THREADS 256

static __device__ inline float sigmoid(float x) {
    return __fdividef(1.0f, 1.0f + expf(-x));
}

/* The standard normal distribution, exact in both tails. */
static __device__ inline float normal(float x) {
    return 0.5f * erfcf(-0.707106781f * x);
}

template <hm_act kind> static __device__ inline float value(float x) {
    if constexpr (kind == HM_ACT_RELU)
        return x < 0.0f ? 0.0f : x;
    else if constexpr (kind == HM_ACT_GELU)
        return x * normal(x);
    else if constexpr (kind == HM_ACT_SILU)
        return x * sigmoid(x);
    else
        return sigmoid(x);
}

/* dout times the derivative, computed from y for ReLU and sigmoid, else from x. */
template <hm_act kind> static __device__ inline float gradient(float dout, float v) {
    if constexpr (kind == HM_ACT_RELU) {
        return v <= 0.0f ? 0.0f : dout;
    } else if constexpr (kind == HM_ACT_GELU) {
        return dout * (normal(v) + v * (0.398942280f * expf(-0.5f * (v * v))));
    } else if constexpr (kind == HM_ACT_SILU) {
        const float s = sigmoid(v);
        return dout * (s * (1.0f + v * (1.0f - s)));
    } else {
        return dout * (v * (1.0f - v));
    }
}

template <hm_act kind, int N> static __device__ inline void forward_at(const hm_out &y, const hm_in &x, int64_t i) {
    float v[N];
    hm_read<N>(v, x, i);
#pragma unroll
    for (int k = 0; k < N; k++)
        v[k] = value<kind>(v[k]);
    hm_write<N>(y, i, v);
}

template <hm_act kind, int N> static __global__ void forward(hm_out y, hm_in x, int64_t count) {
    int64_t i = hm_first() * N;
    if (i + N <= count)
        forward_at<kind, N>(y, x, i);
    else
        for (; i < count; i++)
            forward_at<kind, 1>(y, x, i);
}

template <hm_act kind, int N>
static __device__ inline void backward_at(const hm_out &dx, const hm_in &dout, const hm_in &v, int64_t i) {
    const hm_words<N> a = hm_fetch<N>(dout, i), b = hm_fetch<N>(v, i);
    float d[N], from[N];
    hm_unpack<N>(d, a, dout.type);
    hm_unpack<N>(from, b, v.type);
#pragma unroll
    for (int k = 0; k < N; k++)
        d[k] = gradient<kind>(d[k], from[k]);
    hm_write<N>(dx, i, d);
}

template <hm_act kind, int N> static __global__ void backward(hm_out dx, hm_in dout, hm_in v, int64_t count) {
    int64_t i = hm_first() * N;
    if (i + N <= count)
        backward_at<kind, N>(dx, dout, v, i);
    else
        for (; i < count; i++)
            backward_at<kind, 1>(dx, dout, v, i);
}

template <hm_act kind> static hm_status launch_forward(const hm_call *c) {
    const hm_out y = hm_output(c, 0);
    const hm_in x = hm_input(c, 0);
    const int64_t count = hm_count(c->node->in[0]);
    HM_BY_WIDTH(hm_width(y.type, x.type), N,
                { HM_LAUNCH(c, (forward<kind, N>), hm_blocks(count, THREADS * N), THREADS, 0, y, x, count); });
    return HM_OK;
}

template <hm_act kind> static hm_status launch_backward(const hm_call *c) {
    const hm_out dx = hm_output(c, 0);
    const hm_in dout = hm_input(c, 0), v = hm_input(c, 1);
    const int64_t count = hm_count(c->node->in[0]);
    HM_BY_WIDTH(hm_width(dx.type, dout.type, v.type), N,
                { HM_LAUNCH(c, (backward<kind, N>), hm_blocks(count, THREADS * N), THREADS, 0, dx, dout, v, count); });
    return HM_OK;
}

hm_status hm_activation_cuda(const hm_call *c) {
    switch (((const hm_activation_attr *)c->node->attr)->kind) {
    case HM_ACT_RELU:
        return launch_forward<HM_ACT_RELU>(c);
    case HM_ACT_GELU:
        return launch_forward<HM_ACT_GELU>(c);
    case HM_ACT_SILU:
        return launch_forward<HM_ACT_SILU>(c);
    default:
        return launch_forward<HM_ACT_SIGMOID>(c);
    }
}

hm_status hm_activation_back_cuda(const hm_call *c) {
    switch (((const hm_activation_attr *)c->node->attr)->kind) {
    case HM_ACT_RELU:
        return launch_backward<HM_ACT_RELU>(c);
    case HM_ACT_GELU:
        return launch_backward<HM_ACT_GELU>(c);
    case HM_ACT_SILU:
        return launch_backward<HM_ACT_SILU>(c);
    default:
        return launch_backward<HM_ACT_SIGMOID>(c);
    }
}
