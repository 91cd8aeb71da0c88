/* ref.c: the definition of the exponential moving average; a decay of 0 copies, whatever the average was. */
#include "graph/op.h"

hm_status hm_ema_ref(const hm_call *c);

hm_status hm_ema_ref(const hm_call *c) {
    const double *const p = c->in[1], decay = *(const double *)c->in[2];
    double *const average = c->out[0];
    const bool skip = c->in[3] != NULL && *(const double *)c->in[3] != 0;
    for (int64_t i = 0; i < hm_count(c->node->in[0]) && !skip; i++)
        average[i] = decay == 0 ? p[i] : average[i] * decay + p[i] * (1 - decay);
    return HM_OK;
}
