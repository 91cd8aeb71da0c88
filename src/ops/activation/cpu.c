/* cpu.c: activations, computed in fp32. Results may overwrite the first input. NaN stays NaN; the gradient of ReLU is
 * zero where y <= 0, whatever arrives there. */
#include "device/cpu/convert.h"
#include "device/cpu/vec.h"
#include "graph/op.h"
#include "ops/activation/activation_attr.h"

hm_status HM_CPU(hm_activation)(const hm_call *c);
hm_status HM_CPU(hm_activation_back)(const hm_call *c);

#define PIECE 4096 /* elements of one task */

static inline float value(hm_act kind, float x) {
    float density;
    switch (kind) {
    case HM_ACT_RELU:
        return x < 0.0f ? 0.0f : x;
    case HM_ACT_GELU:
        return x * hm_normal_cdff(x, &density);
    case HM_ACT_SILU:
        return x * hm_sigmoidf(x);
    default:
        return hm_sigmoidf(x);
    }
}

/* dout times the derivative, computed from y for ReLU and sigmoid, else from x. */
static inline float gradient(hm_act kind, float dout, float v) {
    float density, s;
    switch (kind) {
    case HM_ACT_RELU:
        return v <= 0.0f ? 0.0f : dout;
    case HM_ACT_GELU:
        s = hm_normal_cdff(v, &density);
        return dout * (s + v * density);
    case HM_ACT_SILU:
        s = hm_sigmoidf(v);
        return dout * (s * (1.0f + v * (1.0f - s)));
    default:
        return dout * (v * (1.0f - v));
    }
}

static inline __attribute__((always_inline)) void forward(hm_act kind, const float *x, float *y, int64_t n) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        y[i] = value(kind, x[i]);
}

static inline __attribute__((always_inline)) void backward(hm_act kind, const float *dout, const float *v, float *dx,
                                                           int64_t n) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        dx[i] = gradient(kind, dout[i], v[i]);
}

static void forward_piece(hm_act kind, const float *x, float *y, int64_t n) {
    switch (kind) {
    case HM_ACT_RELU:
        forward(HM_ACT_RELU, x, y, n);
        break;
    case HM_ACT_GELU:
        forward(HM_ACT_GELU, x, y, n);
        break;
    case HM_ACT_SILU:
        forward(HM_ACT_SILU, x, y, n);
        break;
    default:
        forward(HM_ACT_SIGMOID, x, y, n);
    }
}

static void backward_piece(hm_act kind, const float *dout, const float *v, float *dx, int64_t n) {
    switch (kind) {
    case HM_ACT_RELU:
        backward(HM_ACT_RELU, dout, v, dx, n);
        break;
    case HM_ACT_GELU:
        backward(HM_ACT_GELU, dout, v, dx, n);
        break;
    case HM_ACT_SILU:
        backward(HM_ACT_SILU, dout, v, dx, n);
        break;
    default:
        backward(HM_ACT_SIGMOID, dout, v, dx, n);
    }
}

/* Elements first.. from and to whatever types the tensors have. */
static void forward_any(const hm_call *c, int64_t first, int64_t n) {
    const hm_node *const node = c->node;
    float x_room[PIECE], y_room[PIECE];
    const float *const x = hm_row_in(node->in[0]->dtype, c->in[0], first, n, x_room);
    float *const y = hm_row_out(node->out[0]->dtype, c->out[0], first, y_room);
    forward_piece(((const hm_activation_attr *)node->attr)->kind, x, y, n);
    hm_row_done(node->out[0]->dtype, c->out[0], first, y, n);
}

static void backward_any(const hm_call *c, int64_t first, int64_t n) {
    const hm_node *const node = c->node;
    float d_room[PIECE], v_room[PIECE], dx_room[PIECE];
    const float *const dout = hm_row_in(node->in[0]->dtype, c->in[0], first, n, d_room);
    const float *const v = hm_row_in(node->in[1]->dtype, c->in[1], first, n, v_room);
    float *const dx = hm_row_out(node->out[0]->dtype, c->out[0], first, dx_room);
    backward_piece(((const hm_activation_attr *)node->attr)->kind, dout, v, dx, n);
    hm_row_done(node->out[0]->dtype, c->out[0], first, dx, n);
}

hm_status HM_CPU(hm_activation)(const hm_call *c) {
    const int64_t count = hm_count(c->node->in[0]);
#pragma omp parallel for schedule(static) num_threads(count > 2 * PIECE ? c->run->threads : 1)
    for (int64_t at = 0; at < count; at += PIECE)
        forward_any(c, at, count - at < PIECE ? count - at : PIECE);
    return HM_OK;
}

hm_status HM_CPU(hm_activation_back)(const hm_call *c) {
    const int64_t count = hm_count(c->node->in[0]);
#pragma omp parallel for schedule(static) num_threads(count > 2 * PIECE ? c->run->threads : 1)
    for (int64_t at = 0; at < count; at += PIECE)
        backward_any(c, at, count - at < PIECE ? count - at : PIECE);
    return HM_OK;
}
