/* cpu.c: resampling of channels-last maps, a line at a time: first the rows are combined to one line, then the line's
 * columns to the output pixels. The gradient is the same with the transposed taps. */
#include <omp.h>
#include <string.h>

#include "graph/op.h"
#include "ops/resize/resize_attr.h"

/* to [n] = (first ? 0 : to) + the sum of `count` weighted rows of `from` (row r begins at r * ld); count is constant.
 */
static inline void some(float *restrict to, const float *restrict from, int64_t ld, const int64_t *at, const float *w,
                        int64_t n, int count, bool first) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        float sum = first ? 0 : to[i];
        for (int k = 0; k < count; k++)
            sum += w[k] * from[at[k] * ld + i];
        to[i] = sum;
    }
}

/* to [n] = row `row` of the taps over the rows of `from`. */
static void combine(float *to, const float *from, int64_t ld, const hm_taps *t, int64_t row, int64_t n) {
    int64_t e = t->first[row];
    const int64_t begin = e, end = t->first[row + 1];
    if (e == end)
        memset(to, 0, (size_t)n * sizeof(float));
    while (e < end) {
        const int64_t *const at = t->at + e;
        const float *const w = t->weight + e;
        const bool first = e == begin;
        if (end - e >= 4) {
            some(to, from, ld, at, w, n, 4, first);
            e += 4;
        } else if (end - e >= 2) {
            some(to, from, ld, at, w, n, 2, first);
            e += 2;
        } else {
            some(to, from, ld, at, w, n, 1, first);
            e++;
        }
    }
}

/* from [B, H, W, C] -> to [B, h, w, C] */
typedef struct maps {
    const float *from;
    float *to;
    int64_t B, C, H, W, h, w;
    hm_taps rows, columns; /* h x H and w x W */
    char *lines;           /* for each thread W*C floats */
} maps;

static void resample(const maps *m, int threads) {
    const int64_t width = m->W * m->C;
    const size_t line_bytes = ((size_t)width * sizeof(float) + 63) & ~(size_t)63;
#pragma omp parallel for num_threads(threads)
    for (int64_t k = 0; k < m->B * m->h; k++) {
        float *const line = (float *)(m->lines + (size_t)omp_get_thread_num() * line_bytes);
        combine(line, m->from + k / m->h * m->H * width, width, &m->rows, k % m->h, width);
        for (int64_t j = 0; j < m->w; j++)
            combine(m->to + (k * m->w + j) * m->C, line, m->C, &m->columns, j, m->C);
    }
}

hm_status HM_CPU(resize)(const hm_call *c) {
    const hm_resize_attr *const a = c->node->attr;
    char *const columns = (char *)c->work + hm_taps_bytes(a->mode, a->in[0], a->out[0]);
    const maps m = {.from = c->in[0],
                    .to = c->out[0],
                    .B = hm_dim(c->node->in[0], 0),
                    .C = hm_dim(c->node->in[0], 3),
                    .H = a->in[0],
                    .W = a->in[1],
                    .h = a->out[0],
                    .w = a->out[1],
                    .rows = hm_taps_make(c->work, a->mode, a->in[0], a->out[0]),
                    .columns = hm_taps_make(columns, a->mode, a->in[1], a->out[1]),
                    .lines = columns + hm_taps_bytes(a->mode, a->in[1], a->out[1])};
    resample(&m, c->run->threads);
    return HM_OK;
}

hm_status HM_CPU(resize_back)(const hm_call *c) {
    const hm_resize_attr *const a = c->node->attr;
    const size_t row_bytes = hm_taps_bytes(a->mode, a->in[0], a->out[0]);
    const size_t column_bytes = hm_taps_bytes(a->mode, a->in[1], a->out[1]);
    char *const rows = c->work, *const columns = rows + 2 * row_bytes;
    const hm_taps across = hm_taps_make(columns + column_bytes, a->mode, a->in[1], a->out[1]);
    const hm_taps down = hm_taps_make(rows + row_bytes, a->mode, a->in[0], a->out[0]);
    const maps m = {.from = c->in[0],
                    .to = c->out[0],
                    .B = hm_dim(c->node->in[0], 0),
                    .C = hm_dim(c->node->in[0], 3),
                    .H = a->out[0],
                    .W = a->out[1],
                    .h = a->in[0],
                    .w = a->in[1],
                    .rows = hm_taps_turn(rows, &down, a->in[0], a->out[0]),
                    .columns = hm_taps_turn(columns, &across, a->in[1], a->out[1]),
                    .lines = columns + 2 * column_bytes};
    resample(&m, c->run->threads);
    return HM_OK;
}
