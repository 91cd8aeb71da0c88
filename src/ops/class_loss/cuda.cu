/* cuda.cu: class_loss and its gradient on the GPU: a warp for each query, whose matched logit (if any) is treated apart
 * by the lane that has it. The loss: each block's sum in double, then all blocks' in order. */
#include "ops/boxes.h"
#include "ops/class_loss/class_loss_attr.h"
#include "ops/targets.cuh"

extern "C" HM_CUDA_DECLARE(class_loss);
extern "C" HM_CUDA_DECLARE(class_loss_back);

#define WARPS CLS_CUDA_ROWS

struct class_loss_job {
    hm_in logits, boxes, targets; /* [images, queries, classes], [images, queries, 4], [images, capacity, 4] */
    const int32_t *counts, *labels, *match; /* [images], [images, capacity], [images, queries] */
    int64_t images, queries, capacity;
    int classes, groups;
};

static class_loss_job job_of(const hm_call *c) {
    const hm_node *const n = c->node;
    class_loss_job j;
    j.logits = hm_input(c, CLS_LOGITS);
    j.boxes = hm_input(c, CLS_BOXES);
    j.targets = hm_input(c, CLS_TARGETS);
    j.counts = (const int32_t *)c->in[CLS_COUNTS];
    j.labels = (const int32_t *)c->in[CLS_LABELS];
    j.match = (const int32_t *)c->in[CLS_MATCH];
    j.images = hm_dim(n->in[CLS_LOGITS], 0);
    j.queries = hm_dim(n->in[CLS_LOGITS], 1);
    j.capacity = hm_dim(n->in[CLS_LABELS], 1);
    j.classes = (int)hm_dim(n->in[CLS_LOGITS], 2);
    j.groups = ((const hm_class_loss_attr *)n->attr)->groups;
    return j;
}

/* What is made of e^-|x|. */
struct logistic {
    float p, q, softplus; /* sigmoid(x), sigmoid(-x), ln(1 + e^x) */
};

static __device__ inline logistic logistic_of(float x) {
    const float e = expf(-fabsf(x)), large = 1 / (1 + e), small = e * large;
    return logistic{x < 0 ? small : large, x < 0 ? large : small, fmaxf(x, 0) + log1pf(e)};
}

/* Soft target of query i's logit x, whose target is t. */
static __device__ inline float soft_target(const class_loss_job &j, int64_t i, int64_t t, float x) {
    float box[4], target[4];
    for (int k = 0; k < 4; k++) {
        box[k] = j.boxes[i * 4 + k];
        target[k] = j.targets[t * 4 + k];
    }
    const float root = sqrtf(hm_box_iou(box, target));
    return hm_box_floor(sqrtf(sqrtf(logistic_of(x).p)) * root * sqrtf(root), 0.01f);
}

static __device__ inline float loss_of(const class_loss_job &j, int64_t i, int64_t t, bool matched, float x) {
    const logistic l = logistic_of(x);
    if (!matched)
        return l.p * l.p * l.softplus;
    /* softplus(-x) = softplus(x) - x, but without cancellation */
    return (1 - soft_target(j, i, t, x)) * x + fmaxf(-x, 0) + log1pf(expf(-fabsf(x)));
}

static __device__ inline float slope_of(const class_loss_job &j, int64_t i, int64_t t, bool matched, float x) {
    const logistic l = logistic_of(x);
    return matched ? l.p - soft_target(j, i, t, x) : l.p * l.p * (2 * l.q * l.softplus + l.p);
}

/* part [gridDim.x] */
template <typename X> static __global__ void forward(double *part, const X *__restrict__ logits, class_loss_job j) {
    const int lane = threadIdx.x % 32;
    double sum = 0;
    for (int64_t i = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32; i < j.images * j.queries;
         i += (int64_t)gridDim.x * WARPS) {
        const int64_t t = hm_target_of(j.match, j.counts, i, j.queries, j.capacity);
        const int label = t < 0 ? -1 : j.labels[t];
        float run = 0;
        for (int k = lane; k < j.classes; k += 32)
            run += loss_of(j, i, t, k == label, hm_widen(logits[i * j.classes + k]));
        sum += (double)run;
    }
    sum = hm_block_sum(sum);
    if (threadIdx.x == 0)
        part[blockIdx.x] = sum;
}

hm_status class_loss_cuda(const hm_call *c) {
    const class_loss_job j = job_of(c);
    const int parts = hm_cuda_loss_parts(j.images * j.queries, WARPS);
    HM_BY_TYPE(j.logits.type, X, {
        HM_LAUNCH(c, forward<X>, (unsigned)parts, WARPS * 32, 0, (double *)c->work, (const X *)j.logits.p, j);
    });
    return hm_losses_store<1>(c, parts, j.counts, j.images, j.groups);
}

template <typename X>
static __global__ void backward(hm_out dlogits, const X *__restrict__ logits, hm_in dloss, class_loss_job j) {
    const int lane = threadIdx.x % 32;
    const float d = (float)((double)dloss[0] / hm_num_boxes_of(j.counts, j.images, j.groups));
    for (int64_t i = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32; i < j.images * j.queries;
         i += (int64_t)gridDim.x * WARPS) {
        const int64_t t = hm_target_of(j.match, j.counts, i, j.queries, j.capacity);
        const int label = t < 0 ? -1 : j.labels[t];
        for (int k = lane; k < j.classes; k += 32) {
            const int64_t at = i * j.classes + k;
            dlogits.put(at, d * slope_of(j, i, t, k == label, hm_widen(logits[at])));
        }
    }
}

hm_status class_loss_back_cuda(const hm_call *c) {
    const class_loss_job j = job_of(c);
    HM_BY_TYPE(j.logits.type, X, {
        HM_LAUNCH(c, backward<X>, hm_blocks_strided(j.images * j.queries, WARPS), WARPS * 32, 0, hm_output(c, 0),
                  (const X *)j.logits.p, hm_input(c, CLS_DLOSS), j);
    });
    return HM_OK;
}
