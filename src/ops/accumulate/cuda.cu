/* cuda.cu: sum of gradients on the GPU, 4 or 8 neighbours a thread. */
#include "device/cuda/vector.cuh"
#include "ops/cuda_op.cuh"

extern "C" HM_CUDA_DECLARE(hm_accumulate);

#define THREADS 256

template <int N>
static __device__ inline void accumulate_at(const hm_out &sum, const hm_in &before, const hm_in &grad, bool keep,
                                            int64_t i) {
    const hm_words<N> g = hm_fetch<N>(grad, i);
    float x[N], s[N] = {};
    if (keep)
        hm_read<N>(s, before, i);
    hm_unpack<N>(x, g, grad.type);
#pragma unroll
    for (int k = 0; k < N; k++)
        x[k] = keep ? s[k] + x[k] : x[k];
    hm_write<N>(sum, i, x);
}

/* sum and before are one tensor. */
template <int N> static __global__ void accumulate(hm_out sum, hm_in before, hm_in grad, hm_in keep, int64_t count) {
    const bool kept = keep[0] != 0.0f;
    int64_t i = hm_first() * N;
    if (i + N <= count)
        accumulate_at<N>(sum, before, grad, kept, i);
    else
        for (; i < count; i++)
            accumulate_at<1>(sum, before, grad, kept, i);
}

hm_status hm_accumulate_cuda(const hm_call *c) {
    const hm_out sum = hm_output(c, 0);
    const hm_in before = {sum.p, sum.type}, grad = hm_input(c, 1);
    const int64_t count = hm_count(c->node->in[0]);
    HM_BY_WIDTH(hm_width(sum.type, grad.type), N, {
        HM_LAUNCH(c, accumulate<N>, hm_blocks(count, THREADS * N), THREADS, 0, sum, before, grad, hm_input(c, 2),
                  count);
    });
    return HM_OK;
}
