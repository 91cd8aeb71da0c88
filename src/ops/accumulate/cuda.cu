/* cuda.cu: sums of gradients on the GPU: blocks over all tensors, 4 neighbours a thread. */
#include "device/cuda/batch.cuh"
#include "device/cuda/vector.cuh"
#include "ops/accumulate/accumulate_attr.h"
#include "ops/cuda_op.cuh"

extern "C" HM_CUDA_DECLARE(hm_accumulate);

#define THREADS 256
#define BLOCK   8192 /* elements of a block */

struct pair {
    void *sum;
    const void *grad;
    uint64_t count : 48, sum_type : 8, grad_type : 8;
};

template <int N> static __device__ inline void accumulate_at(const pair &t, bool keep, int64_t i) {
    const hm_in before = {t.sum, (hm_dtype)t.sum_type}, grad = {t.grad, (hm_dtype)t.grad_type};
    const hm_words<N> g = hm_fetch<N>(grad, i);
    float x[N], s[N] = {};
    if (keep)
        hm_read<N>(s, before, i);
    hm_unpack<N>(x, g, grad.type);
#pragma unroll
    for (int k = 0; k < N; k++)
        x[k] = keep ? s[k] + x[k] : x[k];
    hm_write<N>(hm_out{t.sum, before.type}, i, x);
}

static __global__ void accumulate(hm_in keep, const hm_batch<pair> b) {
    unsigned part;
    const pair t = b.item[hm_batch_find(b, &part)];
    const bool kept = keep[0] != 0.0f;
    const int64_t count = (int64_t)t.count, first = (int64_t)part * BLOCK;
    const int64_t end = first + BLOCK < count ? first + BLOCK : count;
    for (int64_t i = first + threadIdx.x * 4; i < end; i += THREADS * 4)
        if (i + 4 <= end)
            accumulate_at<4>(t, kept, i);
        else
            for (int64_t k = i; k < end; k++)
                accumulate_at<1>(t, kept, k);
}

hm_status hm_accumulate_cuda(const hm_call *c) {
    const int n = hm_accumulate_count(c->node->n_in);
    for (int i = 0; i < n;) {
        hm_batch<pair> b = {};
        for (; i < n && !hm_batch_full(&b); i++) {
            pair t = {};
            t.sum = c->out[i];
            t.grad = c->in[n + i];
            t.count = (uint64_t)hm_count(c->node->in[i]);
            t.sum_type = (uint64_t)c->node->out[i]->dtype;
            t.grad_type = (uint64_t)c->node->in[n + i]->dtype;
            hm_batch_add(&b, t, hm_blocks(hm_count(c->node->in[i]), BLOCK));
        }
        HM_LAUNCH(c, accumulate, b.blocks, THREADS, 0, hm_input(c, 2 * n), b);
    }
    return HM_OK;
}
