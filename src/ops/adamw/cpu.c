/* cpu.c: AdamW in fp32, in the order of operations of PyTorch's plain loop; scalars in double, rounded once. Parameters
 * that are stored in half are rounded stochastically (Gupta et al. 2015, "Deep Learning with Limited Numerical
 * Precision"): up with the probability that makes the mean right, so that updates below half a unit in the last place
 * are not lost. */
#include <math.h>
#include <stdio.h>

#include "base/rng.h"
#include "device/cpu/convert.h"
#include "device/cpu/vec.h"
#include "graph/op.h"
#include "ops/adamw/adamw.h"

hm_status HM_CPU(hm_adamw)(const hm_call *c);

#define PIECE 2048 /* elements of one task: they stay in the first-level cache */

typedef struct scalars {
    float grad_factor, decay, blend1, beta2, blend2, step_size, root, eps;
} scalars;

/* A scalar input, 0 when it is absent. */
static double scalar(const hm_call *c, int i) {
    return c->in[i] != NULL ? (double)hm_float_at(c->node->in[i]->dtype, c->in[i], 0) : 0;
}

static scalars make_scalars(const hm_call *c) {
    const hm_adamw_options *const opt = c->node->attr;
    const double lr = opt->lr * scalar(c, 5), step = scalar(c, 6);
    return (scalars){
        .grad_factor = (float)scalar(c, 4),
        .decay = (float)(1 - lr * opt->weight_decay),
        .blend1 = (float)(1 - opt->beta1),
        .beta2 = (float)opt->beta2,
        .blend2 = (float)(1 - opt->beta2),
        .step_size = (float)(lr / (1 - pow(opt->beta1, step))),
        .root = (float)sqrt(1 - pow(opt->beta2, step)),
        .eps = (float)opt->eps,
    };
}

/* The decayed weight is rounded on its own, as in PyTorch: a loop apart keeps the compiler from fusing it into the
 * update. The decay is of the size of a rounding error, so the difference would always go the same way. */
static void update(const scalars s, float *p, float *m, float *v, const float *grad, int64_t n) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        p[i] = p[i] * s.decay;
#pragma omp simd
    for (int64_t i = 0; i < n; i++) {
        const float g = grad[i] * s.grad_factor;
        m[i] = m[i] + (g - m[i]) * s.blend1;
        v[i] = v[i] * s.beta2 + s.blend2 * g * g;
        p[i] = p[i] - s.step_size * m[i] / (sqrtf(v[i]) / s.root + s.eps);
    }
}

/* x to the format's grid, up if `draw` of [0, 1) says so. */
static uint16_t round_stochastic(hm_dtype d, float x, float draw) {
    const uint32_t noise = (uint32_t)(draw * 65536.0f); /* 16 bits */
    if (d == HM_BF16 || hm_absf(x) >= 0x1p-14f) {
        const int lost = d == HM_BF16 ? 16 : 13; /* bits of the fraction that do not fit */
        const uint32_t u = (hm_float_bits(x) + (noise >> (16 - lost))) & ~((1u << lost) - 1u);
        const float grid = hm_bits_float(u);
        return x - x != 0     ? (d == HM_BF16 ? hm_f32_to_bf16(x) : hm_f32_to_f16(x))
               : d == HM_BF16 ? hm_f32_to_bf16(grid)
                              : hm_f32_to_f16(grid);
    }
    return hm_f32_to_f16(floorf(x * 0x1p24f + draw) * 0x1p-24f); /* fp16's subnormals: an even grid */
}

/* A stream of its own for each parameter and update. */
static uint64_t rounding_key(const hm_call *c) {
    char name[320];
    snprintf(name, sizeof name, "round.%.0f.%s", scalar(c, 6), c->node->in[0]->name);
    return hm_rng_key(c->run->seed, name);
}

static void piece(const hm_call *c, const scalars s, uint64_t key, int64_t first, int64_t n) {
    const hm_dtype type = c->node->in[0]->dtype;
    float p_room[PIECE], grad_room[PIECE];
    float *const p = hm_row_out(type, c->out[0], first, p_room);
    if (type != HM_F32)
        hm_widen(type, c->in[0], first, p, n);
    const float *const grad = hm_row_in(c->node->in[3]->dtype, c->in[3], first, n, grad_room);
    update(s, p, (float *)c->out[1] + first, (float *)c->out[2] + first, grad, n);
    for (int64_t i = 0; type != HM_F32 && i < n; i++)
        ((uint16_t *)c->out[0])[first + i] = round_stochastic(type, p[i], hm_rng_uniform(key, (uint64_t)(first + i)));
}

hm_status HM_CPU(hm_adamw)(const hm_call *c) {
    const int64_t count = hm_count(c->node->in[0]);
    if (scalar(c, 7) != 0)
        return HM_OK;
    const scalars s = make_scalars(c);
    const uint64_t key = rounding_key(c);
#pragma omp parallel for schedule(static) num_threads(count > 8 * PIECE ? c->run->threads : 1)
    for (int64_t at = 0; at < count; at += PIECE)
        piece(c, s, key, at, count - at < PIECE ? count - at : PIECE);
    return HM_OK;
}
