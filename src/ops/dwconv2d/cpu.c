/* cpu.c: depthwise convolution on channels-last maps. Channels are the vector; a 3x3 kernel works on four neighbouring
 * pixels at once, so that weights and inputs are loaded for several products. Pixels at the border, and other kernel
 * sizes, go tap by tap. The input gradient is the same convolution with the kernel turned. */
#include <string.h>

#include "graph/op.h"
#include "ops/dwconv2d/dwconv2d_attr.h"

typedef struct conv {
    const float *x; /* [B, H, W, C] */
    const float *w; /* [k*k, C] */
    const float *b; /* [C] */
    float *out;     /* [B, H, W, C] */
    int64_t B, H, W, C, k;
} conv;

/* Part of the kernel that lies on the map at place i of n: taps first..last-1. */
static void clip(int64_t i, int64_t n, int64_t k, int64_t *first, int64_t *last) {
    *first = i < k / 2 ? k / 2 - i : 0;
    *last = n - i + k / 2 < k ? n - i + k / 2 : k;
}

/* One pixel of map b, tap by tap. */
static void any_pixel(const conv *v, int64_t b, int64_t y, int64_t x) {
    const int64_t C = v->C, k = v->k;
    const int64_t centre = ((b * v->H + y) * v->W + x) * C;
    float *restrict const out = v->out + centre;
    int64_t top, bottom, left, right;
    clip(y, v->H, k, &top, &bottom);
    clip(x, v->W, k, &left, &right);
    memcpy(out, v->b, (size_t)C * sizeof(float));
    for (int64_t p = top; p < bottom; p++)
        for (int64_t q = left; q < right; q++) {
            const float *restrict const in = v->x + centre + ((p - k / 2) * v->W + q - k / 2) * C;
            const float *restrict const w = v->w + (p * k + q) * C;
#pragma omp simd
            for (int64_t c = 0; c < C; c++)
                out[c] += w[c] * in[c];
        }
}

/* Four inner pixels from `at` (the first one's index) of a 3x3 convolution. */
static void four_pixels(const conv *v, int64_t at) {
    const int64_t C = v->C, line = v->W * C;
    const float *restrict const x = v->x + at - line - C, *restrict const w = v->w, *restrict const bias = v->b;
    float *restrict const out = v->out + at;
#pragma omp simd
    for (int64_t c = 0; c < C; c++) {
        float a0 = bias[c], a1 = a0, a2 = a0, a3 = a0;
        for (int64_t p = 0; p < 3; p++) {
            const float *const in = x + p * line + c, *const tap = w + 3 * p * C + c;
            const float w0 = tap[0], w1 = tap[C], w2 = tap[2 * C];
            const float i1 = in[C], i2 = in[2 * C], i3 = in[3 * C], i4 = in[4 * C];
            a0 += w0 * in[0] + w1 * i1 + w2 * i2;
            a1 += w0 * i1 + w1 * i2 + w2 * i3;
            a2 += w0 * i2 + w1 * i3 + w2 * i4;
            a3 += w0 * i3 + w1 * i4 + w2 * in[5 * C];
        }
        out[c] = a0;
        out[C + c] = a1;
        out[2 * C + c] = a2;
        out[3 * C + c] = a3;
    }
}

static void convolve(const conv *v, int threads) {
    const int64_t rows = v->B * v->H;
#pragma omp parallel for num_threads(threads)
    for (int64_t row = 0; row < rows; row++) {
        const int64_t b = row / v->H, y = row % v->H;
        const bool inner = v->k == 3 && y > 0 && y < v->H - 1;
        for (int64_t x = 0; x < v->W;) {
            if (inner && x > 0 && x + 4 < v->W) {
                four_pixels(v, (row * v->W + x) * v->C);
                x += 4;
            } else {
                any_pixel(v, b, y, x++);
            }
        }
    }
}

/* to [k*k, C] = w [C, k*k], turned by half a circle on demand */
static void arrange(float *to, const float *w, int64_t C, int64_t taps, bool turn) {
    for (int64_t t = 0; t < taps; t++)
        for (int64_t c = 0; c < C; c++)
            to[t * C + c] = w[c * taps + (turn ? taps - 1 - t : t)];
}

static conv conv_of(const hm_call *c, bool turn) {
    const int64_t *const d = c->node->in[0]->shape.dim, k = ((const hm_dwconv2d_attr *)c->node->attr)->k;
    float *const w = c->work, *const bias = w + k * k * d[3];
    arrange(w, c->in[1], d[3], k * k, turn);
    if (!turn && c->in[2] != NULL)
        memcpy(bias, c->in[2], (size_t)d[3] * sizeof(float));
    else
        memset(bias, 0, (size_t)d[3] * sizeof(float));
    return (conv){c->in[0], w, bias, c->out[0], d[0], d[1], d[2], d[3], k};
}

hm_status HM_CPU(dwconv2d)(const hm_call *c) {
    const conv v = conv_of(c, false);
    convolve(&v, c->run->threads);
    return HM_OK;
}

hm_status HM_CPU(dwconv2d_back_input)(const hm_call *c) {
    const conv v = conv_of(c, true);
    convolve(&v, c->run->threads);
    return HM_OK;
}

/* ---- weight gradient */

typedef struct weight_grad {
    const float *dout, *x; /* [B, H, W, C] */
    int64_t H, W, C, k;
} weight_grad;

/* One pixel's products, added to sums [k*k + 1, C]. */
static void any_products(const weight_grad *v, int64_t row, int64_t x, float *sums) {
    const int64_t C = v->C, k = v->k, centre = (row * v->W + x) * C;
    const float *restrict const d = v->dout + centre;
    int64_t top, bottom, left, right;
    clip(row % v->H, v->H, k, &top, &bottom);
    clip(x, v->W, k, &left, &right);
    for (int64_t p = top; p < bottom; p++)
        for (int64_t q = left; q < right; q++) {
            const float *restrict const in = v->x + centre + ((p - k / 2) * v->W + q - k / 2) * C;
            float *restrict const sum = sums + (p * k + q) * C;
#pragma omp simd
            for (int64_t c = 0; c < C; c++)
                sum[c] += d[c] * in[c];
        }
    float *restrict const sum = sums + k * k * C;
#pragma omp simd
    for (int64_t c = 0; c < C; c++)
        sum[c] += d[c];
}

/* Four inner pixels' products for a 3x3 kernel. */
static void four_products(const weight_grad *v, int64_t at, float *restrict sums) {
    const int64_t C = v->C, line = v->W * C;
    const float *restrict const dout = v->dout + at, *restrict const x = v->x + at - line - C;
#pragma omp simd
    for (int64_t c = 0; c < C; c++) {
        const float d0 = dout[c], d1 = dout[C + c], d2 = dout[2 * C + c], d3 = dout[3 * C + c];
        for (int64_t p = 0; p < 3; p++) {
            const float *const in = x + p * line + c;
            float *const sum = sums + 3 * p * C + c;
            const float i1 = in[C], i2 = in[2 * C], i3 = in[3 * C], i4 = in[4 * C];
            sum[0] += (d0 * in[0] + d1 * i1) + (d2 * i2 + d3 * i3);
            sum[C] += (d0 * i1 + d1 * i2) + (d2 * i3 + d3 * i4);
            sum[2 * C] += (d0 * i2 + d1 * i3) + (d2 * i4 + d3 * in[5 * C]);
        }
        sums[9 * C + c] += (d0 + d1) + (d2 + d3);
    }
}

static void row_products(const weight_grad *v, int64_t row, float *sums) {
    const int64_t y = row % v->H;
    const bool inner = v->k == 3 && y > 0 && y < v->H - 1;
    for (int64_t x = 0; x < v->W;) {
        if (inner && x > 0 && x + 4 < v->W) {
            four_products(v, (row * v->W + x) * v->C, sums);
            x += 4;
        } else {
            any_products(v, row, x++, sums);
        }
    }
}

hm_status HM_CPU(dwconv2d_back_weight)(const hm_call *c) {
    const int64_t *const d = c->node->in[0]->shape.dim, k = ((const hm_dwconv2d_attr *)c->node->attr)->k;
    const int64_t rows = d[0] * d[1], C = d[3], size = (k * k + 1) * C, blocks = hm_dwconv2d_blocks(rows);
    const weight_grad v = {c->in[0], c->in[1], d[1], d[2], C, k};
    float *const sums = c->work;                        /* [blocks, k*k + 1, C] */
    float *const dw = c->out[0], *const db = c->out[1]; /* [C, k*k], [C] */
#pragma omp parallel for num_threads(c->run->threads)
    for (int64_t i = 0; i < blocks; i++) {
        const int64_t first = i * HM_DWCONV2D_BLOCK, end = first + HM_DWCONV2D_BLOCK;
        memset(sums + i * size, 0, (size_t)size * sizeof(float));
        for (int64_t row = first; row < end && row < rows; row++)
            row_products(&v, row, sums + i * size);
    }
    for (int64_t t = 0; t < size; t++) {
        double sum = 0;
        for (int64_t i = 0; i < blocks; i++)
            sum += sums[i * size + t];
        if (t < k * k * C)
            dw[t % C * k * k + t / C] = (float)sum;
        else
            db[t % C] = (float)sum;
    }
    return HM_OK;
}
