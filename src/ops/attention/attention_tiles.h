/* attention_tiles.h: attention by blocks with bf16 products of oneDNN (device/cpu/gemm_bf16.h), which read q, k, v and
 * dy where they lie. Scores, softmax and all sums are fp32; P and dS are rounded to bf16, as whole blocks, for the
 * products. Backward, blocks are transposed, [keys, queries], so that only dS K turns an operand. The factor 1/sqrt(d)
 * goes into the exponent and onto the finished dk and dq. Included by cpu.c. */
#ifndef HM_OPS_ATTENTION_TILES_H
#define HM_OPS_ATTENTION_TILES_H

#include "device/cpu/gemm_bf16.h"
#include "ops/attention/attention_head.h"

#define TILE 32 /* rows and columns that oneDNN computes at once */

/* Blocks of at most `most`, whole tiles except for the last. */
static inline int64_t tiled(int64_t n, int64_t most) {
    const int64_t even = (hm_attention_block(n, most) + TILE - 1) / TILE * TILE;
    return even < most ? even : most;
}

/* Rows of a head in bf16, or of a block of P or dS. */
typedef struct halves {
    const uint16_t *x;
    int64_t ld;
} halves;

static inline halves halves_of(const head *h, const part *p, int64_t first) {
    return (halves){half_rows(h, p, first), h->c};
}

static inline uint16_t *block_at(float *work, size_t at) {
    return (uint16_t *)(void *)(work + at);
}

/* to [m, d] (+)= op(a) [m, k] b [k, d]. */
static bool collect(const head *h, bool turned, int64_t m, int64_t k, halves a, halves b, bool add, view to,
                    float *room) {
    const view c = add ? (view){room, h->d} : to;
    const bool ok = hm_gemm_bf16_serial(turned, false, m, h->d, k, a.x, a.ld, b.x, b.ld, c.x, c.ld);
    for (int64_t i = 0; add && i < m; i++)
        for (int64_t j = 0; j < h->d; j++)
            to.x[i * to.ld + j] += room[i * h->d + j];
    return ok;
}

/* s [m, n] = a b^T, both with rows of d numbers. */
static bool scores(const head *h, int64_t m, int64_t n, halves a, halves b, float *s) {
    return hm_gemm_bf16_serial(false, true, m, n, h->d, a.x, a.ld, b.x, b.ld, s, hm_attention_padded(n));
}

/* Fills rows up, so that what is past their ends gets no weight. */
static void close_rows(float *s, int64_t rows, int64_t cols, int64_t ld) {
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = cols; j < ld; j++)
            s[i * ld + j] = -INFINITY;
}

/* Queries [first, first + rows) of a head. */
static bool forward_tiles(const head *h, int64_t first, int64_t rows, float *work) {
    const hm_attention_room *const r = &h->room;
    const int64_t step = tiled(h->nk, HM_ATTENTION_K);
    float *const max = work + r->max, *const sum = work + r->sum, *const s = work + r->s;
    uint16_t *const p = block_at(work, r->p);
    const view y = make_rows(h, &h->y, first, work + r->y);
    bool ok = true;
    for (int64_t k0 = 0; k0 < h->nk && ok; k0 += step) {
        const int64_t cols = hm_attention_min(step, h->nk - k0), ld = hm_attention_padded(cols);
        ok = scores(h, rows, cols, halves_of(h, &h->q, first), halves_of(h, &h->k, k0), s);
        close_rows(s, rows, cols, ld);
        fold(h, s, rows, ld, 1 / sqrtf((float)h->d), max, sum, y, k0 == 0);
        hm_narrow_operand(s, p, rows * ld);
        ok = ok && collect(h, false, rows, cols, (halves){p, ld}, halves_of(h, &h->v, k0), k0 > 0, y, work + r->part);
    }
    finish_rows(h, first, rows, max, sum, y);
    return ok;
}

/* A block of keys and the results that are made for them. */
typedef struct keys {
    int64_t first, rows;
    view dk, dv;
} keys;

/* p = exp(scale s - lse) and ds = p (dp - dot) of queries first.., in rows of ld numbers, both rounded to bf16. */
static void rebuild_turned(const head *h, const keys *b, int64_t first, int64_t ld, float *work) {
    const hm_attention_room *const r = &h->room;
    const float *const lse = work + r->lse + first, *const dot = work + r->dot + first;
    const float scale = 1 / sqrtf((float)h->d);
    for (int64_t i = 0; i < b->rows; i++) {
        float *const p = work + r->s + i * ld, *const ds = work + r->dp + i * ld;
#pragma omp simd
        for (int64_t j = 0; j < ld; j++) {
            p[j] = hm_expf(p[j] * scale - lse[j]);
            ds[j] = p[j] * (ds[j] - dot[j]);
        }
        hm_narrow_operand(p, block_at(work, r->p) + i * ld, ld);
        hm_narrow_operand(ds, block_at(work, r->ds_sum) + i * ld, ld);
    }
}

/* Adds what queries q0.. give to dq, dk and dv (the first contribution to a row overwrites it). */
static bool backward_tiles_block(const head *h, const keys *b, view dq, int64_t q0, int64_t cols, float *work) {
    const hm_attention_room *const r = &h->room;
    const halves q = halves_of(h, &h->q, q0), dy = halves_of(h, &h->dy, q0), k = halves_of(h, &h->k, b->first),
                 v = halves_of(h, &h->v, b->first);
    const int64_t ld = hm_attention_padded(cols);
    const halves p = {block_at(work, r->p), ld}, ds = {block_at(work, r->ds_sum), ld};
    float *const room = work + r->part;
    bool ok = scores(h, b->rows, cols, k, q, work + r->s) && scores(h, b->rows, cols, v, dy, work + r->dp);
    rebuild_turned(h, b, q0, ld, work);
    ok = ok && collect(h, false, b->rows, cols, p, dy, q0 > 0, b->dv, room);
    ok = ok && collect(h, false, b->rows, cols, ds, q, q0 > 0, b->dk, room);
    return ok && collect(h, true, cols, b->rows, ds, k, b->first > 0, (view){dq.x + q0 * dq.ld, dq.ld}, room);
}

/* Rows of a finished result times 1/sqrt(d), stored. */
static void write_scaled(const head *h, const part *to, int64_t first, int64_t rows, view from) {
    for (int64_t i = 0; i < rows; i++)
        row_scale(from.x + i * from.ld, h->d, 1 / sqrtf((float)h->d));
    write_rows(h, to, first, rows, from);
}

static bool backward_tiles(const head *h, float *work) {
    const hm_attention_room *const r = &h->room;
    const int64_t k_step = tiled(h->nk, HM_ATTENTION_Q), q_step = tiled(h->nq, HM_ATTENTION_K);
    const view dq = make_rows(h, &h->dq, 0, work + r->dq);
    bool ok = true;
    hm_widen(h->lse.type, h->lse.data, h->lse.at, work + r->lse, h->nq);
    for (int64_t k0 = 0; k0 < h->nk && ok; k0 += k_step) {
        const keys b = {.first = k0,
                        .rows = hm_attention_min(k_step, h->nk - k0),
                        .dk = make_rows(h, &h->dk, k0, work + r->dk),
                        .dv = make_rows(h, &h->dv, k0, work + r->dv)};
        if (h->nq == 0) {
            zero_rows(h, b.dk, b.rows);
            zero_rows(h, b.dv, b.rows);
        }
        for (int64_t q0 = 0; q0 < h->nq && ok; q0 += q_step)
            ok = backward_tiles_block(h, &b, dq, q0, hm_attention_min(q_step, h->nq - q0), work);
        write_scaled(h, &h->dk, k0, b.rows, b.dk);
        write_rows(h, &h->dv, k0, b.rows, b.dv);
    }
    write_scaled(h, &h->dq, 0, h->nq, dq);
    return ok;
}

#endif
