/* cpu.c: mask_loss and its gradient. Pairs of one image go in blocks: dense logit maps (hm_dots), then every pair
 * picks its points and sums on its own. The gradient takes the points and their logits up again and makes each map's
 * gradient, non-zero at no more than 4P pixels, which is spread to query features (by pair) and spatial features (by
 * pixel, pairs in order). Features stored in half are widened, and their gradients made in fp32, one image at a
 * time. Nothing depends on the number of threads. */
#include <string.h>

#include "device/cpu/convert.h"
#include "device/cpu/vec.h"
#include "graph/op.h"
#include "ops/carve.h"
#include "ops/dots.h"
#include "ops/mask_loss/mask_loss_attr.h"
#include "ops/points.h"
#include "ops/targets.h"

hm_status HM_CPU(mask_loss)(const hm_call *c);
hm_status HM_CPU(mask_loss_back)(const hm_call *c);

typedef struct job {
    const hm_mask_loss_attr *a;
    int64_t images, queries, channels, capacity, bytes, pixels;
    float bias;
    const int32_t *counts, *match;
    const uint8_t *masks;
    int32_t *picks; /* [images, most, words + points]: written forward, read backward */
    int64_t most, words;
    uint64_t first_key, second_key;
    int threads;
    /* of one image: where it lies, or in the workspace */
    const float *spatial, *query; /* [pixels, channels], [queries, channels] */
    float *dspatial, *dquery;
    /* workspace */
    float *room[4];  /* for those four, where they are stored in half */
    int64_t stride;  /* of the maps */
    float *maps;     /* [HM_DOTS_ROWS, stride] */
    float *pack;     /* of hm_dots */
    float *scratch;  /* [threads, 17 * points] */
    float *result;   /* [HM_DOTS_ROWS, 3] of a block's pairs: cross-entropy, dice, gradient of the bias */
    int32_t *listed; /* [queries] matched queries of one image */
} job;

static hm_status open_job(const hm_call *c, job *j) {
    const hm_node *const n = c->node;
    const hm_mask_loss_attr *const a = n->attr;
    *j = (job){.a = a,
               .images = hm_dim(n->in[ML_QUERY], 0),
               .queries = hm_dim(n->in[ML_QUERY], 1),
               .channels = hm_dim(n->in[ML_QUERY], 2),
               .capacity = hm_dim(n->in[ML_MASKS], 1),
               .bytes = hm_dim(n->in[ML_MASKS], 2),
               .pixels = a->map_h * a->map_w,
               .bias = hm_float_at(n->in[ML_BIAS]->dtype, c->in[ML_BIAS], 0),
               .counts = c->in[ML_COUNTS],
               .match = c->in[ML_MATCH],
               .masks = c->in[ML_MASKS],
               .picks = n->n_in == ML_FORWARD_INPUTS ? c->out[ML_PICK] : c->in[ML_PICKED],
               .most = hm_mask_loss_most(n),
               .words = hm_mask_loss_words(a),
               .first_key = hm_draw_key(c->run, a->draw),
               .second_key = hm_draw_key(c->run, a->draw + 1),
               .threads = c->run->threads,
               .stride = hm_dots_stride(a->map_h * a->map_w)};
    float *const work = c->work;
    hm_carve k = {0};
    j->maps = work + hm_carve_take(&k, HM_DOTS_ROWS * j->stride);
    j->pack = work + hm_carve_take(&k, j->threads * j->channels * HM_DOTS_PANEL);
    j->scratch = work + hm_carve_take(&k, j->threads * 17 * a->points);
    j->result = work + hm_carve_take(&k, HM_DOTS_ROWS * 3);
    j->listed = (int32_t *)(work + hm_carve_take(&k, j->queries));
    for (int i = 0; i < 4; i++)
        j->room[i] = work + hm_carve_take(&k, hm_mask_loss_room(n, i));
    HM_TRY(hm_check_counts(j->counts, j->images, j->capacity));
    return hm_check_match(j->match, j->counts, j->images, j->queries);
}

#define PART 16384 /* elements converted by one thread at a time */

/* The n numbers of image b in fp32: where they lie or, from half, in `room`. */
static const float *image_of(const job *j, const hm_tensor *t, const void *data, int64_t b, int64_t n, float *room) {
    if (t->dtype == HM_F32)
        return (const float *)data + b * n;
#pragma omp parallel for num_threads(j->threads) schedule(static)
    for (int64_t i = 0; i < n; i += PART)
        hm_widen(t->dtype, data, b * n + i, room + i, n - i < PART ? n - i : PART);
    return room;
}

static void open_image(job *j, const hm_call *c, int64_t b) {
    hm_tensor *const *const in = c->node->in;
    j->spatial = image_of(j, in[ML_SPATIAL], c->in[ML_SPATIAL], b, j->pixels * j->channels, j->room[0]);
    j->query = image_of(j, in[ML_QUERY], c->in[ML_QUERY], b, j->queries * j->channels, j->room[1]);
}

/* Where the gradient of image b is made, all zero. */
static float *gradient_of(const hm_tensor *t, void *data, int64_t b, int64_t n, float *room) {
    float *const to = t->dtype == HM_F32 ? (float *)data + b * n : room;
    memset(to, 0, (size_t)n * sizeof *to);
    return to;
}

static void open_gradients(job *j, const hm_call *c, int64_t b) {
    hm_tensor *const *const out = c->node->out;
    j->dspatial = gradient_of(out[ML_SPATIAL], c->out[ML_SPATIAL], b, j->pixels * j->channels, j->room[2]);
    j->dquery = gradient_of(out[ML_QUERY], c->out[ML_QUERY], b, j->queries * j->channels, j->room[3]);
}

static void round_gradient(const job *j, const hm_tensor *t, void *data, int64_t b, int64_t n, const float *from) {
    if (t->dtype == HM_F32)
        return;
#pragma omp parallel for num_threads(j->threads) schedule(static)
    for (int64_t i = 0; i < n; i += PART)
        hm_narrow(t->dtype, from + i, data, b * n + i, n - i < PART ? n - i : PART);
}

static void close_gradients(const job *j, const hm_call *c, int64_t b) {
    hm_tensor *const *const out = c->node->out;
    round_gradient(j, out[ML_SPATIAL], c->out[ML_SPATIAL], b, j->pixels * j->channels, j->dspatial);
    round_gradient(j, out[ML_QUERY], c->out[ML_QUERY], b, j->queries * j->channels, j->dquery);
}

/* The points of one pair, and scratch to choose them. */
typedef struct points {
    float *x, *y, *logit, *label;        /* [P] */
    float *cand_x, *cand_y, *cand_logit; /* [3P] */
    uint32_t *key;                       /* [3P] */
    int32_t *kept;                       /* [P] */
} points;

static points own_points(const job *j) {
    const int64_t n = j->a->points;
    float *const s = j->scratch + (int64_t)omp_get_thread_num() * 17 * n;
    return (points){.x = s,
                    .y = s + n,
                    .logit = s + 2 * n,
                    .label = s + 3 * n,
                    .cand_x = s + 4 * n,
                    .cand_y = s + 7 * n,
                    .cand_logit = s + 10 * n,
                    .key = (uint32_t *)(s + 13 * n),
                    .kept = (int32_t *)(s + 16 * n)};
}

static void set_bits(int32_t *bits, int64_t words, const int32_t *kept, int64_t n) {
    memset(bits, 0, (size_t)words * sizeof *bits);
    for (int64_t p = 0; p < n; p++)
        bits[kept[p] / 32] |= (int32_t)(1u << kept[p] % 32);
}

static void read_bits(const int32_t *bits, int64_t words, int32_t *kept, int64_t n) {
    int64_t m = 0;
    for (int64_t i = 0; i < 32 * words && m < n; i++)
        if ((uint32_t)bits[i / 32] >> i % 32 & 1u)
            kept[m++] = (int32_t)i;
}

/* Which place a pair has: number `all` of the batch, number `own` of image b; query q. */
typedef struct pair {
    int64_t all, own, b, q;
} pair;

static int32_t *pick_of(const job *j, pair pair) {
    return j->picks + (pair.b * j->most + pair.own) * (j->words + j->a->points);
}

static void label(const job *j, pair pair, const points *s) {
    const hm_mask_loss_attr *const a = j->a;
    const uint8_t *const mask = j->masks + (pair.b * j->capacity + j->match[pair.b * j->queries + pair.q]) * j->bytes;
    for (int64_t p = 0; p < a->points; p++)
        s->label[p] = (float)hm_mask_at(mask, a->mask_h, a->mask_w, s->x[p], s->y[p]);
}

/* Where the points kept are, and the other points. */
static void place(const job *j, pair pair, const points *s) {
    const hm_mask_loss_attr *const a = j->a;
    const int64_t rest = a->points - a->chosen;
    for (int64_t p = 0; p < a->chosen; p++) {
        s->x[p] = s->cand_x[s->kept[p]];
        s->y[p] = s->cand_y[s->kept[p]];
    }
    hm_draw_points(j->second_key, pair.all * rest, rest, s->x + a->chosen, s->y + a->chosen);
}

/* Points, logits and labels of a pair whose logit map is given; notes them for the gradient. */
static void choose(const job *j, pair pair, const float *map, const points *s) {
    const hm_mask_loss_attr *const a = j->a;
    const int64_t n = 3 * a->points;
    int32_t *const pick = pick_of(j, pair);
    hm_draw_points(j->first_key, pair.all * n, n, s->cand_x, s->cand_y);
    hm_sample_map(map, a->map_h, a->map_w, s->cand_x, s->cand_y, n, s->cand_logit);
    hm_most_uncertain(s->cand_logit, n, a->chosen, s->key, s->kept);
    place(j, pair, s);
    for (int64_t p = 0; p < a->chosen; p++)
        s->logit[p] = s->cand_logit[s->kept[p]];
    hm_sample_map(map, a->map_h, a->map_w, s->x + a->chosen, s->y + a->chosen, a->points - a->chosen,
                  s->logit + a->chosen);
    label(j, pair, s);
    set_bits(pick, j->words, s->kept, a->chosen);
    memcpy(pick + j->words, s->logit, (size_t)a->points * sizeof *s->logit);
}

/* The same points again. */
static void recall(const job *j, pair pair, const points *s) {
    const int64_t n = 3 * j->a->points;
    const int32_t *const pick = pick_of(j, pair);
    hm_draw_points(j->first_key, pair.all * n, n, s->cand_x, s->cand_y);
    read_bits(pick, j->words, s->kept, j->a->chosen);
    place(j, pair, s);
    memcpy(s->logit, pick + j->words, (size_t)j->a->points * sizeof *s->logit);
    label(j, pair, s);
}

/* Over the points of a pair: cross-entropy summed, dice = 1 - both / whole. */
typedef struct sums {
    double ce, both, whole;
} sums;

static sums sum_points(const float *restrict logit, const float *restrict label, int64_t n) {
    double ce = 0, both = 0, whole = 0;
#pragma omp simd reduction(+ : ce, both, whole)
    for (int64_t p = 0; p < n; p++) {
        const float l = logit[p], t = label[p], s = hm_sigmoidf(l);
        ce += (double)hm_softplusf(t > 0 ? -l : l);
        both += (double)(s * t);
        whole += (double)(s + t);
    }
    return (sums){ce, 2 * both + 1, whole + 1};
}

/* listed = matched queries of image b; their number. */
static int64_t list_pairs(const job *j, int64_t b) {
    int64_t n = 0;
    for (int64_t q = 0; q < j->queries; q++)
        if (j->match[b * j->queries + q] >= 0)
            j->listed[n++] = (int32_t)q;
    return n;
}

/* Logit maps of m listed pairs from number `first` on. */
static void make_maps(const job *j, int64_t first, int64_t m) {
    const float *rows[HM_DOTS_ROWS];
    for (int64_t i = 0; i < m; i++)
        rows[i] = j->query + j->listed[first + i] * j->channels;
    hm_dots(j->spatial, j->pixels, j->channels, rows, m, j->bias, j->maps, j->pack, j->threads);
}

static int64_t block_size(int64_t n, int64_t first) {
    return n - first < HM_DOTS_ROWS ? n - first : HM_DOTS_ROWS;
}

hm_status HM_CPU(mask_loss)(const hm_call *c) {
    job j;
    HM_TRY(open_job(c, &j));
    double ce = 0, dice = 0;
    int64_t before = 0; /* pairs of earlier images */
    for (int64_t b = 0; b < j.images; b++) {
        const int64_t n = list_pairs(&j, b);
        if (n > 0)
            open_image(&j, c, b);
        for (int64_t first = 0; first < n; first += HM_DOTS_ROWS) {
            const int64_t m = block_size(n, first);
            make_maps(&j, first, m);
#pragma omp parallel for num_threads(j.threads) schedule(static)
            for (int64_t i = 0; i < m; i++) {
                const points s = own_points(&j);
                choose(&j, (pair){before + first + i, first + i, b, j.listed[first + i]}, j.maps + i * j.stride, &s);
                const sums r = sum_points(s.logit, s.label, j.a->points);
                j.result[i * 3] = (float)(r.ce / (double)j.a->points);
                j.result[i * 3 + 1] = (float)(1 - r.both / r.whole);
            }
            for (int64_t i = 0; i < m; i++) {
                ce += (double)j.result[i * 3];
                dice += (double)j.result[i * 3 + 1];
            }
        }
        before += n;
    }
    const double num_boxes = hm_num_boxes(j.counts, j.images, j.a->groups);
    hm_float_put(c->node->out[0]->dtype, c->out[0], 0, (float)(ce / num_boxes));
    hm_float_put(c->node->out[1]->dtype, c->out[1], 0, (float)(dice / num_boxes));
    return HM_OK;
}

/* map = the gradient of a pair's logit map; returns the gradient of the bias. */
static float map_gradient(const job *j, const points *s, float dce, float ddice, float *map) {
    const int64_t n = j->a->points;
    const sums r = sum_points(s->logit, s->label, n);
    const float both = (float)r.both, whole = (float)r.whole, scale = ddice / (whole * whole);
    double bias = 0;
    memset(map, 0, (size_t)j->stride * sizeof *map);
    for (int64_t p = 0; p < n; p++) {
        const float t = s->label[p], sig = hm_sigmoidf(s->logit[p]), other = hm_sigmoidf(-s->logit[p]);
        const float dl = dce * (t > 0 ? -other : sig) + scale * (both - 2 * t * whole) * sig * other;
        const hm_corners k = hm_corners_at(s->x[p], s->y[p], j->a->map_h, j->a->map_w);
        for (int corner = 0; corner < 4; corner++)
            map[k.at[corner]] += k.weight[corner] * dl;
        bias += (double)dl;
    }
    return (float)bias;
}

#define CHUNK 256 /* pixels or channels summed at a time */

/* to[channels] = sum over pixels of dmap[pixel] * spatial[pixel]; chunks of pixels are summed on their own first. */
static void query_gradient(const job *j, const float *dmap, float *restrict to) {
    for (int64_t c0 = 0; c0 < j->channels; c0 += CHUNK) {
        const int64_t width = j->channels - c0 < CHUNK ? j->channels - c0 : CHUNK;
        for (int64_t first = 0; first < j->pixels; first += CHUNK) {
            const int64_t end = first + CHUNK < j->pixels ? first + CHUNK : j->pixels;
            float sum[CHUNK] = {0};
            for (int64_t p = first; p < end; p++) {
                const float d = dmap[p];
                const float *restrict const row = j->spatial + p * j->channels + c0;
                if (d != 0)
                    for (int64_t k = 0; k < width; k++)
                        sum[k] += d * row[k];
            }
            for (int64_t k = 0; k < width; k++)
                to[c0 + k] += sum[k];
        }
    }
}

/* dspatial[pixel] += sum over the block's pairs of dmap[pair][pixel] * query[pair]. */
static void spatial_gradient(const job *j, const int32_t *listed, int64_t m) {
#pragma omp parallel for num_threads(j->threads) schedule(static)
    for (int64_t p = 0; p < j->pixels; p++) {
        float *restrict const to = j->dspatial + p * j->channels;
        for (int64_t i = 0; i < m; i++) {
            const float d = j->maps[i * j->stride + p];
            const float *restrict const row = j->query + listed[i] * j->channels;
            if (d != 0)
                for (int64_t k = 0; k < j->channels; k++)
                    to[k] += d * row[k];
        }
    }
}

/* The gradients of one block of pairs; `before` counts the pairs ahead of it. */
static void block_gradient(const job *j, int64_t b, int64_t first, int64_t m, int64_t before, const double d[2],
                           double *dbias) {
    const float dce = (float)(d[0] / (double)j->a->points), ddice = (float)d[1];
#pragma omp parallel for num_threads(j->threads) schedule(static)
    for (int64_t i = 0; i < m; i++) {
        const points s = own_points(j);
        const int64_t q = j->listed[first + i];
        float *const own = j->maps + i * j->stride;
        recall(j, (pair){before + i, first + i, b, q}, &s);
        j->result[i * 3 + 2] = map_gradient(j, &s, dce, ddice, own);
        query_gradient(j, own, j->dquery + q * j->channels);
    }
    spatial_gradient(j, j->listed + first, m);
    for (int64_t i = 0; i < m; i++)
        *dbias += (double)j->result[i * 3 + 2];
}

hm_status HM_CPU(mask_loss_back)(const hm_call *c) {
    job j;
    HM_TRY(open_job(c, &j));
    const double num_boxes = hm_num_boxes(j.counts, j.images, j.a->groups);
    double d[2] = {0, 0}, dbias = 0;
    for (int k = 0; k < 2; k++)
        if (c->in[ML_DCE + k] != NULL)
            d[k] = (double)hm_float_at(c->node->in[ML_DCE + k]->dtype, c->in[ML_DCE + k], 0) / num_boxes;
    int64_t before = 0; /* pairs of earlier images */
    for (int64_t b = 0; b < j.images; b++) {
        const int64_t n = list_pairs(&j, b);
        if (n > 0)
            open_image(&j, c, b);
        open_gradients(&j, c, b);
        for (int64_t first = 0; first < n; first += HM_DOTS_ROWS)
            block_gradient(&j, b, first, block_size(n, first), before + first, d, &dbias);
        close_gradients(&j, c, b);
        before += n;
    }
    hm_float_put(c->node->out[ML_BIAS]->dtype, c->out[ML_BIAS], 0, (float)dbias);
    return HM_OK;
}
