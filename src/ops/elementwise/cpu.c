/* cpu.c: sums and products with broadcasting in fp32. Work is cut into pieces that depend on the shapes alone; sums
 * are taken in double and joined in a fixed order, so the number of threads never changes a bit. Pointers may be equal
 * (in-place results), which `omp simd` allows: each element is read before it is written. */
#include "graph/op.h"
#include "ops/elementwise/broadcast.h"

hm_status HM_CPU(hm_add)(const hm_call *c);
hm_status HM_CPU(hm_mul)(const hm_call *c);
hm_status HM_CPU(hm_sum_to)(const hm_call *c);
hm_status HM_CPU(hm_broadcast)(const hm_call *c);
hm_status HM_CPU(hm_scale_residual)(const hm_call *c);
hm_status HM_CPU(hm_scale_residual_back)(const hm_call *c);

#define PIECE 16384 /* elements of one task */

typedef enum kind { ADD, MUL, COPY } kind;

static int threads_for(const hm_call *c, int64_t elements) {
    return elements > 2 * PIECE ? c->run->threads : 1;
}

static int64_t smaller(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* y[i] = a[i] op b[i], or with b[0] throughout. */
static inline void run_row(kind op, float *y, const float *a, const float *b, bool repeat, int64_t n) {
    if (repeat) {
        const float v = b[0];
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            y[i] = op == ADD ? a[i] + v : op == MUL ? a[i] * v : v;
    } else {
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            y[i] = op == ADD ? a[i] + b[i] : op == MUL ? a[i] * b[i] : b[i];
    }
}

static inline void run_piece(kind op, const hm_broadcast_map *m, float *y, const float *a, const float *b, int64_t at,
                             int64_t end) {
    const int64_t inner = m->dim[m->rank - 1];
    const bool repeat = !m->kept[m->rank - 1];
    while (at < end) {
        const int64_t row = at / inner, column = at % inner, n = smaller(inner - column, end - at);
        const float *const from = b + hm_broadcast_row(m, row) + (repeat ? 0 : column);
        run_row(op, y + at, op == COPY ? NULL : a + at, from, repeat, n);
        at += n;
    }
}

static inline hm_status binary(const hm_call *c, kind op, const hm_tensor *small) {
    const int64_t count = hm_count(c->node->out[0]), pieces = (count + PIECE - 1) / PIECE;
    const hm_broadcast_map m = hm_broadcast_make(c->node->out[0]->shape, small->shape);
    const float *const a = op == COPY ? NULL : c->in[0], *const b = c->in[op == COPY ? 0 : 1];
    float *const y = c->out[0];
#pragma omp parallel for schedule(static) num_threads(threads_for(c, count))
    for (int64_t p = 0; p < pieces; p++)
        run_piece(op, &m, y, a, b, p * PIECE, smaller((p + 1) * PIECE, count));
    return HM_OK;
}

/* Elements first .. first + n - 1 of the sum of several tensors. */
static void add_piece(const hm_call *c, int64_t first, int64_t n) {
    float *const y = (float *)c->out[0] + first;
    for (int k = 1; k < c->node->n_in; k++)
        run_row(ADD, y, k == 1 ? (const float *)c->in[0] + first : y, (const float *)c->in[k] + first, false, n);
}

hm_status HM_CPU(hm_add)(const hm_call *c) {
    const int64_t count = hm_count(c->node->out[0]);
    if (c->node->n_in == 2)
        return binary(c, ADD, c->node->in[1]);
#pragma omp parallel for schedule(static) num_threads(threads_for(c, count))
    for (int64_t at = 0; at < count; at += PIECE)
        add_piece(c, at, smaller(PIECE, count - at));
    return HM_OK;
}

hm_status HM_CPU(hm_mul)(const hm_call *c) {
    return binary(c, MUL, c->node->in[1]);
}

hm_status HM_CPU(hm_broadcast)(const hm_call *c) {
    return binary(c, COPY, c->node->in[0]);
}

/* ---- sum_to: output tasks x parts of the reduction */

typedef struct sum {
    hm_broadcast_map m;
    int64_t parts, units, count; /* count: elements of the output */
    const float *x;
    float *y;       /* [count] */
    double *parted; /* [parts, count], when there are several parts */
} sum;

static void store_sum(const sum *s, int64_t part, int64_t at, const double *values, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        if (s->parts == 1)
            s->y[at + i] = (float)values[i];
        else
            s->parted[part * s->count + at + i] = values[i];
    }
}

/* The last dimension is kept: adds rows. */
static void sum_columns(const sum *s, int64_t task, int64_t part) {
    const int64_t inner = s->m.dim[s->m.rank - 1], chunks = (inner + HM_SUM_COLUMNS - 1) / HM_SUM_COLUMNS;
    const int64_t row = task / chunks, column = task % chunks * HM_SUM_COLUMNS;
    const int64_t n = smaller(HM_SUM_COLUMNS, inner - column);
    const float *const base = s->x + hm_broadcast_offset(&s->m, true, row) + column;
    double total[HM_SUM_COLUMNS] = {0};
    for (int64_t u = part * s->units / s->parts; u < (part + 1) * s->units / s->parts; u++) {
        const float *const x = base + hm_broadcast_offset(&s->m, false, u);
#pragma omp simd
        for (int64_t i = 0; i < n; i++)
            total[i] += (double)x[i];
    }
    store_sum(s, part, row * inner + column, total, n);
}

/* The last dimension is summed: one output element. */
static void sum_row(const sum *s, int64_t task, int64_t part) {
    const int64_t inner = s->m.dim[s->m.rank - 1], chunks = (inner + HM_SUM_PIECE - 1) / HM_SUM_PIECE;
    const float *const base = s->x + hm_broadcast_offset(&s->m, true, task);
    double total = 0;
    for (int64_t u = part * s->units / s->parts; u < (part + 1) * s->units / s->parts; u++) {
        const int64_t column = u % chunks * HM_SUM_PIECE, n = smaller(HM_SUM_PIECE, inner - column);
        const float *const x = base + hm_broadcast_offset(&s->m, false, u / chunks) + column;
#pragma omp simd reduction(+ : total)
        for (int64_t i = 0; i < n; i++)
            total += (double)x[i];
    }
    store_sum(s, part, task, &total, 1);
}

static void join_parts(const sum *s) {
    for (int64_t i = 0; i < s->count && s->parts > 1; i++) {
        double total = 0;
        for (int64_t p = 0; p < s->parts; p++)
            total += s->parted[p * s->count + i];
        s->y[i] = (float)total;
    }
}

hm_status HM_CPU(hm_sum_to)(const hm_call *c) {
    const int64_t elements = hm_count(c->node->in[0]);
    sum s = {.x = c->in[0], .y = c->out[0], .parted = c->work, .count = hm_count(c->node->out[0])};
    s.m = hm_broadcast_make(c->node->in[0]->shape, c->node->out[0]->shape);
    s.parts = hm_sum_parts(&s.m);
    s.units = hm_sum_units(&s.m);
    const int64_t tasks = hm_sum_tasks(&s.m) * s.parts;
    const bool columns = s.m.kept[s.m.rank - 1];
#pragma omp parallel for schedule(static) num_threads(threads_for(c, elements))
    for (int64_t t = 0; t < tasks; t++) {
        if (columns)
            sum_columns(&s, t / s.parts, t % s.parts);
        else
            sum_row(&s, t / s.parts, t % s.parts);
    }
    join_parts(&s);
    return HM_OK;
}

/* ---- x + gain * y; x and y [rows, channels], gain [channels] */

hm_status HM_CPU(hm_scale_residual)(const hm_call *c) {
    const int64_t channels = hm_dim(c->node->in[0], -1), rows = hm_rows(c->node->in[0], 1);
    const float *const x = c->in[0], *const y = c->in[1], *const gain = c->in[2];
    float *const out = c->out[0];
#pragma omp parallel for schedule(static) num_threads(threads_for(c, rows *channels))
    for (int64_t r = 0; r < rows; r++) {
#pragma omp simd
        for (int64_t i = 0; i < channels; i++)
            out[r * channels + i] = x[r * channels + i] + gain[i] * y[r * channels + i];
    }
    return HM_OK;
}

/* dy = dout * gain, and this row's share of dgain. */
static inline void scale_back_row(float *dy, const float *dout, const float *y, const float *gain, double *dgain,
                                  int64_t n) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        const float d = dout[i];
        if (dgain != NULL)
            dgain[i] += (double)d * (double)y[i];
        dy[i] = d * gain[i];
    }
}

static void scale_back_part(const hm_call *c, int64_t part, int64_t parts) {
    const int64_t channels = hm_dim(c->node->in[0], -1), rows = hm_rows(c->node->in[0], 1);
    const float *const dout = c->in[0], *const y = c->in[1], *const gain = c->in[2];
    float *const dy = c->out[0];
    double *const total = c->node->n_out > 1 ? (double *)c->work + part * channels : NULL;
    for (int64_t i = 0; i < channels && total != NULL; i++)
        total[i] = 0;
    for (int64_t r = part * rows / parts; r < (part + 1) * rows / parts; r++) {
        const int64_t at = r * channels;
        if (total != NULL)
            scale_back_row(dy + at, dout + at, y + at, gain, total, channels);
        else
            scale_back_row(dy + at, dout + at, y + at, gain, NULL, channels);
    }
}

hm_status HM_CPU(hm_scale_residual_back)(const hm_call *c) {
    const int64_t channels = hm_dim(c->node->in[0], -1), rows = hm_rows(c->node->in[0], 1);
    const int64_t parts = hm_scale_parts(rows);
#pragma omp parallel for schedule(static) num_threads(threads_for(c, rows *channels))
    for (int64_t p = 0; p < parts; p++)
        scale_back_part(c, p, parts);
    float *const dgain = c->node->n_out > 1 ? c->out[1] : NULL;
    const double *const parted = c->work;
    for (int64_t i = 0; i < channels && dgain != NULL; i++) {
        double total = 0;
        for (int64_t p = 0; p < parts; p++)
            total += parted[p * channels + i];
        dgain[i] = (float)total;
    }
    return HM_OK;
}
