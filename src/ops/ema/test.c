/* test.c: cases of the exponential moving average. */
#include "graph/op.h"
#include "opcheck/opcheck.h"
#include "ops/ema/ema.h"

static void run(oc *o, hm_shape shape, double decay) {
    hm_tensor *const average = oc_state(o, shape, -2, 2), *const p = oc_constant(o, shape, -2, 2);
    hm_ema(o->g, average, p, oc_constant_values(o, hm_scalar_shape(), &decay), NULL);
    if (o->g->n_nodes > 0)
        oc_output(o, o->g->nodes[0]->out[0]);
}

void opcheck_ema(oc *o) {
    static const double decays[] = {0.993, 0, 1};
    static const char *const names[] = {"usual", "copies", "keeps"};
    for (int i = 0; i < 3; i++)
        if (oc_case(o, names[i])) {
            run(o, HM_SHAPE(33, 1025), decays[i]);
            oc_end(o);
        }
    if (oc_case(o, "one")) {
        run(o, hm_scalar_shape(), 0.5);
        oc_end(o);
    }
    if (oc_case(o, "empty")) {
        run(o, HM_SHAPE(0), 0.5);
        oc_end(o);
    }
    if (oc_case(o, "refused_shape")) {
        hm_tensor *const p = oc_constant(o, HM_SHAPE(3), -1, 1), *const d = oc_constant(o, hm_scalar_shape(), 0, 1);
        hm_ema(o->g, oc_state(o, HM_SHAPE(4), -1, 1), p, d, NULL);
        oc_end_refused(o, "same shape");
    }
    if (oc_case(o, "refused_decay")) {
        hm_tensor *const p = oc_constant(o, HM_SHAPE(3), -1, 1);
        hm_ema(o->g, oc_state(o, HM_SHAPE(3), -1, 1), p, p, NULL);
        oc_end_refused(o, "decay must be a scalar");
    }
    if (oc_case(o, "refused_storage")) {
        hm_tensor *const p = oc_constant(o, HM_SHAPE(3), -1, 1), *const d = oc_constant(o, hm_scalar_shape(), 0, 1);
        hm_ema(o->g, p, p, d, NULL);
        oc_end_refused(o, "does not outlive");
    }
}
