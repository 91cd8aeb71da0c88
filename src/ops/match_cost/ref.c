/* ref.c: definition of match_cost, in double. */
#define HM_REAL double
#include "graph/op.h"
#include "ops/boxes.h"
#include "ops/match_cost/match_cost_attr.h"
#include "ops/points.h"
#include "ops/targets.h"

hm_status match_cost_ref(const hm_call *c);

static double sigmoid(double x) {
    return 1 / (1 + exp(-x));
}

static double softplus(double x) {
    return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
}

static double class_cost(double x) {
    const double p = sigmoid(x);
    return 0.25 * (1 - p) * (1 - p) * softplus(-x) - 0.75 * p * p * softplus(x);
}

/* Logit of query q of image b at a point. */
static double mask_logit(const hm_call *c, int64_t b, int64_t q, double x, double y) {
    const hm_node *const n = c->node;
    const hm_match_cost_attr *const a = n->attr;
    const int64_t channels = hm_dim(n->in[MC_SPATIAL], 2), queries = hm_dim(n->in[MC_LOGITS], 1);
    const double *const s = (const double *)c->in[MC_SPATIAL] + b * a->map_h * a->map_w * channels;
    const double *const f = (const double *)c->in[MC_QUERY] + (b * queries + q) * channels;
    int64_t at[4];
    double weight[4], sum = *(const double *)c->in[MC_BIAS];
    hm_corners_ref(x, y, a->map_h, a->map_w, at, weight);
    for (int k = 0; k < 4; k++)
        for (int64_t i = 0; i < channels; i++)
            sum += weight[k] * s[at[k] * channels + i] * f[i];
    return sum;
}

/* Weighted sum of both mask costs of query q and target j. */
static double mask_cost(const hm_call *c, int64_t b, int64_t q, int64_t j) {
    const hm_node *const n = c->node;
    const hm_match_cost_attr *const a = n->attr;
    const uint64_t key = hm_draw_key(c->run, a->draw);
    const int64_t capacity = hm_dim(n->in[MC_LABELS], 1), bytes = hm_dim(n->in[MC_MASKS], 2);
    const uint8_t *const bits = (const uint8_t *)c->in[MC_MASKS] + (b * capacity + j) * bytes;
    double ce = 0, both = 0, ours = 0, theirs = 0;
    for (int64_t p = 0; p < a->points; p++) {
        const float x = hm_rng_uniform(key, (uint64_t)(2 * p)), y = hm_rng_uniform(key, (uint64_t)(2 * p + 1));
        const double l = mask_logit(c, b, q, x, y), t = hm_mask_at(bits, a->mask_h, a->mask_w, x, y);
        ce += softplus(-l) * t + softplus(l) * (1 - t);
        both += sigmoid(l) * t;
        ours += sigmoid(l);
        theirs += t;
    }
    return a->weight.mask_ce * (ce / (double)a->points) +
           a->weight.mask_dice * (1 - (2 * both + 1) / (ours + theirs + 1));
}

static double cost(const hm_call *c, int64_t b, int64_t q, int64_t j) {
    const hm_node *const n = c->node;
    const hm_match_cost_attr *const a = n->attr;
    const int64_t queries = hm_dim(n->in[MC_LOGITS], 1), classes = hm_dim(n->in[MC_LOGITS], 2);
    const int64_t capacity = hm_dim(n->in[MC_LABELS], 1), i = b * queries + q, t = b * capacity + j;
    const double *const box = (const double *)c->in[MC_BOXES] + i * 4;
    const double *const target = (const double *)c->in[MC_TARGETS] + t * 4;
    double l1 = 0;
    for (int k = 0; k < 4; k++)
        l1 += fabs(box[k] - target[k]);
    const double x = ((const double *)c->in[MC_LOGITS])[i * classes + ((const int32_t *)c->in[MC_LABELS])[t]];
    return a->weight.bbox * l1 + a->weight.cls * class_cost(x) - a->weight.giou * hm_box_giou(box, target) +
           (n->n_in == MC_INPUTS ? mask_cost(c, b, q, j) : 0);
}

/* Replaces what is not finite in the first `count` columns of cost [queries, capacity]. */
static void repair(double *v, int64_t queries, int64_t capacity, int64_t count) {
    double largest = -INFINITY, magnitude = 0;
    for (int64_t i = 0; i < queries; i++)
        for (int64_t j = 0; j < count; j++)
            if (isfinite(v[i * capacity + j])) {
                largest = fmax(largest, v[i * capacity + j]);
                magnitude = fmax(magnitude, fabs(v[i * capacity + j]));
            }
    const double instead = isinf(largest) ? 1 : largest + magnitude + 1;
    for (int64_t i = 0; i < queries; i++)
        for (int64_t j = 0; j < count; j++)
            if (!isfinite(v[i * capacity + j]))
                v[i * capacity + j] = instead;
}

hm_status match_cost_ref(const hm_call *c) {
    const hm_node *const n = c->node;
    const int64_t images = hm_dim(n->in[MC_LOGITS], 0), queries = hm_dim(n->in[MC_LOGITS], 1);
    const int64_t classes = hm_dim(n->in[MC_LOGITS], 2), capacity = hm_dim(n->in[MC_LABELS], 1);
    const int32_t *const counts = c->in[MC_COUNTS];
    double *const out = c->out[0];
    HM_TRY(hm_check_labels(c->in[MC_LABELS], counts, images, capacity, classes));
    for (int64_t b = 0; b < images; b++) {
        for (int64_t q = 0; q < queries; q++)
            for (int64_t j = 0; j < capacity; j++)
                out[(b * queries + q) * capacity + j] = j < counts[b] ? cost(c, b, q, j) : 0;
        repair(out + b * queries * capacity, queries, capacity, counts[b]);
    }
    return HM_OK;
}
