/* attention_words.h: attention by blocks with bf16 products (device/cpu/pairs.h). Scores, softmax and all sums are
 * fp32; probabilities P and their gradients dS are rounded to bf16 where a product reads them. Included by cpu.c. */
#ifndef HM_OPS_ATTENTION_WORDS_H
#define HM_OPS_ATTENTION_WORDS_H

#include "device/cpu/pairs.h"
#include "ops/attention/attention_head.h"

/* c [m, n] (+)= alpha a b, both summed over k numbers; a packed as rows. */
static inline void by_rows(const hm_word *a, const hm_word *b, int64_t m, int64_t n, int64_t k, float alpha, bool add,
                           view c) {
    const int64_t words = hm_pairs_words(k);
    hm_pairs_multiply(&(hm_pairs_product){.a = a,
                                          .b = b,
                                          .row = words,
                                          .word = 1,
                                          .m = m,
                                          .n = n,
                                          .words = words,
                                          .alpha = alpha,
                                          .add = add,
                                          .c = c.x,
                                          .ldc = c.ld});
}

/* The same with a packed as columns. */
static inline void by_columns(const hm_word *a, const hm_word *b, int64_t m, int64_t n, int64_t k, float alpha,
                              bool add, view c) {
    hm_pairs_multiply(&(hm_pairs_product){.a = a,
                                          .b = b,
                                          .row = 1,
                                          .word = hm_pairs_stride(m),
                                          .m = m,
                                          .n = n,
                                          .words = hm_pairs_words(k),
                                          .alpha = alpha,
                                          .add = add,
                                          .c = c.x,
                                          .ldc = c.ld});
}

static inline hm_word *words_at(float *work, size_t at) {
    return (hm_word *)(void *)(work + at);
}

/* Queries [first, first + rows) of a head. */
static bool forward_words(const head *h, int64_t first, int64_t rows, float *work) {
    const hm_attention_room *const r = &h->room;
    const int64_t step = hm_attention_block(h->nk, HM_ATTENTION_K), d = h->d;
    const float scale = 1 / sqrtf((float)d);
    float *const max = work + r->max, *const sum = work + r->sum, *const s = work + r->s;
    hm_word *const q = words_at(work, r->q), *const k = words_at(work, r->k), *const v = words_at(work, r->v_sum);
    hm_word *const p = words_at(work, r->p);
    const view y = make_rows(h, &h->y, first, work + r->y);
    hm_pairs_rows(half_rows(h, &h->q, first), h->c, rows, d, q);
    for (int64_t k0 = 0; k0 < h->nk; k0 += step) {
        const int64_t cols = hm_attention_min(step, h->nk - k0);
        hm_pairs_turned(half_rows(h, &h->k, k0), h->c, cols, d, k);
        hm_pairs_columns(half_rows(h, &h->v, k0), h->c, cols, d, v);
        by_rows(q, k, rows, cols, d, scale, false, (view){s, cols});
        fold(h, s, rows, cols, 1, max, sum, y, k0 == 0);
        hm_pairs_rows_of(s, rows, cols, p);
        by_rows(p, v, rows, d, cols, 1, k0 > 0, y);
    }
    finish_rows(h, first, rows, max, sum, y);
    return true;
}

/* Queries q0.. and the keys [k0, k0 + cols) that are packed: adds to dq, dk, dv (the first contribution to a row
 * overwrites it). */
static void backward_words_block(const head *h, int64_t k0, int64_t cols, int64_t q0, int64_t rows, view dq, view dk,
                                 view dv, float *work) {
    const hm_attention_room *const r = &h->room;
    const int64_t d = h->d;
    const float scale = 1 / sqrtf((float)d);
    float *const s = work + r->s, *const dp = work + r->dp;
    hm_word *const q = words_at(work, r->q), *const q_sum = words_at(work, r->q_sum);
    hm_word *const dy = words_at(work, r->dy), *const dy_sum = words_at(work, r->dy_sum);
    hm_word *const ds = words_at(work, r->p), *const ds_sum = words_at(work, r->ds_sum);
    hm_word *const p_sum = words_at(work, r->p_sum);
    hm_pairs_rows(half_rows(h, &h->q, q0), h->c, rows, d, q);
    hm_pairs_columns(half_rows(h, &h->q, q0), h->c, rows, d, q_sum);
    hm_pairs_rows(half_rows(h, &h->dy, q0), h->c, rows, d, dy);
    hm_pairs_columns(half_rows(h, &h->dy, q0), h->c, rows, d, dy_sum);
    by_rows(q, words_at(work, r->k), rows, cols, d, scale, false, (view){s, cols});
    by_rows(dy, words_at(work, r->v), rows, cols, d, 1, false, (view){dp, cols});
    rebuild(h, s, dp, q0, rows, cols, work + r->dot);
    hm_pairs_columns_of(s, rows, cols, p_sum);
    hm_pairs_columns_of(dp, rows, cols, ds_sum);
    hm_pairs_rows_of(dp, rows, cols, ds);
    by_columns(p_sum, dy_sum, cols, d, rows, 1, q0 > 0, dv);
    by_columns(ds_sum, q_sum, cols, d, rows, scale, q0 > 0, dk);
    by_rows(ds, words_at(work, r->k_sum), rows, d, cols, scale, k0 > 0, (view){dq.x + q0 * dq.ld, dq.ld});
}

static bool backward_words(const head *h, float *work) {
    const hm_attention_room *const r = &h->room;
    const int64_t q_step = hm_attention_block(h->nq, HM_ATTENTION_Q),
                  k_step = hm_attention_block(h->nk, HM_ATTENTION_K);
    const view dq = make_rows(h, &h->dq, 0, work + r->dq);
    for (int64_t k0 = 0; k0 < h->nk; k0 += k_step) {
        const int64_t cols = hm_attention_min(k_step, h->nk - k0);
        const view dk = make_rows(h, &h->dk, k0, work + r->dk), dv = make_rows(h, &h->dv, k0, work + r->dv);
        hm_pairs_turned(half_rows(h, &h->k, k0), h->c, cols, h->d, words_at(work, r->k));
        hm_pairs_turned(half_rows(h, &h->v, k0), h->c, cols, h->d, words_at(work, r->v));
        hm_pairs_columns(half_rows(h, &h->k, k0), h->c, cols, h->d, words_at(work, r->k_sum));
        if (h->nq == 0) {
            zero_rows(h, dk, cols);
            zero_rows(h, dv, cols);
        }
        for (int64_t q0 = 0; q0 < h->nq; q0 += q_step)
            backward_words_block(h, k0, cols, q0, hm_attention_min(q_step, h->nq - q0), dq, dk, dv, work);
        write_rows(h, &h->dk, k0, cols, dk);
        write_rows(h, &h->dv, k0, cols, dv);
    }
    write_rows(h, &h->dq, 0, h->nq, dq);
    return true;
}

#endif
