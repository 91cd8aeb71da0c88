/* schedule_formula.h: the two formulas of schedule.h, for the host and the GPU. */
#ifndef HM_OPS_SCHEDULE_FORMULA_H
#define HM_OPS_SCHEDULE_FORMULA_H

#include <math.h>

#include "base/inline.h"
#include "ops/schedule/schedule.h"

HM_INLINE double hm_schedule_factor(const hm_schedule *s, int64_t step) {
    if (step < s->warmup)
        return (double)step / (double)s->warmup;
    if (!s->cosine)
        return step < s->drop ? 1 : 0.1;
    const int64_t span = s->total - s->warmup > 1 ? s->total - s->warmup : 1;
    return s->min_factor + (1 - s->min_factor) * 0.5 * (1 + cos(M_PI * (double)(step - s->warmup) / (double)span));
}

HM_INLINE double hm_schedule_decay(double decay, double tau, int64_t u) {
    if (u <= 1)
        return 0;
    return tau > 0 ? decay * (1 - exp(-(double)u / tau)) : decay;
}

#endif
