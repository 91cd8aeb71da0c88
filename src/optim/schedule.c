/* schedule.c: the two formulas. */
#include "optim/schedule.h"

#include <math.h>

double hm_lr_factor(const hm_schedule *s, int64_t step) {
    if (step < s->warmup)
        return (double)step / (double)s->warmup;
    if (!s->cosine)
        return step < s->drop ? 1 : 0.1;
    const int64_t span = s->total - s->warmup > 1 ? s->total - s->warmup : 1;
    return s->min_factor + (1 - s->min_factor) * 0.5 * (1 + cos(M_PI * (double)(step - s->warmup) / (double)span));
}

double hm_ema_decay(double decay, double tau, int64_t u) {
    if (u <= 1)
        return 0;
    return tau > 0 ? decay * (1 - exp(-(double)u / tau)) : decay;
}
