/* ref.c: definition of class_loss and its gradient, in double. */
#define HM_REAL double
#include "graph/op.h"
#include "ops/boxes.h"
#include "ops/class_loss/class_loss_attr.h"
#include "ops/targets.h"

hm_status class_loss_ref(const hm_call *c);
hm_status class_loss_back_ref(const hm_call *c);

static double sigmoid(double x) {
    return 1 / (1 + exp(-x));
}

static double softplus(double x) {
    return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
}

static hm_status check(const hm_call *c) {
    const hm_node *const n = c->node;
    const int64_t images = hm_dim(n->in[CLS_LOGITS], 0), queries = hm_dim(n->in[CLS_LOGITS], 1);
    HM_TRY(hm_check_labels(c->in[CLS_LABELS], c->in[CLS_COUNTS], images, hm_dim(n->in[CLS_LABELS], 1),
                           hm_dim(n->in[CLS_LOGITS], 2)));
    return hm_check_match(c->in[CLS_MATCH], c->in[CLS_COUNTS], images, queries);
}

/* Soft target of logit k of query i (counted over the batch), or -1 where the query is not matched to that class. */
static double soft_target(const hm_call *c, int64_t i, int64_t k) {
    const hm_node *const n = c->node;
    const int64_t queries = hm_dim(n->in[CLS_LOGITS], 1), classes = hm_dim(n->in[CLS_LOGITS], 2);
    const int64_t capacity = hm_dim(n->in[CLS_LABELS], 1);
    const double *const x = c->in[CLS_LOGITS], *const box = c->in[CLS_BOXES], *const target = c->in[CLS_TARGETS];
    const int32_t *const labels = c->in[CLS_LABELS], *const match = c->in[CLS_MATCH];
    if (match[i] < 0)
        return -1;
    const int64_t t = i / queries * capacity + match[i];
    if (labels[t] != k)
        return -1;
    const double u = hm_box_iou(box + i * 4, target + t * 4);
    return hm_box_floor(pow(sigmoid(x[i * classes + k]), 0.25) * pow(u, 0.75), 0.01);
}

hm_status class_loss_ref(const hm_call *c) {
    const hm_node *const n = c->node;
    const hm_class_loss_attr *const a = n->attr;
    const int64_t images = hm_dim(n->in[CLS_LOGITS], 0), queries = hm_dim(n->in[CLS_LOGITS], 1);
    const int64_t classes = hm_dim(n->in[CLS_LOGITS], 2);
    const double *const x = c->in[CLS_LOGITS];
    HM_TRY(check(c));
    double sum = 0;
    for (int64_t i = 0; i < images * queries; i++)
        for (int64_t k = 0; k < classes; k++) {
            const double v = x[i * classes + k], p = sigmoid(v), t = soft_target(c, i, k);
            const double positive = t == -1 ? 0 : t, negative = t == -1 ? p * p : 1 - t;
            sum += negative * v + softplus(-v) * (positive + negative);
        }
    *(double *)c->out[0] = sum / hm_num_boxes(c->in[CLS_COUNTS], images, a->groups);
    return HM_OK;
}

hm_status class_loss_back_ref(const hm_call *c) {
    const hm_node *const n = c->node;
    const hm_class_loss_attr *const a = n->attr;
    const int64_t images = hm_dim(n->in[CLS_LOGITS], 0), queries = hm_dim(n->in[CLS_LOGITS], 1);
    const int64_t classes = hm_dim(n->in[CLS_LOGITS], 2);
    const double *const x = c->in[CLS_LOGITS];
    double *const dx = c->out[0];
    HM_TRY(check(c));
    const double d = *(const double *)c->in[CLS_DLOSS] / hm_num_boxes(c->in[CLS_COUNTS], images, a->groups);
    for (int64_t i = 0; i < images * queries; i++)
        for (int64_t k = 0; k < classes; k++) {
            const double v = x[i * classes + k], p = sigmoid(v), t = soft_target(c, i, k);
            dx[i * classes + k] = d * (t == -1 ? 2 * p * p * (1 - p) * softplus(v) + p * p * p : p - t);
        }
    return HM_OK;
}
