/* attention_floats.h: attention by blocks with products of fp32. Operands stored in half are widened block by block;
 * probabilities and their gradients are then rounded to the same type before they are multiplied, as bf16 products
 * round them (attention_words.h). Included by cpu.c. */
#ifndef HM_OPS_ATTENTION_FLOATS_H
#define HM_OPS_ATTENTION_FLOATS_H

#include "device/cpu/gemm.h"
#include "ops/attention/attention_head.h"

/* x [rows, cols] rounded to `type`. */
static inline void round_to(hm_dtype type, float *x, int64_t rows, int64_t cols) {
    uint16_t half[HM_ATTENTION_K];
    for (int64_t i = 0; type != HM_F32 && i < rows; i++) {
        hm_narrow(type, x + i * cols, half, 0, cols);
        hm_widen(type, half, 0, x + i * cols, cols);
    }
}

/* Queries [first, first + rows) of a head. */
static bool forward_floats(const head *h, int64_t first, int64_t rows, float *work) {
    const int64_t step = hm_attention_block(h->nk, HM_ATTENTION_K), d = h->d;
    const float scale = 1 / sqrtf((float)d);
    float *const max = work + h->room.max, *const sum = work + h->room.sum, *const s = work + h->room.s;
    const view q = read_rows(h, &h->q, first, rows, work + h->room.q), y = make_rows(h, &h->y, first, work + h->room.y);
    bool ok = true;
    for (int64_t k0 = 0; k0 < h->nk && ok; k0 += step) {
        const int64_t cols = hm_attention_min(step, h->nk - k0);
        const view k = read_rows(h, &h->k, k0, cols, work + h->room.k);
        const view v = read_rows(h, &h->v, k0, cols, work + h->room.v);
        ok = hm_gemm_serial(false, true, rows, cols, d, scale, q.x, q.ld, k.x, k.ld, 0, s, cols);
        fold(h, s, rows, cols, 1, max, sum, y, k0 == 0);
        round_to(h->v.type, s, rows, cols);
        ok = ok && hm_gemm_serial(false, false, rows, d, cols, 1, s, cols, v.x, v.ld, k0 > 0, y.x, y.ld);
    }
    finish_rows(h, first, rows, max, sum, y);
    return ok;
}

/* Keys of a block and what is made for them. */
typedef struct key_block {
    int64_t first, cols;
    view k, v, dk, dv;
} key_block;

/* Queries q0..: adds to dq, dk, dv (the first contribution to a row overwrites it). */
static bool backward_floats_block(const head *h, const key_block *b, view dq, int64_t q0, int64_t rows, float *work) {
    const int64_t d = h->d, cols = b->cols;
    const float scale = 1 / sqrtf((float)d);
    float *const s = work + h->room.s, *const dp = work + h->room.dp, *const to = dq.x + q0 * dq.ld;
    const view q = read_rows(h, &h->q, q0, rows, work + h->room.q),
               dy = read_rows(h, &h->dy, q0, rows, work + h->room.dy);
    bool ok = hm_gemm_serial(false, true, rows, cols, d, scale, q.x, q.ld, b->k.x, b->k.ld, 0, s, cols) &&
              hm_gemm_serial(false, true, rows, cols, d, 1, dy.x, dy.ld, b->v.x, b->v.ld, 0, dp, cols);
    rebuild(h, s, dp, q0, rows, cols, work + h->room.dot);
    round_to(h->dy.type, s, rows, cols);
    round_to(h->q.type, dp, rows, cols);
    ok = ok && hm_gemm_serial(true, false, cols, d, rows, 1, s, cols, dy.x, dy.ld, q0 > 0, b->dv.x, b->dv.ld);
    ok = ok && hm_gemm_serial(true, false, cols, d, rows, scale, dp, cols, q.x, q.ld, q0 > 0, b->dk.x, b->dk.ld);
    return ok && hm_gemm_serial(false, false, rows, d, cols, scale, dp, cols, b->k.x, b->k.ld, b->first > 0, to, dq.ld);
}

static bool backward_floats(const head *h, float *work) {
    const int64_t q_step = hm_attention_block(h->nq, HM_ATTENTION_Q),
                  k_step = hm_attention_block(h->nk, HM_ATTENTION_K);
    const view dq = make_rows(h, &h->dq, 0, work + h->room.dq);
    bool ok = true;
    for (int64_t k0 = 0; k0 < h->nk; k0 += k_step) {
        const int64_t cols = hm_attention_min(k_step, h->nk - k0);
        const key_block b = {.first = k0,
                             .cols = cols,
                             .k = read_rows(h, &h->k, k0, cols, work + h->room.k),
                             .v = read_rows(h, &h->v, k0, cols, work + h->room.v),
                             .dk = make_rows(h, &h->dk, k0, work + h->room.dk),
                             .dv = make_rows(h, &h->dv, k0, work + h->room.dv)};
        if (h->nq == 0) {
            zero_rows(h, b.dk, cols);
            zero_rows(h, b.dv, cols);
        }
        for (int64_t q0 = 0; q0 < h->nq && ok; q0 += q_step)
            ok = backward_floats_block(h, &b, dq, q0, hm_attention_min(q_step, h->nq - q0), work);
        write_rows(h, &h->dk, k0, cols, b.dk);
        write_rows(h, &h->dv, k0, cols, b.dv);
    }
    write_rows(h, &h->dq, 0, h->nq, dq);
    return ok;
}

#endif
