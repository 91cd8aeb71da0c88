/* cpu.c: box_loss and its gradient. A few thousand numbers: one thread, sums in double. */
#include <string.h>

#include "graph/op.h"
#include "ops/box_loss/box_loss_attr.h"
#include "ops/boxes.h"
#include "ops/targets.h"

hm_status HM_CPU(box_loss)(const hm_call *c);
hm_status HM_CPU(box_loss_back)(const hm_call *c);

/* Everything of one call, with the pointers typed. */
typedef struct job {
    int64_t images, queries, capacity;
    const float *pred, *target;    /* [images, queries, 4], [images, capacity, 4] */
    const int32_t *counts, *match; /* [images], [images, queries] */
    double num_boxes;
} job;

static hm_status open_job(const hm_call *c, job *j) {
    const hm_node *const n = c->node;
    const hm_box_loss_attr *const a = n->attr;
    *j = (job){.images = hm_dim(n->in[BOX_PRED], 0),
               .queries = hm_dim(n->in[BOX_PRED], 1),
               .capacity = hm_dim(n->in[BOX_TARGETS], 1),
               .pred = c->in[BOX_PRED],
               .target = c->in[BOX_TARGETS],
               .counts = c->in[BOX_COUNTS],
               .match = c->in[BOX_MATCH]};
    HM_TRY(hm_check_counts(j->counts, j->images, j->capacity));
    HM_TRY(hm_check_match(j->match, j->counts, j->images, j->queries));
    j->num_boxes = hm_num_boxes(j->counts, j->images, a->groups);
    return HM_OK;
}

static const float *target_of(const job *j, int64_t i) {
    return j->target + (i / j->queries * j->capacity + j->match[i]) * 4;
}

hm_status HM_CPU(box_loss)(const hm_call *c) {
    job j;
    HM_TRY(open_job(c, &j));
    double l1 = 0, giou = 0;
    for (int64_t i = 0; i < j.images * j.queries; i++) {
        if (j.match[i] < 0)
            continue;
        const float *const x = j.pred + i * 4, *const y = target_of(&j, i);
        for (int k = 0; k < 4; k++)
            l1 += (double)fabsf(x[k] - y[k]);
        giou += 1 - (double)hm_box_giou(x, y);
    }
    *(float *)c->out[0] = (float)(l1 / j.num_boxes);
    *(float *)c->out[1] = (float)(giou / j.num_boxes);
    return HM_OK;
}

hm_status HM_CPU(box_loss_back)(const hm_call *c) {
    job j;
    HM_TRY(open_job(c, &j));
    float *const dpred = c->out[0];
    const float dl1 = c->in[BOX_DL1] != NULL ? (float)(*(const float *)c->in[BOX_DL1] / j.num_boxes) : 0;
    const float dgiou = c->in[BOX_DGIOU] != NULL ? (float)(*(const float *)c->in[BOX_DGIOU] / j.num_boxes) : 0;
    memset(dpred, 0, (size_t)(j.images * j.queries) * 4 * sizeof *dpred);
    for (int64_t i = 0; i < j.images * j.queries; i++) {
        if (j.match[i] < 0)
            continue;
        const float *const x = j.pred + i * 4, *const y = target_of(&j, i);
        float slope[4];
        hm_box_giou_grad(x, y, slope);
        for (int k = 0; k < 4; k++) {
            const float sign = x[k] > y[k] ? 1.0f : x[k] < y[k] ? -1.0f : x[k] - y[k]; /* 0, or NaN */
            dpred[i * 4 + k] = dl1 * sign - dgiou * slope[k];
        }
    }
    return HM_OK;
}
