/* ref.c: depthwise convolution, tap by tap, and its derivatives. */
#include "graph/op.h"
#include "ops/dwconv2d/dwconv2d_attr.h"

typedef struct dims {
    int64_t B, H, W, C, k;
} dims;

static dims dims_of(const hm_call *c) {
    const int64_t *const d = c->node->in[0]->shape.dim;
    return (dims){d[0], d[1], d[2], d[3], ((const hm_dwconv2d_attr *)c->node->attr)->k};
}

/* x [B, H, W, C] with zeros around it */
static double at(const double *x, const dims *d, int64_t b, int64_t i, int64_t j, int64_t ch) {
    return i < 0 || j < 0 || i >= d->H || j >= d->W ? 0 : x[((b * d->H + i) * d->W + j) * d->C + ch];
}

hm_status dwconv2d_ref(const hm_call *c);
hm_status dwconv2d_ref(const hm_call *c) {
    const dims d = dims_of(c);
    const double *const x = c->in[0];                         /* [B, H, W, C] */
    const double *const w = c->in[1], *const bias = c->in[2]; /* [C, 1, k, k], [C] or NULL */
    double *const out = c->out[0];                            /* [B, H, W, C] */
    for (int64_t n = 0; n < d.B * d.H * d.W * d.C; n++) {
        const int64_t ch = n % d.C, j = n / d.C % d.W, i = n / d.C / d.W % d.H, b = n / d.C / d.W / d.H;
        double sum = bias != NULL ? bias[ch] : 0;
        for (int64_t p = 0; p < d.k; p++)
            for (int64_t q = 0; q < d.k; q++)
                sum += w[(ch * d.k + p) * d.k + q] * at(x, &d, b, i + p - d.k / 2, j + q - d.k / 2, ch);
        out[n] = sum;
    }
    return HM_OK;
}

hm_status dwconv2d_back_input_ref(const hm_call *c);
hm_status dwconv2d_back_input_ref(const hm_call *c) {
    const dims d = dims_of(c);
    const double *const dout = c->in[0]; /* [B, H, W, C] */
    const double *const w = c->in[1];    /* [C, 1, k, k] */
    double *const dx = c->out[0];        /* [B, H, W, C] */
    for (int64_t n = 0; n < d.B * d.H * d.W * d.C; n++) {
        const int64_t ch = n % d.C, j = n / d.C % d.W, i = n / d.C / d.W % d.H, b = n / d.C / d.W / d.H;
        double sum = 0;
        for (int64_t p = 0; p < d.k; p++)
            for (int64_t q = 0; q < d.k; q++)
                sum += w[(ch * d.k + p) * d.k + q] * at(dout, &d, b, i - p + d.k / 2, j - q + d.k / 2, ch);
        dx[n] = sum;
    }
    return HM_OK;
}

hm_status dwconv2d_back_weight_ref(const hm_call *c);
hm_status dwconv2d_back_weight_ref(const hm_call *c) {
    const dims d = dims_of(c);
    const double *const dout = c->in[0], *const x = c->in[1]; /* [B, H, W, C] */
    double *const dw = c->out[0], *const db = c->out[1];      /* [C, 1, k, k], [C] */
    for (int64_t ch = 0; ch < d.C; ch++)
        db[ch] = 0;
    for (int64_t n = 0; n < d.C * d.k * d.k; n++)
        dw[n] = 0;
    for (int64_t n = 0; n < d.B * d.H * d.W * d.C; n++) {
        const int64_t ch = n % d.C, j = n / d.C % d.W, i = n / d.C / d.W % d.H, b = n / d.C / d.W / d.H;
        db[ch] += dout[n];
        for (int64_t p = 0; p < d.k; p++)
            for (int64_t q = 0; q < d.k; q++)
                dw[(ch * d.k + p) * d.k + q] += dout[n] * at(x, &d, b, i + p - d.k / 2, j + q - d.k / 2, ch);
    }
    return HM_OK;
}
