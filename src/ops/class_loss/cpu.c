/* cpu.c: class_loss and its gradient. All logits are treated as unmatched first, p^2 softplus(x), in blocks of fixed
 * size; then the few matched ones are corrected. */
#include "device/cpu/vec.h"
#include "graph/op.h"
#include "ops/boxes.h"
#include "ops/class_loss/class_loss_attr.h"
#include "ops/targets.h"

hm_status HM_CPU(class_loss)(const hm_call *c);
hm_status HM_CPU(class_loss_back)(const hm_call *c);

typedef struct job {
    int64_t images, queries, classes, capacity;
    const float *logits, *boxes, *targets; /* [images, queries, classes], [images, queries, 4], [images, capacity, 4] */
    const int32_t *counts, *labels, *match; /* [images], [images, capacity], [images, queries] */
    double num_boxes;
} job;

static hm_status open_job(const hm_call *c, job *j) {
    const hm_node *const n = c->node;
    const hm_class_loss_attr *const a = n->attr;
    *j = (job){.images = hm_dim(n->in[CLS_LOGITS], 0),
               .queries = hm_dim(n->in[CLS_LOGITS], 1),
               .classes = hm_dim(n->in[CLS_LOGITS], 2),
               .capacity = hm_dim(n->in[CLS_LABELS], 1),
               .logits = c->in[CLS_LOGITS],
               .boxes = c->in[CLS_BOXES],
               .targets = c->in[CLS_TARGETS],
               .counts = c->in[CLS_COUNTS],
               .labels = c->in[CLS_LABELS],
               .match = c->in[CLS_MATCH]};
    HM_TRY(hm_check_labels(j->labels, j->counts, j->images, j->capacity, j->classes));
    HM_TRY(hm_check_match(j->match, j->counts, j->images, j->queries));
    j->num_boxes = hm_num_boxes(j->counts, j->images, a->groups);
    return HM_OK;
}

/* The matched logit of query i (counted over the batch) and its soft target; false when unmatched. */
static bool matched(const job *j, int64_t i, int64_t *at, float *target) {
    if (j->match[i] < 0)
        return false;
    const int64_t t = i / j->queries * j->capacity + j->match[i];
    *at = i * j->classes + j->labels[t];
    const float root = sqrtf(hm_box_iou(j->boxes + i * 4, j->targets + t * 4));
    *target = hm_box_floor(sqrtf(sqrtf(hm_sigmoidf(j->logits[*at]))) * root * sqrtf(root), 0.01f);
    return true;
}

static inline float unmatched_loss(float x) {
    const float p = hm_sigmoidf(x);
    return p * p * hm_softplusf(x);
}

/* Sum over x[n] in runs of 256, runs in double. */
static double block_loss(const float *x, int64_t n) {
    double sum = 0;
    for (int64_t first = 0; first < n; first += 256) {
        const int64_t end = first + 256 < n ? first + 256 : n;
        float run = 0;
#pragma omp simd reduction(+ : run)
        for (int64_t i = first; i < end; i++)
            run += unmatched_loss(x[i]);
        sum += (double)run;
    }
    return sum;
}

hm_status HM_CPU(class_loss)(const hm_call *c) {
    job j;
    HM_TRY(open_job(c, &j));
    const int64_t n = j.images * j.queries * j.classes, blocks = (n + CLS_BLOCK - 1) / CLS_BLOCK;
    double *const part = c->work, sum = 0;
#pragma omp parallel for num_threads(c->run->threads) schedule(static)
    for (int64_t k = 0; k < blocks; k++) {
        const int64_t first = k * CLS_BLOCK;
        part[k] = block_loss(j.logits + first, n - first < CLS_BLOCK ? n - first : CLS_BLOCK);
    }
    for (int64_t k = 0; k < blocks; k++)
        sum += part[k];
    for (int64_t i = 0; i < j.images * j.queries; i++) {
        int64_t at;
        float t;
        if (!matched(&j, i, &at, &t))
            continue;
        const float x = j.logits[at];
        sum += (double)((1 - t) * x + hm_softplusf(-x)) - (double)unmatched_loss(x);
    }
    *(float *)c->out[0] = (float)(sum / j.num_boxes);
    return HM_OK;
}

hm_status HM_CPU(class_loss_back)(const hm_call *c) {
    job j;
    HM_TRY(open_job(c, &j));
    const int64_t n = j.images * j.queries * j.classes;
    const float *restrict const x = j.logits;
    float *restrict const dx = c->out[0];
    const float d = (float)(*(const float *)c->in[CLS_DLOSS] / j.num_boxes);
#pragma omp parallel for simd num_threads(c->run->threads) schedule(static)
    for (int64_t i = 0; i < n; i++) {
        const float p = hm_sigmoidf(x[i]), q = hm_sigmoidf(-x[i]);
        dx[i] = d * p * p * (2 * q * hm_softplusf(x[i]) + p);
    }
    for (int64_t i = 0; i < j.images * j.queries; i++) {
        int64_t at;
        float t;
        if (matched(&j, i, &at, &t))
            dx[at] = d * (hm_sigmoidf(x[at]) - t);
    }
    return HM_OK;
}
