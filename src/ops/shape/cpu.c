/* cpu.c: permutations, joins and cuts of tensors with 4-byte elements. Joins and cuts copy runs of bytes; permutations
 * copy runs where the last dimension stays last, and else transpose in tiles that fit the cache. */
#include <string.h>

#include "graph/op.h"
#include "ops/shape/layout.h"
#include "ops/shape/shape_attr.h"

hm_status HM_CPU(hm_permute)(const hm_call *c);
hm_status HM_CPU(hm_concat)(const hm_call *c);
hm_status HM_CPU(hm_slice)(const hm_call *c);
hm_status HM_CPU(hm_pad)(const hm_call *c);

#define TILE 32
#define ITEM ((int64_t)sizeof(uint32_t))

static int threads_for(const hm_call *c, int64_t elements) {
    return elements > 32768 ? c->run->threads : 1;
}

static int64_t smaller(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* ---- permute */

/* Offsets of combination `index` of all dimensions but `a` and `b`. */
static void offsets(const hm_layout *l, int a, int b, int64_t index, int64_t *in, int64_t *out) {
    *in = *out = 0;
    for (int i = l->rank - 1; i >= 0; i--) {
        if (i == a || i == b)
            continue;
        *in += index % l->dim[i] * l->in[i];
        *out += index % l->dim[i] * l->out[i];
        index /= l->dim[i];
    }
}

static void copy_rows(const hm_call *c, const hm_layout *l, int64_t count) {
    const int last = l->rank - 1;
    const int64_t n = l->dim[last];
    const uint32_t *const x = c->in[0];
    uint32_t *const y = c->out[0];
#pragma omp parallel for schedule(static) num_threads(threads_for(c, count))
    for (int64_t r = 0; r < count / n; r++) {
        int64_t in, out;
        offsets(l, last, last, r, &in, &out);
        memcpy(y + out, x + in, (size_t)(n * ITEM));
    }
}

typedef uint32_t quad __attribute__((vector_size(16)));

/* Four by four elements, transposed in registers. */
static inline void transpose_quads(const uint32_t *x, int64_t x_stride, uint32_t *y, int64_t y_stride) {
    quad in[4], out[4];
    for (int k = 0; k < 4; k++)
        memcpy(&in[k], x + k * x_stride, sizeof in[k]);
    const quad a = __builtin_shufflevector(in[0], in[1], 0, 4, 1, 5),
               b = __builtin_shufflevector(in[0], in[1], 2, 6, 3, 7);
    const quad c = __builtin_shufflevector(in[2], in[3], 0, 4, 1, 5),
               d = __builtin_shufflevector(in[2], in[3], 2, 6, 3, 7);
    out[0] = __builtin_shufflevector(a, c, 0, 1, 4, 5);
    out[1] = __builtin_shufflevector(a, c, 2, 3, 6, 7);
    out[2] = __builtin_shufflevector(b, d, 0, 1, 4, 5);
    out[3] = __builtin_shufflevector(b, d, 2, 3, 6, 7);
    for (int k = 0; k < 4; k++)
        memcpy(y + k * y_stride, &out[k], sizeof out[k]);
}

/* y[i * y_stride + j] = x[j * x_stride + i] for i < rows, j < columns. */
static void transpose_tile(const uint32_t *x, int64_t x_stride, uint32_t *y, int64_t y_stride, int64_t rows,
                           int64_t columns) {
    const int64_t whole_rows = rows / 4 * 4, whole_columns = columns / 4 * 4;
    for (int64_t i = 0; i < whole_rows; i += 4)
        for (int64_t j = 0; j < whole_columns; j += 4)
            transpose_quads(x + j * x_stride + i, x_stride, y + i * y_stride + j, y_stride);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = i < whole_rows ? whole_columns : 0; j < columns; j++)
            y[i * y_stride + j] = x[j * x_stride + i];
}

/* The input's contiguous dimension is output dimension `row`, not the last. */
static void transpose(const hm_call *c, const hm_layout *l, int64_t count, int row) {
    const int last = l->rank - 1;
    const int64_t rows = l->dim[row], columns = l->dim[last];
    const int64_t row_tiles = (rows + TILE - 1) / TILE, planes = count / (rows * columns);
    const uint32_t *const x = c->in[0];
    uint32_t *const y = c->out[0];
#pragma omp parallel for schedule(static) num_threads(threads_for(c, count))
    for (int64_t t = 0; t < planes * row_tiles; t++) {
        const int64_t i = t % row_tiles * TILE;
        int64_t in, out;
        offsets(l, row, last, t / row_tiles, &in, &out);
        for (int64_t j = 0; j < columns; j += TILE)
            transpose_tile(x + in + j * l->in[last] + i, l->in[last], y + out + i * l->out[row] + j, l->out[row],
                           smaller(TILE, rows - i), smaller(TILE, columns - j));
    }
}

hm_status HM_CPU(hm_permute)(const hm_call *c) {
    const hm_tensor *const x = c->node->in[0], *const y = c->node->out[0];
    const int64_t count = hm_count(y);
    if (count == 0)
        return HM_OK;
    const hm_layout l = hm_layout_of(x->shape, y->shape, ((const hm_permute_attr *)c->node->attr)->perm);
    const int contiguous = hm_layout_contiguous(&l);
    if (contiguous == l.rank - 1)
        copy_rows(c, &l, count);
    else
        transpose(c, &l, count, contiguous);
    return HM_OK;
}

/* ---- concat, slice, pad: `rows` runs of bytes at fixed distances */

typedef struct runs {
    char *to;
    const char *from;
    int64_t to_step, from_step, bytes, rows;
} runs;

static void copy_runs(const hm_call *c, const runs *r) {
    const int64_t piece = 65536, pieces = (r->bytes + piece - 1) / piece;
#pragma omp parallel for schedule(static) num_threads(threads_for(c, r->rows * r->bytes / ITEM))
    for (int64_t t = 0; t < r->rows * pieces; t++) {
        const int64_t row = t / pieces, at = t % pieces * piece;
        memcpy(r->to + row * r->to_step + at, r->from + row * r->from_step + at, (size_t)smaller(piece, r->bytes - at));
    }
}

hm_status HM_CPU(hm_concat)(const hm_call *c) {
    const hm_tensor *const y = c->node->out[0];
    const int axis = ((const hm_concat_attr *)c->node->attr)->axis;
    const int64_t step = hm_tail(y->shape, axis) * ITEM, rows = hm_rows(y, y->shape.rank - axis);
    char *to = c->out[0];
    for (int i = 0; i < c->node->n_in; i++) {
        const int64_t bytes = hm_tail(c->node->in[i]->shape, axis) * ITEM;
        copy_runs(c, &(runs){to, c->in[i], step, bytes, bytes, rows});
        to += bytes;
    }
    return HM_OK;
}

hm_status HM_CPU(hm_slice)(const hm_call *c) {
    const hm_tensor *const x = c->node->in[0], *const y = c->node->out[0];
    const hm_range_attr *const attr = c->node->attr;
    const int64_t start = attr->start * hm_tail(x->shape, attr->axis + 1) * ITEM;
    const int64_t bytes = hm_tail(y->shape, attr->axis) * ITEM;
    copy_runs(c, &(runs){.to = c->out[0],
                         .from = (const char *)c->in[0] + start,
                         .to_step = bytes,
                         .from_step = hm_tail(x->shape, attr->axis) * ITEM,
                         .bytes = bytes,
                         .rows = hm_rows(y, y->shape.rank - attr->axis)});
    return HM_OK;
}

hm_status HM_CPU(hm_pad)(const hm_call *c) {
    const hm_tensor *const x = c->node->in[0], *const y = c->node->out[0];
    const hm_range_attr *const attr = c->node->attr;
    const int64_t start = attr->start * hm_tail(y->shape, attr->axis + 1) * ITEM;
    const int64_t bytes = hm_tail(x->shape, attr->axis) * ITEM, step = hm_tail(y->shape, attr->axis) * ITEM;
    const int64_t rows = hm_rows(y, y->shape.rank - attr->axis);
    const char *const from = c->in[0];
    char *const to = c->out[0];
#pragma omp parallel for schedule(static) num_threads(threads_for(c, rows *step / ITEM))
    for (int64_t r = 0; r < rows; r++) {
        memset(to + r * step, 0, (size_t)start);
        memcpy(to + r * step + start, from + r * bytes, (size_t)bytes);
        memset(to + r * step + start + bytes, 0, (size_t)(step - start - bytes));
    }
    return HM_OK;
}
