/* cuda.cu: grid_mask_loss and its gradient on the GPU: a warp for each query, sums in double; the losses of each
 * block's queries, then all blocks' in order. */
#include "ops/grid_mask_loss/grid_mask_loss_attr.h"
#include "ops/targets.cuh"

extern "C" HM_CUDA_DECLARE(grid_mask_loss);
extern "C" HM_CUDA_DECLARE(grid_mask_loss_back);

#define WARPS GM_CUDA_ROWS

struct grid_mask_job {
    hm_grid_mask_loss_attr a;
    hm_in logits;                  /* [images, queries, points] */
    const uint8_t *masks;          /* [images, capacity, bytes] */
    const int32_t *counts, *match; /* [images], [images, queries] */
    int64_t images, queries, capacity, bytes;
    int points;
};

static grid_mask_job job_of(const hm_call *c) {
    const hm_node *const n = c->node;
    grid_mask_job j;
    j.a = *(const hm_grid_mask_loss_attr *)n->attr;
    j.logits = hm_input(c, GM_LOGITS);
    j.masks = (const uint8_t *)c->in[GM_MASKS];
    j.counts = (const int32_t *)c->in[GM_COUNTS];
    j.match = (const int32_t *)c->in[GM_MATCH];
    j.images = hm_dim(n->in[GM_LOGITS], 0);
    j.queries = hm_dim(n->in[GM_LOGITS], 1);
    j.points = (int)hm_dim(n->in[GM_LOGITS], 2);
    j.capacity = hm_dim(n->in[GM_MASKS], 1);
    j.bytes = hm_dim(n->in[GM_MASKS], 2);
    return j;
}

static __device__ inline float sigmoid(float x) {
    return 1 / (1 + expf(-x));
}

/* Sums of one query's points. */
struct sums {
    double bce, s, t, st;
};

/* Of query i against a mask; in every lane. */
static __device__ inline sums look(const grid_mask_job &j, int64_t i, const uint8_t *mask) {
    sums r = {0, 0, 0, 0};
    for (int k = threadIdx.x % 32; k < j.points; k += 32) {
        const float x = j.logits[i * j.points + k], s = sigmoid(x), t = (float)hm_grid_target(&j.a, mask, k);
        r.bce += (double)(fmaxf(x, 0) + log1pf(expf(-fabsf(x))) - x * t);
        r.s += (double)s;
        r.t += (double)t;
        r.st += (double)(s * t);
    }
    return sums{hm_warp_sum(r.bce), hm_warp_sum(r.s), hm_warp_sum(r.t), hm_warp_sum(r.st)};
}

/* part [gridDim.x, 2] */
static __global__ void forward(double *part, grid_mask_job j) {
    double ce = 0, dice = 0;
    for (int64_t i = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32; i < j.images * j.queries;
         i += (int64_t)gridDim.x * WARPS) {
        const int64_t t = hm_target_of(j.match, j.counts, i, j.queries, j.capacity);
        if (t < 0)
            continue;
        const sums r = look(j, i, j.masks + t * j.bytes);
        ce += r.bce / j.points;
        dice += 1 - (2 * r.st + 1) / (r.s + r.t + 1);
    }
    const bool first = threadIdx.x % 32 == 0; /* all lanes have the same */
    ce = hm_block_sum(first ? ce : 0);
    dice = hm_block_sum(first ? dice : 0);
    if (threadIdx.x == 0) {
        part[2 * blockIdx.x] = ce;
        part[2 * blockIdx.x + 1] = dice;
    }
}

hm_status grid_mask_loss_cuda(const hm_call *c) {
    const grid_mask_job j = job_of(c);
    const int parts = hm_cuda_loss_parts(j.images * j.queries, WARPS);
    HM_LAUNCH(c, forward, (unsigned)parts, WARPS * 32, 0, (double *)c->work, j);
    return hm_losses_store<2>(c, parts, j.counts, j.images, j.a.groups);
}

/* dce, ddice: scalars, or absent */
static __global__ void backward(hm_out dlogits, hm_in dce, hm_in ddice, grid_mask_job j) {
    const int lane = threadIdx.x % 32;
    const int64_t i = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32;
    if (i >= j.images * j.queries)
        return;
    const int64_t t = hm_target_of(j.match, j.counts, i, j.queries, j.capacity);
    if (t < 0) {
        for (int k = lane; k < j.points; k += 32)
            dlogits.put(i * j.points + k, 0);
        return;
    }
    const uint8_t *const mask = j.masks + t * j.bytes;
    const double boxes = hm_num_boxes_of(j.counts, j.images, j.a.groups);
    const sums r = look(j, i, mask);
    const double whole = r.s + r.t + 1, top = 2 * r.st + 1;
    const double dice = ddice.p != NULL ? (double)ddice[0] / boxes : 0;
    const float by_ce = dce.p != NULL ? (float)((double)dce[0] / boxes / j.points) : 0;
    const float by_all = (float)(dice * top / (whole * whole)), by_hit = (float)(dice * 2 / whole);
    for (int k = lane; k < j.points; k += 32) {
        const float s = sigmoid(j.logits[i * j.points + k]), hit = (float)hm_grid_target(&j.a, mask, k);
        dlogits.put(i * j.points + k, by_ce * (s - hit) + (by_all - by_hit * hit) * s * (1 - s));
    }
}

hm_status grid_mask_loss_back_cuda(const hm_call *c) {
    const grid_mask_job j = job_of(c);
    HM_LAUNCH(c, backward, hm_blocks(j.images * j.queries, WARPS), WARPS * 32, 0, hm_output(c, 0), hm_input(c, GM_DCE),
              hm_input(c, GM_DDICE), j);
    return HM_OK;
}
