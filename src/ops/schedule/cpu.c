/* cpu.c: learning rate and averaging decay of the update that comes. */
#include "graph/op.h"
#include "ops/schedule/schedule.h"

hm_status HM_CPU(hm_schedule)(const hm_call *c);

hm_status HM_CPU(hm_schedule)(const hm_call *c) {
    const hm_schedules *const s = c->node->attr;
    const int64_t made = (int64_t) * (const float *)c->in[0];
    *(float *)c->out[0] = (float)hm_lr_factor(&s->lr, made);
    *(float *)c->out[1] = (float)(made + 1);
    *(float *)c->out[2] = (float)hm_ema_decay(s->ema_decay, s->ema_tau, made + 1);
    return HM_OK;
}
