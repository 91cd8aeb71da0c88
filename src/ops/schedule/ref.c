/* ref.c: learning rate and averaging decay of the update that comes. */
#include "graph/op.h"
#include "ops/schedule/schedule.h"

hm_status hm_schedule_ref(const hm_call *c);

hm_status hm_schedule_ref(const hm_call *c) {
    const hm_schedules *const s = c->node->attr;
    const int64_t made = (int64_t) * (const double *)c->in[0];
    *(double *)c->out[0] = (double)hm_lr_factor(&s->lr, made);
    *(double *)c->out[1] = (double)(made + 1);
    *(double *)c->out[2] = (double)hm_ema_decay(s->ema_decay, s->ema_tau, made + 1);
    return HM_OK;
}
