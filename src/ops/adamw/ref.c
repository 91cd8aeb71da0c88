/* ref.c: the definition of AdamW, in the textbook form with bias-corrected moments. */
#include <math.h>

#include "graph/op.h"
#include "ops/adamw/adamw.h"

hm_status hm_adamw_ref(const hm_call *c);

hm_status hm_adamw_ref(const hm_call *c) {
    const hm_adamw_options *const opt = c->node->attr;
    const double *const grad = c->in[3];
    const double factor = *(const double *)c->in[4], lr = opt->lr * *(const double *)c->in[5];
    const double step = *(const double *)c->in[6];
    double *const p = c->out[0], *const m = c->out[1], *const v = c->out[2];
    const bool skip = c->in[7] != NULL && *(const double *)c->in[7] != 0;
    for (int64_t i = 0; i < hm_count(c->node->in[0]) && !skip; i++) {
        const double g = grad[i] * factor;
        m[i] = opt->beta1 * m[i] + (1 - opt->beta1) * g;
        v[i] = opt->beta2 * v[i] + (1 - opt->beta2) * g * g;
        const double m_hat = m[i] / (1 - pow(opt->beta1, step)), v_hat = v[i] / (1 - pow(opt->beta2, step));
        p[i] -= lr * (m_hat / (sqrt(v_hat) + opt->eps) + opt->weight_decay * p[i]);
    }
    return HM_OK;
}
