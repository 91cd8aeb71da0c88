/* cpu.c: AdamW in fp32, in the order of operations of PyTorch's plain loop; scalars in double, rounded once. Parameters
 * that are stored in half are rounded stochastically (Gupta et al. 2015, "Deep Learning with Limited Numerical
 * Precision"): up with the probability that makes the mean right, so that updates below half a unit in the last place
 * are not lost. */
#include <math.h>
#include <omp.h>
#include <stdio.h>

#include "base/rng.h"
#include "device/cpu/convert.h"
#include "device/cpu/vec.h"
#include "graph/op.h"
#include "ops/adamw/adamw_attr.h"

hm_status HM_CPU(hm_adamw)(const hm_call *c);
hm_status HM_CPU(hm_adamw_fused)(const hm_call *c);

#define PIECE 2048 /* elements of one task: they stay in the first-level cache */

/* A scalar input, 0 when it is absent. */
static double scalar(const hm_call *c, int i) {
    return c->in[i] != NULL ? (double)hm_float_at(c->node->in[i]->dtype, c->in[i], 0) : 0;
}

/* `first`: the first of the node's scalar inputs: grad_factor, lr_factor, step. */
static hm_adamw_scalars make_scalars(const hm_call *c, int first, const hm_adamw_options *opt) {
    const double lr = opt->lr * scalar(c, first + 1), step = scalar(c, first + 2);
    return (hm_adamw_scalars){
        .grad_factor = (float)scalar(c, first),
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
static void update(const hm_adamw_scalars s, float *p, float *m, float *v, const float *grad, int64_t n) {
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
static uint64_t rounding_key(const hm_call *c, const char *parameter, double step) {
    char name[320];
    snprintf(name, sizeof name, "round.%.0f.%s", step, parameter);
    return hm_rng_key(c->run->seed, name);
}

static void piece(const hm_adamw_target *t, int64_t first, int64_t n) {
    float p_room[PIECE], grad_room[PIECE];
    float *const p = hm_row_out(t->p_type, t->p, first, p_room);
    if (t->p_type != HM_F32)
        hm_widen(t->p_type, t->p, first, p, n);
    update(t->s, p, t->m + first, t->v + first, hm_row_in(t->grad_type, t->grad, first, n, grad_room), n);
    for (int64_t i = 0; t->p_type != HM_F32 && i < n; i++)
        ((uint16_t *)t->p)[first + i] =
            round_stochastic(t->p_type, p[i], hm_rng_uniform(t->key, (uint64_t)(first + i)));
}

/* Tensor number `i` of the node: its parameter is input p, its gradient input grad, the scalars begin at `first`. */
static hm_adamw_target target(const hm_call *c, int p, int grad, int first, const hm_adamw_options *opt) {
    const hm_tensor *const t = c->node->in[p];
    return (hm_adamw_target){.p_type = t->dtype,
                             .grad_type = c->node->in[grad]->dtype,
                             .p = c->out[p],
                             .m = c->out[p + 1],
                             .v = c->out[p + 2],
                             .grad = c->in[grad],
                             .count = hm_count(t),
                             .s = make_scalars(c, first, opt),
                             .key = t->dtype != HM_F32 ? rounding_key(c, t->name, scalar(c, first + 2)) : 0};
}

hm_status HM_CPU(hm_adamw)(const hm_call *c) {
    if (scalar(c, 7) != 0)
        return HM_OK;
    const hm_adamw_target t = target(c, 0, 3, 4, c->node->attr);
#pragma omp parallel for schedule(static) num_threads(t.count > 8 * PIECE ? c->run->threads : 1)
    for (int64_t at = 0; at < t.count; at += PIECE)
        piece(&t, at, t.count - at < PIECE ? t.count - at : PIECE);
    return HM_OK;
}

/* Every n_threads-th piece of all tensors, counted through. */
static void share(const hm_adamw_target *targets, int n, int64_t thread, int64_t n_threads) {
    int64_t number = 0;
    for (int i = 0; i < n; i++)
        for (int64_t at = 0; at < targets[i].count; at += PIECE, number++)
            if (number % n_threads == thread)
                piece(&targets[i], at, targets[i].count - at < PIECE ? targets[i].count - at : PIECE);
}

hm_status HM_CPU(hm_adamw_fused)(const hm_call *c) {
    const int n = hm_adamw_fused_count(c->node->n_in);
    const hm_adamw_options *const options = c->node->attr;
    hm_adamw_target *const targets = c->work;
    if (scalar(c, 4 * n + 3) != 0)
        return HM_OK;
    for (int i = 0; i < n; i++)
        targets[i] = target(c, 3 * i, 3 * n + i, 4 * n, &options[i]);
#pragma omp parallel num_threads(c->run->threads)
    share(targets, n, omp_get_thread_num(), omp_get_num_threads());
    return HM_OK;
}
