/* cuda.cu: box_loss and its gradient on the GPU: a thread for each query. The losses: each block's sums in double, then
 * all blocks' in order. */
#include "ops/box_loss/box_loss_attr.h"
#include "ops/boxes.h"
#include "ops/targets.cuh"

extern "C" HM_CUDA_DECLARE(box_loss);
extern "C" HM_CUDA_DECLARE(box_loss_back);

#define THREADS BOX_CUDA_ROWS

struct box_loss_job {
    hm_in pred, target;            /* [images, queries, 4], [images, capacity, 4] */
    const int32_t *counts, *match; /* [images], [images, queries] */
    int64_t images, queries, capacity;
    int groups;
};

static box_loss_job job_of(const hm_call *c) {
    const hm_node *const n = c->node;
    box_loss_job j;
    j.pred = hm_input(c, BOX_PRED);
    j.target = hm_input(c, BOX_TARGETS);
    j.counts = (const int32_t *)c->in[BOX_COUNTS];
    j.match = (const int32_t *)c->in[BOX_MATCH];
    j.images = hm_dim(n->in[BOX_PRED], 0);
    j.queries = hm_dim(n->in[BOX_PRED], 1);
    j.capacity = hm_dim(n->in[BOX_TARGETS], 1);
    j.groups = ((const hm_box_loss_attr *)n->attr)->groups;
    return j;
}

/* Boxes of query i and of its target, x and y [4]; false when it has none. */
static __device__ inline bool pair_of(const box_loss_job &j, int64_t i, float *x, float *y) {
    const int64_t t = hm_target_of(j.match, j.counts, i, j.queries, j.capacity);
    for (int k = 0; k < 4 && t >= 0; k++) {
        x[k] = j.pred[i * 4 + k];
        y[k] = j.target[t * 4 + k];
    }
    return t >= 0;
}

/* part [gridDim.x, 2] */
static __global__ void forward(double *part, box_loss_job j) {
    double l1 = 0, giou = 0;
    for (hm_each(i, j.images * j.queries)) {
        float x[4], y[4];
        if (!pair_of(j, i, x, y))
            continue;
        for (int k = 0; k < 4; k++)
            l1 += (double)fabsf(x[k] - y[k]);
        giou += 1 - (double)hm_box_giou(x, y);
    }
    l1 = hm_block_sum(l1);
    giou = hm_block_sum(giou);
    if (threadIdx.x == 0) {
        part[2 * blockIdx.x] = l1;
        part[2 * blockIdx.x + 1] = giou;
    }
}

hm_status box_loss_cuda(const hm_call *c) {
    const box_loss_job j = job_of(c);
    const int parts = hm_cuda_loss_parts(j.images * j.queries, THREADS);
    HM_LAUNCH(c, forward, (unsigned)parts, THREADS, 0, (double *)c->work, j);
    return hm_losses_store<2>(c, parts, j.counts, j.images, j.groups);
}

/* dl1, dgiou: scalars, or absent */
static __global__ void backward(hm_out dpred, hm_in dl1, hm_in dgiou, box_loss_job j) {
    const double boxes = hm_num_boxes_of(j.counts, j.images, j.groups);
    const float by_l1 = dl1.p != NULL ? (float)((double)dl1[0] / boxes) : 0;
    const float by_giou = dgiou.p != NULL ? (float)((double)dgiou[0] / boxes) : 0;
    for (hm_each(i, j.images * j.queries)) {
        float x[4], y[4], d[4] = {0, 0, 0, 0}, slope[4];
        if (pair_of(j, i, x, y)) {
            hm_box_giou_grad(x, y, slope);
            for (int k = 0; k < 4; k++) {
                const float sign = x[k] > y[k] ? 1.0f : x[k] < y[k] ? -1.0f : x[k] - y[k]; /* 0, or NaN */
                d[k] = by_l1 * sign - by_giou * slope[k];
            }
        }
        for (int k = 0; k < 4; k++)
            dpred.put(i * 4 + k, d[k]);
    }
}

hm_status box_loss_back_cuda(const hm_call *c) {
    const box_loss_job j = job_of(c);
    HM_LAUNCH(c, backward, hm_blocks_strided(j.images * j.queries, THREADS), THREADS, 0, hm_output(c, 0),
              hm_input(c, BOX_DL1), hm_input(c, BOX_DGIOU), j);
    return HM_OK;
}
