/* cuda.cu: exponential moving average on the GPU: blocks over all tensors, 4 neighbours a thread. Products are rounded
 * before they are added, as the CPU's plain kernel does. */
#include "device/cuda/batch.cuh"
#include "device/cuda/vector.cuh"
#include "ops/cuda_op.cuh"
#include "ops/ema/ema_attr.h"

extern "C" HM_CUDA_DECLARE(hm_ema);

#define THREADS 256
#define BLOCK   8192 /* elements of a block */

struct pair {
    void *average;
    const void *p;
    uint64_t count : 48, average_type : 8, p_type : 8;
};

template <int N> static __device__ inline void blend_at(const pair &t, float decay, int64_t i) {
    const float rest = (float)(1 - (double)decay);
    const hm_in before = {t.average, (hm_dtype)t.average_type}, p = {t.p, (hm_dtype)t.p_type};
    const hm_words<N> words = hm_fetch<N>(p, i);
    float x[N], a[N] = {};
    if (decay != 0.0f)
        hm_read<N>(a, before, i);
    hm_unpack<N>(x, words, p.type);
#pragma unroll
    for (int k = 0; k < N; k++)
        x[k] = decay == 0.0f ? x[k] : __fadd_rn(__fmul_rn(a[k], decay), __fmul_rn(x[k], rest));
    hm_write<N>(hm_out{t.average, before.type}, i, x);
}

static __global__ void blend(hm_in decay, hm_in skip, const hm_batch<pair> b) {
    if (skip.p != NULL && skip[0] != 0.0f)
        return;
    unsigned part;
    const pair t = b.item[hm_batch_find(b, &part)];
    const float d = decay[0];
    const int64_t count = (int64_t)t.count, first = (int64_t)part * BLOCK;
    const int64_t end = first + BLOCK < count ? first + BLOCK : count;
    for (int64_t i = first + threadIdx.x * 4; i < end; i += THREADS * 4)
        if (i + 4 <= end)
            blend_at<4>(t, d, i);
        else
            for (int64_t k = i; k < end; k++)
                blend_at<1>(t, d, k);
}

hm_status hm_ema_cuda(const hm_call *c) {
    const int n = hm_ema_count(c->node->n_in);
    for (int i = 0; i < n;) {
        hm_batch<pair> b = {};
        for (; i < n && !hm_batch_full(&b); i++) {
            pair t = {};
            t.average = c->out[i];
            t.p = c->in[n + i];
            t.count = (uint64_t)hm_count(c->node->in[i]);
            t.average_type = (uint64_t)c->node->out[i]->dtype;
            t.p_type = (uint64_t)c->node->in[n + i]->dtype;
            hm_batch_add(&b, t, hm_blocks(hm_count(c->node->in[i]), BLOCK));
        }
        HM_LAUNCH(c, blend, b.blocks, THREADS, 0, hm_input(c, 2 * n), hm_input(c, 2 * n + 1), b);
    }
    return HM_OK;
}
