/* cpu.c: AdamW in fp32, in the order of operations of PyTorch's plain loop; scalars in double, rounded once. */
#include <math.h>

#include "graph/op.h"
#include "ops/adamw/adamw.h"

hm_status HM_CPU(hm_adamw)(const hm_call *c);

#define PIECE 2048 /* elements of one task: they stay in the first-level cache */

typedef struct scalars {
    float grad_factor, decay, blend1, beta2, blend2, step_size, root, eps;
} scalars;

static scalars make_scalars(const hm_call *c) {
    const hm_adamw_options *const opt = c->node->attr;
    const double lr = opt->lr * (double)*(const float *)c->in[5], step = (double)*(const float *)c->in[6];
    return (scalars){
        .grad_factor = *(const float *)c->in[4],
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

hm_status HM_CPU(hm_adamw)(const hm_call *c) {
    const int64_t count = hm_count(c->node->in[0]);
    const scalars s = make_scalars(c);
    const float *const grad = c->in[3];
    float *const p = c->out[0], *const m = c->out[1], *const v = c->out[2];
#pragma omp parallel for schedule(static) num_threads(count > 8 * PIECE ? c->run->threads : 1)
    for (int64_t at = 0; at < count; at += PIECE)
        update(s, p + at, m + at, v + at, grad + at, count - at < PIECE ? count - at : PIECE);
    return HM_OK;
}
