/* ref.c: the definition of the exponential moving average; a decay of 0 copies, whatever the average was. */
#include "graph/op.h"
#include "ops/ema/ema_attr.h"

hm_status hm_ema_ref(const hm_call *c);

hm_status hm_ema_ref(const hm_call *c) {
    const int n = hm_ema_count(c->node->n_in);
    const double decay = *(const double *)c->in[2 * n];
    const bool skip = c->in[2 * n + 1] != NULL && *(const double *)c->in[2 * n + 1] != 0;
    for (int i = 0; i < n && !skip; i++) {
        const double *const p = c->in[n + i];
        double *const average = c->out[i];
        for (int64_t k = 0; k < hm_count(c->node->in[i]); k++)
            average[k] = decay == 0 ? p[k] : average[k] * decay + p[k] * (1 - decay);
    }
    return HM_OK;
}
