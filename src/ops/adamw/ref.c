/* ref.c: the definition of AdamW, in the textbook form with bias-corrected moments. */
#include <math.h>

#include "graph/op.h"
#include "ops/adamw/adamw_attr.h"

hm_status hm_adamw_ref(const hm_call *c);

hm_status hm_adamw_fused_ref(const hm_call *c);

/* Tensor with parameter p and gradient `grad`; scalars from input `first` on. */
static void update(const hm_call *c, int at, int grad_at, int first, const hm_adamw_options *opt) {
    const double *const grad = c->in[grad_at];
    const double factor = *(const double *)c->in[first], lr = opt->lr * *(const double *)c->in[first + 1];
    const double step = *(const double *)c->in[first + 2];
    double *const p = c->out[at], *const m = c->out[at + 1], *const v = c->out[at + 2];
    const bool skip = c->in[first + 3] != NULL && *(const double *)c->in[first + 3] != 0;
    for (int64_t i = 0; i < hm_count(c->node->in[at]) && !skip; i++) {
        const double g = grad[i] * factor;
        m[i] = opt->beta1 * m[i] + (1 - opt->beta1) * g;
        v[i] = opt->beta2 * v[i] + (1 - opt->beta2) * g * g;
        const double m_hat = m[i] / (1 - pow(opt->beta1, step)), v_hat = v[i] / (1 - pow(opt->beta2, step));
        p[i] -= lr * (m_hat / (sqrt(v_hat) + opt->eps) + opt->weight_decay * p[i]);
    }
}

hm_status hm_adamw_ref(const hm_call *c) {
    update(c, 0, 3, 4, c->node->attr);
    return HM_OK;
}

hm_status hm_adamw_fused_ref(const hm_call *c) {
    const int n = hm_adamw_fused_count(c->node->n_in);
    for (int i = 0; i < n; i++)
        update(c, 3 * i, 3 * n + i, 4 * n, (const hm_adamw_options *)c->node->attr + i);
    return HM_OK;
}
