/* cuda.cu: class error and cardinality error on the GPU: a warp for each query counts confident queries, pairs and
 * right pairs of its part of an image; one block adds the parts. Whole numbers: the order does not matter. */
#include "ops/loss_stats/loss_stats_attr.h"
#include "ops/targets.cuh"

extern "C" HM_CUDA_DECLARE(loss_stats);

#define WARPS 8

struct loss_stats_job {
    const int32_t *match, *labels, *counts; /* [images, queries], [images, capacity], [images] */
    int64_t queries, capacity;
    int images, classes, parts; /* parts: of each image */
};

/* A row's largest number and the first place that has it; -1 where the row has a NaN. */
struct best {
    float x;
    int at;
};

template <typename X> static __device__ inline best best_of(const X *x, int classes) {
    best b = {-INFINITY, INT32_MAX};
    bool nan = false;
    for (int k = threadIdx.x % 32; k < classes; k += 32) {
        const float v = hm_widen(x[k]);
        nan |= v != v;
        if (v > b.x || (v == b.x && k < b.at))
            b = best{v, k};
    }
    for (int lane = 16; lane > 0; lane >>= 1) {
        const float v = __shfl_xor_sync(0xFFFFFFFFu, b.x, lane);
        const int k = __shfl_xor_sync(0xFFFFFFFFu, b.at, lane);
        if (v > b.x || (v == b.x && k < b.at))
            b = best{v, k};
    }
    return __any_sync(0xFFFFFFFFu, nan) ? best{0, -1} : b;
}

/* count [images, parts, 3]; a block for each part */
template <typename X> static __global__ void look(int32_t *count, const X *__restrict__ logits, loss_stats_job j) {
    const int64_t b = blockIdx.x / j.parts, part = blockIdx.x % j.parts, end = (part + 1) * j.queries / j.parts;
    float confident = 0, pairs = 0, right = 0;
    for (int64_t q = part * j.queries / j.parts + threadIdx.x / 32; q < end; q += WARPS) {
        const int64_t i = b * j.queries + q, t = hm_target_of(j.match, j.counts, i, j.queries, j.capacity);
        const best top = best_of(logits + i * j.classes, j.classes);
        confident += top.x > 0;
        pairs += t >= 0;
        right += t >= 0 && top.at >= 0 && top.at == j.labels[t];
    }
    const bool first = threadIdx.x % 32 == 0; /* all lanes have the same */
    confident = hm_block_sum(first ? confident : 0);
    pairs = hm_block_sum(first ? pairs : 0);
    right = hm_block_sum(first ? right : 0);
    if (threadIdx.x == 0) {
        count[3 * blockIdx.x] = (int32_t)confident;
        count[3 * blockIdx.x + 1] = (int32_t)pairs;
        count[3 * blockIdx.x + 2] = (int32_t)right;
    }
}

/* One block; a warp for each image. */
static __global__ void join(hm_out class_error, hm_out cardinality_error, const int32_t *count, loss_stats_job j) {
    double off = 0, pairs = 0, right = 0;
    for (int b = threadIdx.x / 32; b < j.images; b += WARPS) {
        float confident = 0;
        for (int p = b * j.parts + (int)threadIdx.x % 32; p < (b + 1) * j.parts; p += 32) {
            confident += (float)count[3 * p];
            pairs += count[3 * p + 1];
            right += count[3 * p + 2];
        }
        confident = hm_warp_sum(confident);
        off += threadIdx.x % 32 == 0 ? fabs((double)confident - j.counts[b]) : 0;
    }
    off = hm_block_sum(off);
    pairs = hm_block_sum(pairs);
    right = hm_block_sum(right);
    if (threadIdx.x == 0) {
        class_error.put(0, pairs > 0 ? (float)(100 - 100 * right / pairs) : 100.0f);
        cardinality_error.put(0, (float)(off / j.images));
    }
}

hm_status loss_stats_cuda(const hm_call *c) {
    const hm_tensor *const logits = c->node->in[0];
    loss_stats_job j;
    j.match = (const int32_t *)c->in[1];
    j.labels = (const int32_t *)c->in[2];
    j.counts = (const int32_t *)c->in[3];
    j.images = (int)hm_dim(logits, 0);
    j.queries = hm_dim(logits, 1);
    j.classes = (int)hm_dim(logits, 2);
    j.capacity = hm_dim(c->node->in[2], 1);
    j.parts = (int)hm_loss_stats_parts(j.queries);
    int32_t *const count = (int32_t *)c->work;
    HM_BY_TYPE(logits->dtype, X, {
        HM_LAUNCH(c, look<X>, (unsigned)(j.images * j.parts), WARPS * 32, 0, count, (const X *)c->in[0], j);
    });
    HM_LAUNCH(c, join, 1, WARPS * 32, 0, hm_output(c, 0), hm_output(c, 1), count, j);
    return HM_OK;
}
