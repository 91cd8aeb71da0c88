/* cpu.c: layer normalisation in fp32, a row at a time while it is in cache; sums in double. Results may overwrite the
 * first input: a row is read whole before it is written. Rows stored in half are widened first. */
#include <math.h>

#include "device/cpu/convert.h"
#include "graph/op.h"
#include "ops/layer_norm/layer_norm_attr.h"

hm_status HM_CPU(hm_layer_norm)(const hm_call *c);
hm_status HM_CPU(hm_layer_norm_back)(const hm_call *c);
hm_status HM_CPU(hm_layer_norm_affine)(const hm_call *c);

static int threads_for(const hm_call *c, int64_t elements) {
    return elements > 8192 ? c->run->threads : 1;
}

static void forward_row(const float *x, float *y, const float *gain, const float *bias, int64_t n, double eps,
                        float *mean_out, float *scale_out) {
    double sum = 0, squares = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; i++)
        sum += (double)x[i];
    const float mean = (float)(sum / (double)n);
#pragma omp simd reduction(+ : squares)
    for (int64_t i = 0; i < n; i++) {
        const float d = x[i] - mean;
        squares += (double)(d * d);
    }
    const float scale = (float)(1 / sqrt(squares / (double)n + eps));
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        y[i] = (x[i] - mean) * scale * gain[i] + bias[i];
    *mean_out = mean;
    *scale_out = scale;
}

/* Row r, from and to whatever types the tensors have. */
static void forward_any(const hm_call *c, int64_t r, int64_t n, double eps) {
    const hm_node *const node = c->node;
    float x_room[HM_LAYER_NORM_ROW], y_room[HM_LAYER_NORM_ROW], gain_room[HM_LAYER_NORM_ROW],
        bias_room[HM_LAYER_NORM_ROW];
    const float *const x = hm_row_in(node->in[0]->dtype, c->in[0], r * n, n, x_room);
    const float *const gain = hm_row_in(node->in[1]->dtype, c->in[1], 0, n, gain_room);
    const float *const bias = hm_row_in(node->in[2]->dtype, c->in[2], 0, n, bias_room);
    float *const y = hm_row_out(node->out[0]->dtype, c->out[0], r * n, y_room);
    forward_row(x, y, gain, bias, n, eps, (float *)c->out[1] + r, (float *)c->out[2] + r);
    hm_row_done(node->out[0]->dtype, c->out[0], r * n, y, n);
}

hm_status HM_CPU(hm_layer_norm)(const hm_call *c) {
    const double eps = (double)((const hm_layer_norm_attr *)c->node->attr)->eps;
    const int64_t channels = hm_dim(c->node->in[0], -1), rows = hm_rows(c->node->in[0], 1);
    const float *const x = c->in[0], *const gain = c->in[1], *const bias = c->in[2];
    float *const y = c->out[0], *const mean = c->out[1], *const scale = c->out[2];
    const bool any = hm_layer_norm_native(c->node);
#pragma omp parallel for schedule(static) num_threads(threads_for(c, rows *channels))
    for (int64_t r = 0; r < rows; r++) {
        if (any)
            forward_any(c, r, channels, eps);
        else
            forward_row(x + r * channels, y + r * channels, gain, bias, channels, eps, mean + r, scale + r);
    }
    return HM_OK;
}

typedef struct row {
    const float *dout, *x; /* [n] */
    float mean, scale;
    int64_t n;
} row;

/* plus [n] is added; NULL: nothing is. */
static void back_row_x(const row *r, const float *gain, const float *plus, float *dx) {
    const float *const dout = r->dout, *const x = r->x;
    const float mean = r->mean, scale = r->scale;
    double sum = 0, dot = 0; /* of h and of h xhat, h = dout gain */
#pragma omp simd reduction(+ : sum, dot)
    for (int64_t i = 0; i < r->n; i++) {
        const float h = dout[i] * gain[i];
        sum += (double)h;
        dot += (double)(h * ((x[i] - mean) * scale));
    }
    const float a = (float)(sum / (double)r->n), b = (float)(dot / (double)r->n);
#pragma omp simd
    for (int64_t i = 0; i < r->n; i++)
        dx[i] = (dout[i] * gain[i] - a - (x[i] - mean) * scale * b) * scale + (plus != NULL ? plus[i] : 0);
}

static void back_row_affine(const row *r, double *dgain, double *dbias) {
    const float *const dout = r->dout, *const x = r->x;
    const float mean = r->mean, scale = r->scale;
#pragma omp simd
    for (int64_t i = 0; i < r->n; i++) {
        dgain[i] += (double)(dout[i] * ((x[i] - mean) * scale));
        dbias[i] += (double)dout[i];
    }
}

/* Row k, from and to whatever types the tensors have. */
static void back_any(const hm_call *c, int64_t k, int64_t n, double *dgain, double *dbias) {
    const hm_layer_norm_back_attr *const attr = c->node->attr;
    hm_tensor *const *const in = c->node->in;
    float d_room[HM_LAYER_NORM_ROW], x_room[HM_LAYER_NORM_ROW], gain_room[HM_LAYER_NORM_ROW],
        dx_room[HM_LAYER_NORM_ROW], plus_room[HM_LAYER_NORM_ROW];
    const row r = {hm_row_in(in[LNB_DOUT]->dtype, c->in[LNB_DOUT], k * n, n, d_room),
                   hm_row_in(in[LNB_X]->dtype, c->in[LNB_X], k * n, n, x_room), ((const float *)c->in[LNB_MEAN])[k],
                   ((const float *)c->in[LNB_SCALE])[k], n};
    if (attr->want_affine)
        back_row_affine(&r, dgain, dbias);
    const hm_dtype to = c->node->out[0]->dtype;
    const hm_tensor *const plus = in[LNB_PLUS];
    float *const dx = hm_row_out(to, c->out[0], k * n, dx_room);
    back_row_x(&r, hm_row_in(in[LNB_GAIN]->dtype, c->in[LNB_GAIN], 0, n, gain_room),
               plus != NULL ? hm_row_in(plus->dtype, c->in[LNB_PLUS], k * n, n, plus_room) : NULL, dx);
    hm_row_done(to, c->out[0], k * n, dx, n);
}

/* Rows of one part, whose sums become sums [2, channels]. */
static void back_part(const hm_call *c, int64_t part, int64_t parts, float *sums) {
    const hm_layer_norm_back_attr *const attr = c->node->attr;
    const int64_t channels = hm_dim(c->node->in[0], -1), rows = hm_rows(c->node->in[0], 1);
    const float *const dout = c->in[LNB_DOUT], *const x = c->in[LNB_X], *const mean = c->in[LNB_MEAN],
                       *const scale = c->in[LNB_SCALE], *const plus = c->in[LNB_PLUS];
    double added[attr->want_affine ? 2 * channels : 1];
    for (int64_t i = 0; i < 2 * channels && attr->want_affine; i++)
        added[i] = 0;
    const bool any = hm_layer_norm_native(c->node);
    for (int64_t k = part * rows / parts; k < (part + 1) * rows / parts; k++) {
        if (any) {
            back_any(c, k, channels, added, added + channels);
            continue;
        }
        const row r = {dout + k * channels, x + k * channels, mean[k], scale[k], channels};
        if (attr->want_affine)
            back_row_affine(&r, added, added + channels);
        back_row_x(&r, c->in[LNB_GAIN], plus != NULL ? plus + k * channels : NULL, (float *)c->out[0] + k * channels);
    }
    for (int64_t i = 0; i < 2 * channels && attr->want_affine; i++)
        sums[i] = (float)added[i];
}

hm_status HM_CPU(hm_layer_norm_back)(const hm_call *c) {
    const hm_layer_norm_back_attr *const attr = c->node->attr;
    const int64_t channels = hm_dim(c->node->in[0], -1), rows = hm_rows(c->node->in[0], 1);
    const int64_t parts = hm_layer_norm_parts(rows);
    float *const sums = attr->want_affine ? c->out[1] : NULL;
#pragma omp parallel for schedule(static) num_threads(threads_for(c, rows *channels))
    for (int64_t p = 0; p < parts; p++)
        back_part(c, p, parts, sums + p * 2 * channels);
    return HM_OK;
}

hm_status HM_CPU(hm_layer_norm_affine)(const hm_call *c) {
    const int64_t parts = hm_dim(c->node->in[0], 0), channels = hm_dim(c->node->in[0], 2);
    const float *const sums = c->in[0];
    const bool any = c->node->op->native(c->node);
    for (int which = 0; which < 2; which++) {
        const hm_dtype type = any ? c->node->out[which]->dtype : HM_F32;
        for (int64_t i = 0; i < channels; i++) {
            double sum = 0;
            for (int64_t p = 0; p < parts; p++)
                sum += (double)sums[(p * 2 + which) * channels + i];
            hm_float_put(type, c->out[which], (size_t)i, (float)sum);
        }
    }
    return HM_OK;
}
