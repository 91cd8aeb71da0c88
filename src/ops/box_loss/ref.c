/* ref.c: definition of box_loss and its gradient, in double. */
#define HM_REAL double
#include <string.h>

#include "graph/op.h"
#include "ops/box_loss/box_loss_attr.h"
#include "ops/boxes.h"
#include "ops/targets.h"

hm_status box_loss_ref(const hm_call *c);
hm_status box_loss_back_ref(const hm_call *c);

hm_status box_loss_ref(const hm_call *c) {
    const hm_node *const n = c->node;
    const hm_box_loss_attr *const a = n->attr;
    const int64_t images = hm_dim(n->in[BOX_PRED], 0), queries = hm_dim(n->in[BOX_PRED], 1);
    const int64_t capacity = hm_dim(n->in[BOX_TARGETS], 1);
    const double *const pred = c->in[BOX_PRED], *const target = c->in[BOX_TARGETS];
    const int32_t *const counts = c->in[BOX_COUNTS], *const match = c->in[BOX_MATCH];
    HM_TRY(hm_check_counts(counts, images, capacity));
    HM_TRY(hm_check_match(match, counts, images, queries));
    double l1 = 0, giou = 0;
    for (int64_t b = 0; b < images; b++)
        for (int64_t q = 0; q < queries; q++) {
            if (match[b * queries + q] < 0)
                continue;
            const double *const x = pred + (b * queries + q) * 4;
            const double *const y = target + (b * capacity + match[b * queries + q]) * 4;
            for (int k = 0; k < 4; k++)
                l1 += fabs(x[k] - y[k]);
            giou += 1 - hm_box_giou(x, y);
        }
    const double num_boxes = hm_num_boxes(counts, images, a->groups);
    *(double *)c->out[0] = l1 / num_boxes;
    *(double *)c->out[1] = giou / num_boxes;
    return HM_OK;
}

hm_status box_loss_back_ref(const hm_call *c) {
    const hm_node *const n = c->node;
    const hm_box_loss_attr *const a = n->attr;
    const int64_t images = hm_dim(n->in[BOX_PRED], 0), queries = hm_dim(n->in[BOX_PRED], 1);
    const int64_t capacity = hm_dim(n->in[BOX_TARGETS], 1);
    const double *const pred = c->in[BOX_PRED], *const target = c->in[BOX_TARGETS];
    const int32_t *const counts = c->in[BOX_COUNTS], *const match = c->in[BOX_MATCH];
    double *const dpred = c->out[0];
    HM_TRY(hm_check_counts(counts, images, capacity));
    HM_TRY(hm_check_match(match, counts, images, queries));
    const double num_boxes = hm_num_boxes(counts, images, a->groups);
    const double dl1 = c->in[BOX_DL1] != NULL ? *(const double *)c->in[BOX_DL1] / num_boxes : 0;
    const double dgiou = c->in[BOX_DGIOU] != NULL ? *(const double *)c->in[BOX_DGIOU] / num_boxes : 0;
    for (int64_t i = 0; i < images * queries; i++) {
        double *const d = dpred + i * 4;
        memset(d, 0, 4 * sizeof *d);
        if (match[i] < 0)
            continue;
        const double *const x = pred + i * 4, *const y = target + (i / queries * capacity + match[i]) * 4;
        double slope[4];
        hm_box_giou_grad(x, y, slope);
        for (int k = 0; k < 4; k++) {
            const double sign = x[k] > y[k] ? 1 : x[k] < y[k] ? -1 : x[k] - y[k]; /* 0, or NaN */
            d[k] = dl1 * sign - dgiou * slope[k];
        }
    }
    return HM_OK;
}
