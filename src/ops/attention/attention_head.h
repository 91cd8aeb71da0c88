/* attention_head.h: one head of one image as the kernels see it, and what happens to scores between the products: all
 * of it in fp32. Included by cpu.c. */
#ifndef HM_OPS_ATTENTION_HEAD_H
#define HM_OPS_ATTENTION_HEAD_H

#include <math.h>

#include "device/cpu/convert.h"
#include "device/cpu/vec.h"
#include "ops/attention/attention_attr.h"

/* The head's part of a tensor [B, N, C]: rows of c numbers, the first d from element `at` on. */
typedef struct part {
    hm_dtype type;
    void *data;
    int64_t at;
} part;

typedef struct head {
    part q, k, v, dy, y, dq, dk, dv;
    part lse; /* [N], dense */
    int64_t nq, nk, c, d;
    hm_attention_room room;
} head;

/* Rows in fp32. */
typedef struct view {
    float *x;
    int64_t ld;
} view;

static inline const uint16_t *half_rows(const head *h, const part *p, int64_t first) {
    return (const uint16_t *)p->data + p->at + first * h->c;
}

/* Rows first.. of a tensor, in place or in `room` [rows, d], where they are widened. */
static view read_rows(const head *h, const part *p, int64_t first, int64_t rows, float *room) {
    if (p->type == HM_F32)
        return (view){(float *)p->data + p->at + first * h->c, h->c};
    for (int64_t i = 0; i < rows; i++)
        hm_widen(p->type, p->data, p->at + (first + i) * h->c, room + i * h->d, h->d);
    return (view){room, h->d};
}

/* Where rows first.. of a result are made: in place, or in `room`; write_rows then rounds them. */
static inline view make_rows(const head *h, const part *p, int64_t first, float *room) {
    return p->type == HM_F32 ? (view){(float *)p->data + p->at + first * h->c, h->c} : (view){room, h->d};
}

static void write_rows(const head *h, const part *p, int64_t first, int64_t rows, view from) {
    for (int64_t i = 0; p->type != HM_F32 && i < rows; i++)
        hm_narrow(p->type, from.x + i * from.ld, p->data, p->at + (first + i) * h->c, h->d);
}

static void zero_rows(const head *h, view v, int64_t rows) {
    for (int64_t i = 0; i < rows; i++)
        memset(v.x + i * v.ld, 0, (size_t)h->d * sizeof *v.x);
}

/* NaNs may be skipped here; they come back through exp(x - max). */
static inline float row_max(const float *x, int64_t n) {
    float max = -INFINITY;
#pragma omp simd reduction(max : max)
    for (int64_t i = 0; i < n; i++)
        max = x[i] > max ? x[i] : max;
    return max;
}

/* x = exp(scale x - max); returns the sum. */
static inline float row_exp(float *x, int64_t n, float scale, float max) {
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; i++) {
        x[i] = hm_expf(x[i] * scale - max);
        sum += x[i];
    }
    return sum;
}

static inline void row_scale(float *x, int64_t n, float by) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        x[i] *= by;
}

/* Turns scores scale s [rows, cols] into weights and folds them into the running maximum and sum; y [rows, d] so far is
 * rescaled to the new maximum. */
static void fold(const head *h, float *s, int64_t rows, int64_t cols, float scale, float *max, float *sum, view y,
                 bool first) {
    for (int64_t i = 0; i < rows; i++) {
        const float here = scale * row_max(s + i * cols, cols);
        const float to = first || here > max[i] ? here : max[i];
        const float keep = first ? 0 : hm_expf(max[i] - to);
        sum[i] = (first ? 0 : sum[i] * keep) + row_exp(s + i * cols, cols, scale, to);
        max[i] = to;
        if (!first)
            row_scale(y.x + i * y.ld, h->d, keep);
    }
}

/* What is left to do with y of queries first..: the division by the sum. */
static void finish_rows(const head *h, int64_t first, int64_t rows, const float *max, const float *sum, view y) {
    for (int64_t i = 0; i < rows; i++) {
        const float lse = max[i] + logf(sum[i]);
        row_scale(y.x + i * y.ld, h->d, 1 / sum[i]);
        hm_narrow(h->lse.type, &lse, h->lse.data, h->lse.at + first + i, 1);
    }
    write_rows(h, &h->y, first, rows, y);
}

/* p = exp(s - lse) over s, and ds = p (dp - dot) over dp, of queries first... */
static void rebuild(const head *h, float *restrict s, float *restrict dp, int64_t first, int64_t rows, int64_t cols,
                    const float *dot) {
    for (int64_t i = 0; i < rows; i++) {
        float *const p = s + i * cols, *const ds = dp + i * cols;
        const float shift = hm_float_at(h->lse.type, h->lse.data, (size_t)(h->lse.at + first + i)),
                    less = dot[first + i];
#pragma omp simd
        for (int64_t j = 0; j < cols; j++) {
            p[j] = hm_expf(p[j] - shift);
            ds[j] = p[j] * (ds[j] - less);
        }
    }
}

/* dot[i] = <dy_i, y_i>, which equals <p_i, dp_i>. */
static void row_dots(const head *h, float *work) {
    float *const dot = work + h->room.dot;
    for (int64_t i = 0; i < h->nq; i++) {
        const float *const y = read_rows(h, &h->y, i, 1, work + h->room.y).x;
        const float *const dy = read_rows(h, &h->dy, i, 1, work + h->room.dk).x;
        float sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t j = 0; j < h->d; j++)
            sum += y[j] * dy[j];
        dot[i] = sum;
    }
}

#endif
