/* test.c: cases of the schedule. Upstream's own numbers are in tests/unit/test_schedule.c. */
#include "opcheck/opcheck.h"
#include "ops/schedule/schedule.h"

static void at(oc *o, double made, hm_schedule lr) {
    hm_tensor *factor, *step, *decay;
    hm_tensor *const progress = oc_constant_values(o, HM_SHAPE(2), (const double[]){made, 0});
    hm_schedule_build(o->g, progress, (hm_schedules){lr, 0.993, 100}, &factor, &step, &decay);
    oc_output(o, factor);
    oc_output(o, step);
    oc_output(o, decay);
    oc_half(o, 0); /* a count is no half */
    oc_end(o);
}

void opcheck_schedule(oc *o) {
    const hm_schedule cosine = {.cosine = true, .warmup = 5, .drop = 0, .total = 50, .min_factor = 0.1};
    const hm_schedule drop = {.drop = 20, .total = 50};
    if (oc_case(o, "first"))
        at(o, 0, cosine);
    if (oc_case(o, "warming"))
        at(o, 3, cosine);
    if (oc_case(o, "cosine"))
        at(o, 33, cosine);
    if (oc_case(o, "before_drop"))
        at(o, 19, drop);
    if (oc_case(o, "after_drop"))
        at(o, 20, drop);
    if (oc_case(o, "refused")) {
        hm_tensor *factor, *step, *decay;
        hm_schedule_build(o->g, oc_constant(o, HM_SHAPE(3), 0, 1), (hm_schedules){drop, 0.993, 100}, &factor, &step,
                          &decay);
        oc_end_refused(o, "two fp32 numbers");
    }
}
