/* ref.c: definition of mask_loss and its gradient, in double: every pair on its own, nothing shared. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "graph/op.h"
#include "ops/mask_loss/mask_loss_attr.h"
#include "ops/points.h"
#include "ops/targets.h"

hm_status mask_loss_ref(const hm_call *c);
hm_status mask_loss_back_ref(const hm_call *c);

/* One matched pair at its P points. */
typedef struct pair {
    float *x, *y;       /* [P] */
    double *logit, *t;  /* [P] logits and labels */
    double both, whole; /* dice is 1 - both / whole */
} pair;

static double sigmoid(double x) {
    return 1 / (1 + exp(-x));
}

static double softplus(double x) {
    return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
}

/* Logit of query i (counted over the batch) at a point. */
static double logit_at(const hm_call *c, int64_t i, double x, double y) {
    const hm_node *const n = c->node;
    const hm_mask_loss_attr *const a = n->attr;
    const int64_t channels = hm_dim(n->in[ML_SPATIAL], 2), queries = hm_dim(n->in[ML_QUERY], 1);
    const double *const s = (const double *)c->in[ML_SPATIAL] + i / queries * a->map_h * a->map_w * channels;
    const double *const f = (const double *)c->in[ML_QUERY] + i * channels;
    int64_t at[4];
    double weight[4], sum = *(const double *)c->in[ML_BIAS];
    hm_corners_ref(x, y, a->map_h, a->map_w, at, weight);
    for (int k = 0; k < 4; k++)
        for (int64_t j = 0; j < channels; j++)
            sum += weight[k] * s[at[k] * channels + j] * f[j];
    return sum;
}

/* Nearer to 0, NaN nearest of all. */
static bool nearer(double a, double b) {
    return isnan(a) ? !isnan(b) : fabs(a) < fabs(b);
}

/* Candidate p is kept when fewer than `keep` others come before it. */
static bool kept(const double *logit, int64_t n, int64_t p, int64_t keep) {
    int64_t before = 0;
    for (int64_t o = 0; o < n; o++)
        before += nearer(logit[o], logit[p]) || (o < p && !nearer(logit[p], logit[o]));
    return before < keep;
}

/* Sets bits [words]. candidate [3P] is scratch. */
static void decide(const hm_call *c, int64_t pair_id, int64_t i, double *candidate, int32_t *bits) {
    const hm_mask_loss_attr *const a = c->node->attr;
    const uint64_t first = hm_draw_key(c->run, a->draw);
    const int64_t n = 3 * a->points;
    float x, y;
    for (int64_t p = 0; p < n; p++) {
        hm_draw_points(first, pair_id * n + p, 1, &x, &y);
        candidate[p] = logit_at(c, i, x, y);
    }
    memset(bits, 0, (size_t)hm_mask_loss_words(a) * sizeof *bits);
    for (int64_t p = 0; p < n; p++)
        if (kept(candidate, n, p, a->chosen))
            bits[p / 32] |= (int32_t)(1u << p % 32);
}

/* Points of pair number `pair_id` whose choice is known. */
static void place(const hm_call *c, int64_t pair_id, const int32_t *bits, pair *r) {
    const hm_mask_loss_attr *const a = c->node->attr;
    const uint64_t first = hm_draw_key(c->run, a->draw), second = hm_draw_key(c->run, a->draw + 1);
    const int64_t n = 3 * a->points, rest = a->points - a->chosen;
    int64_t m = 0;
    for (int64_t p = 0; p < n; p++)
        if ((uint32_t)bits[p / 32] >> p % 32 & 1u) {
            hm_draw_points(first, pair_id * n + p, 1, &r->x[m], &r->y[m]);
            m++;
        }
    for (int64_t p = 0; p < rest; p++)
        hm_draw_points(second, pair_id * rest + p, 1, &r->x[m + p], &r->y[m + p]);
}

static void fill(const hm_call *c, int64_t i, pair *r) {
    const hm_node *const n = c->node;
    const hm_mask_loss_attr *const a = n->attr;
    const int64_t queries = hm_dim(n->in[ML_QUERY], 1), capacity = hm_dim(n->in[ML_MASKS], 1);
    const int64_t target = i / queries * capacity + ((const int32_t *)c->in[ML_MATCH])[i];
    const uint8_t *const bits = (const uint8_t *)c->in[ML_MASKS] + target * hm_dim(n->in[ML_MASKS], 2);
    double both = 0, ours = 0, theirs = 0;
    for (int64_t p = 0; p < a->points; p++) {
        r->logit[p] = logit_at(c, i, r->x[p], r->y[p]);
        r->t[p] = hm_mask_at(bits, a->mask_h, a->mask_w, r->x[p], r->y[p]);
        both += sigmoid(r->logit[p]) * r->t[p];
        ours += sigmoid(r->logit[p]);
        theirs += r->t[p];
    }
    r->both = 2 * both + 1;
    r->whole = ours + theirs + 1;
}

/* Calls `use` with every pair in order. */
static hm_status for_pairs(const hm_call *c, void (*use)(const hm_call *c, int64_t i, const pair *r, void *to),
                           void *to) {
    const hm_node *const n = c->node;
    const hm_mask_loss_attr *const a = n->attr;
    const int64_t images = hm_dim(n->in[ML_QUERY], 0), queries = hm_dim(n->in[ML_QUERY], 1);
    const int32_t *const match = c->in[ML_MATCH];
    const bool forward = n->n_in == ML_FORWARD_INPUTS;
    int32_t *const picks = forward ? c->out[ML_PICK] : c->in[ML_PICKED]; /* [images, most, words + P] */
    const int64_t most = hm_mask_loss_most(n), words = hm_mask_loss_words(a);
    const size_t points = (size_t)a->points;
    pair r = {0};
    double *candidate = NULL;
    hm_status st;
    HM_TRY(hm_check_counts(c->in[ML_COUNTS], images, hm_dim(n->in[ML_MASKS], 1)));
    HM_TRY(hm_check_match(match, c->in[ML_COUNTS], images, queries));
    HM_TRY_TO(st, done, hm_alloc(&r.x, points, sizeof(float)));
    HM_TRY_TO(st, done, hm_alloc(&r.y, points, sizeof(float)));
    HM_TRY_TO(st, done, hm_alloc(&r.logit, points, sizeof(double)));
    HM_TRY_TO(st, done, hm_alloc(&r.t, points, sizeof(double)));
    HM_TRY_TO(st, done, hm_alloc(&candidate, 3 * points, sizeof(double)));
    int64_t pair_id = 0, own = 0; /* number of the pair in the batch and in its image */
    for (int64_t i = 0; i < images * queries; i++) {
        own = i % queries == 0 ? 0 : own;
        if (match[i] < 0)
            continue;
        int32_t *const bits = picks + (i / queries * most + own++) * (words + a->points);
        if (forward)
            decide(c, pair_id, i, candidate, bits);
        place(c, pair_id++, bits, &r);
        fill(c, i, &r);
        for (int64_t p = 0; p < a->points && forward; p++)
            ((float *)(bits + words))[p] = (float)r.logit[p];
        use(c, i, &r, to);
    }
done:
    free(r.x);
    free(r.y);
    free(r.logit);
    free(r.t);
    free(candidate);
    return st;
}

static void add_loss(const hm_call *c, int64_t i, const pair *r, void *to) {
    const hm_mask_loss_attr *const a = c->node->attr;
    double *const sum = to; /* [2] */
    (void)i;
    for (int64_t p = 0; p < a->points; p++)
        sum[0] += (softplus(-r->logit[p]) * r->t[p] + softplus(r->logit[p]) * (1 - r->t[p])) / (double)a->points;
    sum[1] += 1 - r->both / r->whole;
}

hm_status mask_loss_ref(const hm_call *c) {
    const hm_node *const n = c->node;
    const hm_mask_loss_attr *const a = n->attr;
    double sum[2] = {0, 0};
    HM_TRY(for_pairs(c, add_loss, sum));
    const double num_boxes = hm_num_boxes(c->in[ML_COUNTS], hm_dim(n->in[ML_QUERY], 0), a->groups);
    *(double *)c->out[0] = sum[0] / num_boxes;
    *(double *)c->out[1] = sum[1] / num_boxes;
    return HM_OK;
}

static void add_gradient(const hm_call *c, int64_t i, const pair *r, void *to) {
    const hm_node *const n = c->node;
    const hm_mask_loss_attr *const a = n->attr;
    const double *const d = to; /* gradients of ce and dice, over num_boxes */
    const int64_t channels = hm_dim(n->in[ML_SPATIAL], 2), queries = hm_dim(n->in[ML_QUERY], 1);
    const int64_t map = i / queries * a->map_h * a->map_w * channels;
    const double *const s = (const double *)c->in[ML_SPATIAL] + map;
    const double *const f = (const double *)c->in[ML_QUERY] + i * channels;
    double *const ds = (double *)c->out[ML_SPATIAL] + map, *const df = (double *)c->out[ML_QUERY] + i * channels;
    for (int64_t p = 0; p < a->points; p++) {
        const double sig = sigmoid(r->logit[p]), t = r->t[p];
        const double dice = (r->both - 2 * t * r->whole) / (r->whole * r->whole);
        const double dl = d[0] * (sig - t) / (double)a->points + d[1] * dice * sig * (1 - sig);
        int64_t at[4];
        double weight[4];
        hm_corners_ref(r->x[p], r->y[p], a->map_h, a->map_w, at, weight);
        for (int k = 0; k < 4; k++)
            for (int64_t j = 0; j < channels; j++) {
                ds[at[k] * channels + j] += dl * weight[k] * f[j];
                df[j] += dl * weight[k] * s[at[k] * channels + j];
            }
        *(double *)c->out[ML_BIAS] += dl;
    }
}

hm_status mask_loss_back_ref(const hm_call *c) {
    const hm_node *const n = c->node;
    const hm_mask_loss_attr *const a = n->attr;
    const double num_boxes = hm_num_boxes(c->in[ML_COUNTS], hm_dim(n->in[ML_QUERY], 0), a->groups);
    double d[2] = {0, 0};
    for (int k = 0; k < 2; k++)
        if (c->in[ML_DCE + k] != NULL)
            d[k] = *(const double *)c->in[ML_DCE + k] / num_boxes;
    for (int i = ML_SPATIAL; i <= ML_BIAS; i++)
        memset(c->out[i], 0, (size_t)hm_count(n->in[i]) * sizeof(double));
    return for_pairs(c, add_gradient, d);
}
