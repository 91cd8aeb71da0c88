/* ref.c: the loss scale's use and its change. */
#include <math.h>

#include "graph/op.h"
#include "ops/loss_scale/loss_scale.h"

hm_status hm_loss_seed_ref(const hm_call *c);
hm_status hm_loss_scale_ref(const hm_call *c);

hm_status hm_loss_seed_ref(const hm_call *c) {
    const double scale = hm_loss_scale_now(c->node->attr, (double)*(const double *)c->in[1]);
    *(double *)c->out[0] = (double)((double)*(const double *)c->in[0] * scale);
    return HM_OK;
}

hm_status hm_loss_scale_ref(const hm_call *c) {
    const hm_loss_scale *const s = c->node->attr;
    double *const state = c->out[0], *const progress = c->out[1];
    const double used = hm_loss_scale_now(s, (double)state[0]);
    const bool overflow = *(const double *)c->in[2] != 0;
    const double good = overflow ? 0 : (double)state[1] + 1, grown = used * s->growth;
    double scale = used;
    if (s->dynamic && overflow)
        scale = fmax(s->floor, used * s->backoff);
    else if (s->dynamic && good >= (double)s->interval)
        scale = grown <= 0x1p127 ? grown : used;
    state[0] = (double)scale;
    state[1] = (double)(good >= (double)s->interval ? 0 : good);
    state[2] = (double)used;
    progress[overflow] += 1;
    return HM_OK;
}
