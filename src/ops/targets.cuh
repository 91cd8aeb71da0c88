/* targets.cuh: targets and matches on the GPU (ops/targets.h), and the last step of the losses that are sums over
 * queries: sums of parts in a fixed order, divided by the number of boxes. Entries that the host's checks would refuse
 * are passed over, so that they touch no memory. */
#ifndef HM_OPS_TARGETS_CUH
#define HM_OPS_TARGETS_CUH

#include "ops/cuda_op.cuh"
#include "ops/targets.h"

/* The target that query i (counted over the batch) is matched to, counted over the batch; -1 for none. match [images,
 * queries], counts [images]; each image has room for `capacity` targets. */
__device__ inline int64_t hm_target_of(const int32_t *match, const int32_t *counts, int64_t i, int64_t queries,
                                       int64_t capacity) {
    const int32_t t = match[i];
    if (t < 0)
        return -1;
    const int64_t b = i / queries;
    return t < counts[b] && t < capacity ? b * capacity + t : -1;
}

/* max(1, groups * number of targets), in every lane. A full warp calls. */
__device__ inline double hm_num_boxes_of(const int32_t *counts, int64_t images, int groups) {
    double sum = 0;
    for (int64_t b = threadIdx.x % 32; b < images; b += 32)
        sum += counts[b];
    sum = hm_warp_sum(sum) * groups;
    return sum > 1 ? sum : 1;
}

template <int N> struct hm_losses { hm_out to[N]; /* scalars */ };

/* losses[k] = sum over part[.][k] / number of boxes; one block of full warps. */
template <int N>
static __global__ void hm_losses_join(hm_losses<N> losses, const double *part, int parts, const int32_t *counts,
                                      int64_t images, int groups) {
    const double boxes = hm_num_boxes_of(counts, images, groups);
    for (int k = 0; k < N; k++) {
        double sum = 0;
        for (int p = (int)threadIdx.x; p < parts; p += (int)blockDim.x)
            sum += part[p * N + k];
        sum = hm_block_sum(sum);
        if (threadIdx.x == 0)
            losses.to[k].put(0, (float)(sum / boxes));
    }
}

/* Enqueues hm_losses_join for the call's first N outputs; part [parts, N] is its workspace. */
template <int N>
static inline hm_status hm_losses_store(const hm_call *c, int parts, const int32_t *counts, int64_t images,
                                        int groups) {
    hm_losses<N> losses;
    for (int k = 0; k < N; k++)
        losses.to[k] = hm_output(c, k);
    HM_LAUNCH(c, hm_losses_join<N>, 1, 256, 0, losses, (const double *)c->work, parts, counts, images, groups);
    return HM_OK;
}

#endif
