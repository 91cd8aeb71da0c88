/* cpu.c: match_cost. Mask features are sampled once for an image; then, for blocks of queries, mask logits at all
 * points (hm_dots) and their sums against the targets' labels, four targets at a time. Each entry is the work of one
 * thread. */
#include <float.h>
#include <string.h>

#include "device/cpu/vec.h"
#include "graph/op.h"
#include "ops/boxes.h"
#include "ops/carve.h"
#include "ops/dots.h"
#include "ops/match_cost/match_cost_attr.h"
#include "ops/points.h"
#include "ops/targets.h"

hm_status HM_CPU(match_cost)(const hm_call *c);

typedef struct job {
    const hm_match_cost_attr *a;
    int64_t images, queries, classes, capacity, channels, bytes;
    const float *logits, *boxes, *targets; /* [images, queries, classes|4], [images, capacity, 4] */
    const int32_t *counts, *labels;
    const float *spatial, *query, *bias; /* NULL without masks */
    const uint8_t *masks;
    float *cost; /* [images, queries, capacity] */
    int threads;
    /* workspace */
    float *x, *y;   /* [points] */
    float *sampled; /* [points, channels] */
    float *label;   /* [capacity, points]: 0 or 1 */
    float *block;   /* [HM_DOTS_ROWS, stride] logits */
    float *pack;    /* of hm_dots */
    float *row;     /* [threads, 2, stride] */
} job;

static void open_masks(job *j, const hm_call *c) {
    const hm_node *const n = c->node;
    const hm_match_cost_attr *const a = j->a;
    float *const work = c->work;
    hm_carve k = {0};
    j->channels = hm_dim(n->in[MC_SPATIAL], 2);
    j->bytes = hm_dim(n->in[MC_MASKS], 2);
    j->spatial = c->in[MC_SPATIAL];
    j->query = c->in[MC_QUERY];
    j->bias = c->in[MC_BIAS];
    j->masks = c->in[MC_MASKS];
    j->x = work + hm_carve_take(&k, 2 * a->points);
    j->y = j->x + a->points;
    j->sampled = work + hm_carve_take(&k, a->points * j->channels);
    j->label = work + hm_carve_take(&k, j->capacity * a->points);
    j->block = work + hm_carve_take(&k, HM_DOTS_ROWS * hm_dots_stride(a->points));
    j->pack = work + hm_carve_take(&k, j->threads * j->channels * HM_DOTS_PANEL);
    j->row = work + hm_carve_take(&k, j->threads * 2 * hm_dots_stride(a->points));
}

static job open_job(const hm_call *c) {
    const hm_node *const n = c->node;
    job j = {.a = n->attr,
             .images = hm_dim(n->in[MC_LOGITS], 0),
             .queries = hm_dim(n->in[MC_LOGITS], 1),
             .classes = hm_dim(n->in[MC_LOGITS], 2),
             .capacity = hm_dim(n->in[MC_LABELS], 1),
             .logits = c->in[MC_LOGITS],
             .boxes = c->in[MC_BOXES],
             .targets = c->in[MC_TARGETS],
             .counts = c->in[MC_COUNTS],
             .labels = c->in[MC_LABELS],
             .cost = c->out[0],
             .threads = c->run->threads};
    if (n->n_in == MC_INPUTS)
        open_masks(&j, c);
    return j;
}

static float class_cost(float x) {
    const float p = hm_sigmoidf(x), q = hm_sigmoidf(-x);
    return 0.25f * q * q * hm_softplusf(-x) - 0.75f * p * p * hm_softplusf(x);
}

/* 5 bbox + 2 class + 2 giou of one query: cost[count]; zeros behind. */
static void detection_row(const job *j, int64_t b, int64_t q) {
    const hm_cost_weights w = j->a->weight;
    const int64_t i = b * j->queries + q, count = j->counts[b];
    const float *const box = j->boxes + i * 4, *const logit = j->logits + i * j->classes;
    const int32_t *const labels = j->labels + b * j->capacity;
    float *const cost = j->cost + i * j->capacity;
    for (int64_t t = 0; t < count; t++) {
        const float *const target = j->targets + (b * j->capacity + t) * 4;
        const float l1 = fabsf(box[0] - target[0]) + fabsf(box[1] - target[1]) + fabsf(box[2] - target[2]) +
                         fabsf(box[3] - target[3]);
        cost[t] = w.bbox * l1 + w.cls * class_cost(logit[labels[t]]) - w.giou * hm_box_giou(box, target);
    }
    for (int64_t t = count; t < j->capacity; t++)
        cost[t] = 0;
}

/* Features and labels of image b at the points. */
static void sample_image(const job *j, int64_t b) {
    const hm_match_cost_attr *const a = j->a;
    const float *const map = j->spatial + b * a->map_h * a->map_w * j->channels;
#pragma omp parallel for num_threads(j->threads) schedule(static)
    for (int64_t p = 0; p < a->points; p++) {
        const hm_corners k = hm_corners_at(j->x[p], j->y[p], a->map_h, a->map_w);
        const float *const s0 = map + k.at[0] * j->channels, *const s1 = map + k.at[1] * j->channels;
        const float *const s2 = map + k.at[2] * j->channels, *const s3 = map + k.at[3] * j->channels;
        float *restrict const to = j->sampled + p * j->channels;
        for (int64_t i = 0; i < j->channels; i++)
            to[i] = (k.weight[0] * s0[i] + k.weight[1] * s1[i]) + (k.weight[2] * s2[i] + k.weight[3] * s3[i]);
    }
#pragma omp parallel for num_threads(j->threads) schedule(static)
    for (int64_t t = 0; t < j->counts[b]; t++) {
        const uint8_t *const bits = j->masks + (b * j->capacity + t) * j->bytes;
        for (int64_t p = 0; p < a->points; p++)
            j->label[t * a->points + p] = (float)hm_mask_at(bits, a->mask_h, a->mask_w, j->x[p], j->y[p]);
    }
}

/* What the sums of one query need: l logits, positive part of l, sigmoid of l, and two of the sums. */
typedef struct query_row {
    const float *l;
    float *positive, *sig; /* [points] */
    float tail, area;      /* sums of softplus(-|l|) and of the sigmoid */
} query_row;

static void prepare_row(query_row *r, int64_t points) {
    const float *restrict const l = r->l;
    float *restrict const positive = r->positive, *restrict const sig = r->sig;
    float tail = 0, area = 0;
#pragma omp simd reduction(+ : tail, area)
    for (int64_t p = 0; p < points; p++) {
        const float v = l[p], s = hm_sigmoidf(v);
        positive[p] = v > 0 ? v : 0;
        sig[p] = s;
        tail += hm_softplusf(-fabsf(v));
        area += s;
    }
    r->tail = tail;
    r->area = area;
}

/* For 4 targets: miss = sum of |l| where its sign contradicts the label, both = sum of the sigmoid inside the target,
 * size = points inside it. */
static void four_sums(const query_row *r, const float *const label[4], int64_t points, float miss[4], float both[4],
                      float size[4]) {
    const float *restrict const l = r->l, *restrict const positive = r->positive, *restrict const sig = r->sig;
    const float *restrict const t0 = label[0], *restrict const t1 = label[1];
    const float *restrict const t2 = label[2], *restrict const t3 = label[3];
    float m0 = 0, m1 = 0, m2 = 0, m3 = 0, b0 = 0, b1 = 0, b2 = 0, b3 = 0, n0 = 0, n1 = 0, n2 = 0, n3 = 0;
#pragma omp simd reduction(+ : m0, m1, m2, m3, b0, b1, b2, b3, n0, n1, n2, n3)
    for (int64_t p = 0; p < points; p++) {
        m0 += positive[p] - l[p] * t0[p];
        m1 += positive[p] - l[p] * t1[p];
        m2 += positive[p] - l[p] * t2[p];
        m3 += positive[p] - l[p] * t3[p];
        b0 += sig[p] * t0[p];
        b1 += sig[p] * t1[p];
        b2 += sig[p] * t2[p];
        b3 += sig[p] * t3[p];
        n0 += t0[p];
        n1 += t1[p];
        n2 += t2[p];
        n3 += t3[p];
    }
    memcpy(miss, (float[4]){m0, m1, m2, m3}, 4 * sizeof *miss);
    memcpy(both, (float[4]){b0, b1, b2, b3}, 4 * sizeof *both);
    memcpy(size, (float[4]){n0, n1, n2, n3}, 4 * sizeof *size);
}

/* Adds both mask costs of one query: cost[count]. */
static void mask_row(const job *j, query_row r, int64_t count, float *cost) {
    const int64_t points = j->a->points;
    const hm_cost_weights w = j->a->weight;
    prepare_row(&r, points);
    for (int64_t first = 0; first < count; first += 4) {
        const float *label[4];
        float miss[4], both[4], size[4];
        for (int k = 0; k < 4; k++)
            label[k] = j->label + (first + k < count ? first + k : count - 1) * points;
        four_sums(&r, label, points, miss, both, size);
        for (int k = 0; k < 4 && first + k < count; k++) {
            const float ce = (r.tail + miss[k]) / (float)points;
            const float dice = 1 - (2 * both[k] + 1) / (r.area + size[k] + 1);
            cost[first + k] = cost[first + k] + w.mask_ce * ce + w.mask_dice * dice;
        }
    }
}

static void mask_costs(const job *j, int64_t b) {
    const int64_t stride = hm_dots_stride(j->a->points);
    sample_image(j, b);
    for (int64_t first = 0; first < j->queries; first += HM_DOTS_ROWS) {
        const int64_t m = j->queries - first < HM_DOTS_ROWS ? j->queries - first : HM_DOTS_ROWS;
        const float *rows[HM_DOTS_ROWS];
        for (int64_t i = 0; i < m; i++)
            rows[i] = j->query + (b * j->queries + first + i) * j->channels;
        hm_dots(j->sampled, j->a->points, j->channels, rows, m, *j->bias, j->block, j->pack, j->threads);
#pragma omp parallel for num_threads(j->threads) schedule(static)
        for (int64_t i = 0; i < m; i++) {
            float *const own = j->row + (int64_t)omp_get_thread_num() * 2 * stride;
            const query_row r = {.l = j->block + i * stride, .positive = own, .sig = own + stride};
            mask_row(j, r, j->counts[b], j->cost + (b * j->queries + first + i) * j->capacity);
        }
    }
}

/* Replaces what is not finite in the first columns of image b, as match_cost.h says. */
static void repair(const job *j, int64_t b) {
    float *const cost = j->cost + b * j->queries * j->capacity;
    float largest = -INFINITY, magnitude = 0;
    bool all = true;
    for (int64_t q = 0; q < j->queries; q++)
        for (int64_t t = 0; t < j->counts[b]; t++) {
            const float v = cost[q * j->capacity + t];
            const bool finite = fabsf(v) <= FLT_MAX;
            all &= finite;
            largest = finite && v > largest ? v : largest;
            magnitude = finite && fabsf(v) > magnitude ? fabsf(v) : magnitude;
        }
    if (all)
        return;
    const float sum = largest + magnitude + 1;
    const float instead = largest == -INFINITY ? 1 : sum > FLT_MAX ? FLT_MAX : sum;
    for (int64_t q = 0; q < j->queries; q++)
        for (int64_t t = 0; t < j->counts[b]; t++)
            if (!(fabsf(cost[q * j->capacity + t]) <= FLT_MAX))
                cost[q * j->capacity + t] = instead;
}

hm_status HM_CPU(match_cost)(const hm_call *c) {
    const job j = open_job(c);
    HM_TRY(hm_check_labels(j.labels, j.counts, j.images, j.capacity, j.classes));
    if (j.spatial != NULL)
        hm_draw_points(hm_draw_key(c->run, j.a->draw), 0, j.a->points, j.x, j.y);
    for (int64_t b = 0; b < j.images; b++) {
#pragma omp parallel for num_threads(j.threads) schedule(static)
        for (int64_t q = 0; q < j.queries; q++)
            detection_row(&j, b, q);
        if (j.spatial != NULL && j.counts[b] > 0)
            mask_costs(&j, b);
        repair(&j, b);
    }
    return HM_OK;
}
