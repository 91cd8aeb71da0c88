/* ref.c: deformable attention by its formula, one channel of one sample after the other, and the derivative (Zhu et
 * al. 2021, eq. 3; positions relative to boxes: deform_attn.h). */
#include <math.h>
#include <string.h>

#include "graph/op.h"
#include "ops/deform_attn/deform_attn_attr.h"

typedef struct dims {
    int64_t B, N, C, Q, L, M, P, D; /* D channels of a head */
} dims;

typedef struct arrays {
    const double *value;   /* [B, N, C] */
    const double *offsets; /* [B, Q, M, L, P, 2] */
    const double *logits;  /* [B, Q, M, L*P] */
    const double *ref;     /* [B, Q, 4] */
    const double *ratios;  /* [B, L, 2] */
    const hm_levels *levels;
    dims d;
} arrays;

/* First input at c->in[first]. */
static arrays arrays_of(const hm_call *c, int first) {
    const hm_deform_attn_attr *const a = c->node->attr;
    hm_tensor *const *const in = c->node->in + first;
    const dims d = {.B = hm_dim(in[0], 0),
                    .N = hm_dim(in[0], 1),
                    .C = hm_dim(in[0], 2),
                    .Q = hm_dim(in[3], 1),
                    .L = a->levels.n,
                    .M = a->heads,
                    .P = a->points,
                    .D = hm_dim(in[0], 2) / a->heads};
    return (arrays){
        c->in[first], c->in[first + 1], c->in[first + 2], c->in[first + 3], c->in[first + 4], &a->levels, d};
}

/* Softmax of sample k among the L*P of head m, query n = b*Q+q. */
static double weight(const arrays *a, int64_t n, int64_t m, int64_t k) {
    const int64_t S = a->d.L * a->d.P;
    const double *const x = a->logits + (n * a->d.M + m) * S;
    double top = x[0], sum = 0;
    for (int64_t i = 0; i < S; i++)
        top = fmax(top, x[i]);
    for (int64_t i = 0; i < S; i++)
        sum += exp(x[i] - top);
    return exp(x[k] - top) / sum;
}

/* Pixel position of sample k in its level, axis 0 = x, 1 = y. */
static double position(const arrays *a, int64_t n, int64_t m, int64_t k, int axis) {
    const int64_t l = k / a->d.P, b = n / a->d.Q;
    const double ratio = a->ratios[(b * a->d.L + l) * 2 + axis];
    const double offset = a->offsets[((n * a->d.M + m) * a->d.L * a->d.P + k) * 2 + axis];
    const double centre = a->ref[n * 4 + axis] * ratio, size = a->ref[n * 4 + 2 + axis] * ratio;
    const double unit = centre + offset / (double)a->d.P * size * 0.5;
    return unit * (double)(axis == 0 ? a->levels->w[l] : a->levels->h[l]) - 0.5;
}

/* Index into value of channel ch at pixel (x, y) of level l, or -1 outside. */
static int64_t pixel(const arrays *a, int64_t b, int64_t l, double y, double x, int64_t ch) {
    int64_t start = 0;
    if (!(x >= 0 && y >= 0 && x < (double)a->levels->w[l] && y < (double)a->levels->h[l]))
        return -1;
    for (int64_t i = 0; i < l; i++)
        start += a->levels->h[i] * a->levels->w[i];
    return (b * a->d.N + start + (int64_t)y * a->levels->w[l] + (int64_t)x) * a->d.C + ch;
}

/* Bilinear value of sample k for channel ch; *dx and *dy its derivatives by position. */
static double sample(const arrays *a, int64_t n, int64_t m, int64_t k, int64_t ch, double *dx, double *dy) {
    const double px = position(a, n, m, k, 0), py = position(a, n, m, k, 1);
    double sum = *dx = *dy = 0;
    for (int i = 0; i < 4; i++) {
        const double x = floor(px) + i % 2, y = floor(py) + (double)(i / 2);
        const int64_t at = pixel(a, n / a->d.Q, k / a->d.P, y, x, ch);
        const double v = at < 0 ? 0 : a->value[at], wx = 1 - fabs(px - x), wy = 1 - fabs(py - y);
        sum += v * wx * wy;
        *dx += v * wy * (i % 2 ? 1 : -1);
        *dy += v * wx * (i / 2 ? 1 : -1);
    }
    return sum;
}

hm_status deform_attn_ref(const hm_call *c);
hm_status deform_attn_ref(const hm_call *c) {
    const arrays a = arrays_of(c, 0);
    double *const out = c->out[0]; /* [B, Q, C] */
    for (int64_t n = 0; n < a.d.B * a.d.Q; n++)
        for (int64_t ch = 0; ch < a.d.C; ch++) {
            double sum = 0, dx, dy;
            for (int64_t k = 0; k < a.d.L * a.d.P; k++)
                sum += weight(&a, n, ch / a.d.D, k) * sample(&a, n, ch / a.d.D, k, ch, &dx, &dy);
            out[n * a.d.C + ch] = sum;
        }
    return HM_OK;
}

/* The gradients through the positions and the weight of one sample; *dweight = d/d(its softmax weight). */
static void back_sample(const arrays *a, const double *dout, int64_t n, int64_t m, int64_t k, double *doffset,
                        double *dref, double *dweight) {
    const int64_t l = k / a->d.P, b = n / a->d.Q;
    double by[2] = {0, 0}, dx, dy; /* derivative by pixel position */
    *dweight = 0;
    for (int64_t ch = m * a->d.D; ch < (m + 1) * a->d.D; ch++) {
        const double go = dout[n * a->d.C + ch];
        *dweight += go * sample(a, n, m, k, ch, &dx, &dy);
        by[0] += go * dx;
        by[1] += go * dy;
    }
    for (int axis = 0; axis < 2; axis++) {
        const int64_t o = ((n * a->d.M + m) * a->d.L * a->d.P + k) * 2 + axis;
        const double size = (double)(axis == 0 ? a->levels->w[l] : a->levels->h[l]);
        const double unit = by[axis] * weight(a, n, m, k) * size * a->ratios[(b * a->d.L + l) * 2 + axis];
        doffset[o] = unit * a->ref[n * 4 + 2 + axis] * 0.5 / (double)a->d.P;
        dref[n * 4 + axis] += unit;
        dref[n * 4 + 2 + axis] += unit * a->offsets[o] * 0.5 / (double)a->d.P;
    }
}

static void back_value(const arrays *a, const double *dout, int64_t n, int64_t ch, double *dvalue) {
    const int64_t m = ch / a->d.D;
    for (int64_t k = 0; k < a->d.L * a->d.P; k++)
        for (int i = 0; i < 4; i++) {
            const double px = position(a, n, m, k, 0), py = position(a, n, m, k, 1);
            const double x = floor(px) + i % 2, y = floor(py) + (double)(i / 2);
            const int64_t at = pixel(a, n / a->d.Q, k / a->d.P, y, x, ch);
            if (at >= 0)
                dvalue[at] += dout[n * a->d.C + ch] * weight(a, n, m, k) * (1 - fabs(px - x)) * (1 - fabs(py - y));
        }
}

hm_status deform_attn_back_ref(const hm_call *c);
hm_status deform_attn_back_ref(const hm_call *c) {
    const arrays a = arrays_of(c, 1);
    const int64_t S = a.d.L * a.d.P;
    const double *const dout = c->in[0];                          /* [B, Q, C] */
    double *const dvalue = c->out[0], *const doffset = c->out[1]; /* as the inputs */
    double *const dlogit = c->out[2], *const dref = c->out[3];
    memset(dvalue, 0, (size_t)(a.d.B * a.d.N * a.d.C) * sizeof(double));
    memset(dref, 0, (size_t)(a.d.B * a.d.Q * 4) * sizeof(double));
    for (int64_t n = 0; n < a.d.B * a.d.Q; n++) {
        for (int64_t ch = 0; ch < a.d.C; ch++)
            back_value(&a, dout, n, ch, dvalue);
        for (int64_t m = 0; m < a.d.M; m++) {
            double dweight[HM_DEFORM_MAX_SAMPLES], mean = 0;
            for (int64_t k = 0; k < S; k++) {
                back_sample(&a, dout, n, m, k, doffset, dref, &dweight[k]);
                mean += weight(&a, n, m, k) * dweight[k];
            }
            for (int64_t k = 0; k < S; k++)
                dlogit[(n * a.d.M + m) * S + k] = weight(&a, n, m, k) * (dweight[k] - mean);
        }
    }
    return HM_OK;
}
