/* ref.c: sine embedding of boxes, number by number, and the derivative. */
#include <math.h>

#include "graph/op.h"
#include "ops/sine_embed/sine_embed_attr.h"

/* Which coordinate of a box (x, y, w, h) makes the k-th quarter of its embedding. */
static const int coordinate[4] = {1, 0, 2, 3};

static double frequency(int64_t i, int64_t half) {
    return 2 * M_PI / pow(10000, 2 * floor((double)i / 2) / (double)half);
}

hm_status sine_embed_ref(const hm_call *c);
hm_status sine_embed_ref(const hm_call *c) {
    const double *const ref = c->in[0];    /* [B, Q, 4] */
    const double *const ratios = c->in[1]; /* [B, L, 2] */
    double *const out = c->out[0];         /* [B, Q, 4, half] */
    const int64_t half = ((const hm_sine_embed_attr *)c->node->attr)->dim / 2;
    const int64_t B = hm_dim(c->node->in[0], 0), Q = hm_dim(c->node->in[0], 1), L = hm_dim(c->node->in[1], 1);
    for (int64_t n = 0; n < B * Q; n++)
        for (int64_t k = 0; k < 4; k++) {
            const int64_t at = coordinate[k];
            const double v = ref[n * 4 + at] * ratios[n / Q * L * 2 + at % 2];
            for (int64_t i = 0; i < half; i++) {
                const double a = v * frequency(i, half);
                out[(n * 4 + k) * half + i] = i % 2 == 0 ? sin(a) : cos(a);
            }
        }
    return HM_OK;
}

hm_status sine_embed_back_ref(const hm_call *c);
hm_status sine_embed_back_ref(const hm_call *c) {
    const double *const dout = c->in[0];   /* [B, Q, 4, half] */
    const double *const ref = c->in[1];    /* [B, Q, 4] */
    const double *const ratios = c->in[2]; /* [B, L, 2] */
    double *const dref = c->out[0];        /* [B, Q, 4] */
    const int64_t half = ((const hm_sine_embed_attr *)c->node->attr)->dim / 2;
    const int64_t B = hm_dim(c->node->in[1], 0), Q = hm_dim(c->node->in[1], 1), L = hm_dim(c->node->in[2], 1);
    for (int64_t n = 0; n < B * Q; n++)
        for (int64_t k = 0; k < 4; k++) {
            const int64_t at = coordinate[k];
            const double ratio = ratios[n / Q * L * 2 + at % 2];
            double sum = 0;
            for (int64_t i = 0; i < half; i++) {
                const double f = frequency(i, half) * ratio, a = ref[n * 4 + at] * f;
                sum += dout[(n * 4 + k) * half + i] * f * (i % 2 == 0 ? cos(a) : -sin(a));
            }
            dref[n * 4 + at] = sum;
        }
    return HM_OK;
}
