/* cpu.c: the loss scale's use and its change. */
#include <math.h>

#include "graph/op.h"
#include "ops/loss_scale/loss_scale.h"

hm_status HM_CPU(hm_loss_seed)(const hm_call *c);
hm_status HM_CPU(hm_loss_scale)(const hm_call *c);

hm_status HM_CPU(hm_loss_seed)(const hm_call *c) {
    const double scale = hm_loss_scale_now(c->node->attr, (double)*(const float *)c->in[1]);
    *(float *)c->out[0] = (float)((double)*(const float *)c->in[0] * scale);
    return HM_OK;
}

hm_status HM_CPU(hm_loss_scale)(const hm_call *c) {
    const hm_loss_scale *const s = c->node->attr;
    float *const state = c->out[0], *const progress = c->out[1];
    const double used = hm_loss_scale_now(s, (double)state[0]);
    const bool overflow = *(const float *)c->in[2] != 0;
    const double good = overflow ? 0 : (double)state[1] + 1, grown = used * s->growth;
    double scale = used;
    if (s->dynamic && overflow)
        scale = fmax(s->floor, used * s->backoff);
    else if (s->dynamic && good >= (double)s->interval)
        scale = grown <= 0x1p127 ? grown : used;
    state[0] = (float)scale;
    state[1] = (float)(good >= (double)s->interval ? 0 : good);
    state[2] = (float)used;
    progress[overflow] += 1;
    return HM_OK;
}
