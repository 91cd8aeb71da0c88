/* cpu.c: sine embedding of boxes. The angle is reduced to [-pi, pi] turns in double, then sine and cosine are
 * polynomials in float (Taylor about 0 after folding to a quarter turn): error below 2e-7. */
#include <math.h>

#include "graph/op.h"
#include "ops/sine_embed/sine_embed_attr.h"

/* Which coordinate of a box (x, y, w, h) makes the k-th quarter of its embedding. */
static const int coordinate[4] = {1, 0, 2, 3};

/* turns per unit of the coordinate: [n] */
static void frequencies(double *f, int64_t n) {
    for (int64_t j = 0; j < n; j++)
        f[j] = pow(10000, -(double)j / (double)n);
}

/* sin(2 pi r) for |r| <= 1/4: Taylor polynomial in x = 2 pi r up to x^13. */
static inline float sine_quarter(float r) {
    const float x = 6.283185307f * r, s = x * x;
    float p = 1.0f / 6227020800.0f;
    p = p * s - 1.0f / 39916800.0f;
    p = p * s + 1.0f / 362880.0f;
    p = p * s - 1.0f / 5040.0f;
    p = p * s + 1.0f / 120.0f;
    p = p * s - 1.0f / 6.0f;
    return p * s * x + x;
}

/* sin(2 pi r) for |r| <= 3/4: folded at the quarter turns. */
static inline float sine_turn(float r) {
    const float up = r > 0.25f ? 0.5f - r : r;
    return sine_quarter(up < -0.25f ? -0.5f - up : up);
}

/* v turns into the fraction left of whole turns: [-1/2, 1/2]. NaN and inf become NaN. */
static inline float fraction(double turns) {
    return (float)(turns - rint(turns));
}

static inline float cosine_turn(float r) {
    return sine_turn(0.25f - (r < 0 ? -r : r));
}

hm_status HM_CPU(sine_embed)(const hm_call *c) {
    const float *const ref = c->in[0];    /* [B, Q, 4] */
    const float *const ratios = c->in[1]; /* [B, L, 2] */
    float *const out = c->out[0];         /* [B, Q, 4, n, 2] */
    double *const f = c->work;            /* [n] */
    const int64_t n = ((const hm_sine_embed_attr *)c->node->attr)->dim / 4;
    const int64_t B = hm_dim(c->node->in[0], 0), Q = hm_dim(c->node->in[0], 1), L = hm_dim(c->node->in[1], 1);
    frequencies(f, n);
#pragma omp parallel for num_threads(c->run->threads)
    for (int64_t row = 0; row < B * Q; row++)
        for (int64_t k = 0; k < 4; k++) {
            const int at = coordinate[k];
            const double v = (double)ref[row * 4 + at] * (double)ratios[row / Q * L * 2 + at % 2];
            float *restrict const e = out + (row * 4 + k) * 2 * n;
#pragma omp simd
            for (int64_t j = 0; j < n; j++) {
                const float r = fraction(v * f[j]);
                e[2 * j] = sine_turn(r);
                e[2 * j + 1] = cosine_turn(r);
            }
        }
    return HM_OK;
}

hm_status HM_CPU(sine_embed_back)(const hm_call *c) {
    const float *const dout = c->in[0];   /* [B, Q, 4, n, 2] */
    const float *const ref = c->in[1];    /* [B, Q, 4] */
    const float *const ratios = c->in[2]; /* [B, L, 2] */
    float *const dref = c->out[0];        /* [B, Q, 4] */
    double *const f = c->work;            /* [n] */
    const int64_t n = ((const hm_sine_embed_attr *)c->node->attr)->dim / 4;
    const int64_t B = hm_dim(c->node->in[1], 0), Q = hm_dim(c->node->in[1], 1), L = hm_dim(c->node->in[2], 1);
    frequencies(f, n);
#pragma omp parallel for num_threads(c->run->threads)
    for (int64_t row = 0; row < B * Q; row++)
        for (int64_t k = 0; k < 4; k++) {
            const int at = coordinate[k];
            const double ratio = ratios[row / Q * L * 2 + at % 2], v = (double)ref[row * 4 + at] * ratio;
            const float *restrict const d = dout + (row * 4 + k) * 2 * n;
            double sum = 0;
#pragma omp simd reduction(+ : sum)
            for (int64_t j = 0; j < n; j++) {
                const float r = fraction(v * f[j]);
                sum += f[j] * (double)(d[2 * j] * cosine_turn(r) - d[2 * j + 1] * sine_turn(r));
            }
            dref[row * 4 + at] = (float)(sum * ratio * 2 * M_PI);
        }
    return HM_OK;
}
