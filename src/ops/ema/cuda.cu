/* cuda.cu: exponential moving average on the GPU, 4 or 8 neighbours a thread; products are rounded before they are
 * added, as the CPU's plain kernel does. */
#include "device/cuda/vector.cuh"
#include "ops/cuda_op.cuh"

extern "C" HM_CUDA_DECLARE(hm_ema);

#define THREADS 256

template <int N>
static __device__ inline void blend_at(const hm_out &average, const hm_in &before, const hm_in &p, float decay,
                                       int64_t i) {
    const float rest = (float)(1 - (double)decay);
    const hm_words<N> words = hm_fetch<N>(p, i);
    float x[N], a[N] = {};
    if (decay != 0.0f)
        hm_read<N>(a, before, i);
    hm_unpack<N>(x, words, p.type);
#pragma unroll
    for (int k = 0; k < N; k++)
        x[k] = decay == 0.0f ? x[k] : __fadd_rn(__fmul_rn(a[k], decay), __fmul_rn(x[k], rest));
    hm_write<N>(average, i, x);
}

/* average and before are one tensor. */
template <int N>
static __global__ void blend(hm_out average, hm_in before, hm_in p, hm_in decay, hm_in skip, int64_t count) {
    if (skip.p != NULL && skip[0] != 0.0f)
        return;
    int64_t i = hm_first() * N;
    if (i + N <= count)
        blend_at<N>(average, before, p, decay[0], i);
    else
        for (; i < count; i++)
            blend_at<1>(average, before, p, decay[0], i);
}

hm_status hm_ema_cuda(const hm_call *c) {
    const hm_out average = hm_output(c, 0);
    const hm_in before = {average.p, average.type}, p = hm_input(c, 1);
    const int64_t count = hm_count(c->node->in[0]);
    HM_BY_WIDTH(hm_width(average.type, p.type), N, {
        HM_LAUNCH(c, blend<N>, hm_blocks(count, THREADS * N), THREADS, 0, average, before, p, hm_input(c, 2),
                  hm_input(c, 3), count);
    });
    return HM_OK;
}
