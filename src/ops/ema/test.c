/* test.c: cases of the exponential moving average. */
#include "graph/op.h"
#include "opcheck/opcheck.h"
#include "ops/ema/ema.h"

static void run(oc *o, hm_shape shape, double decay) {
    hm_tensor *const average = oc_state(o, shape, -2, 2), *const p = oc_constant(o, shape, -2, 2);
    hm_ema(o->g, &average, &p, 1, oc_constant_values(o, hm_scalar_shape(), &decay), NULL);
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
    for (int skip = 0; skip < 2; skip++)
        if (oc_case(o, skip ? "several_skipped" : "several")) {
            static const int64_t sizes[] = {9000, 1, 0, 33};
            hm_tensor *average[4], *p[4];
            for (int i = 0; i < 4; i++) {
                average[i] = oc_state(o, HM_SHAPE(sizes[i]), -1, 1);
                p[i] = oc_constant(o, HM_SHAPE(sizes[i]), -1, 1);
            }
            const double decay = 0.75, skipped = skip;
            hm_ema(o->g, average, p, 4, oc_constant_values(o, hm_scalar_shape(), &decay),
                   oc_constant_values(o, hm_scalar_shape(), &skipped));
            oc_output(o, o->g->nodes[0]->out[0]);
            oc_end(o);
        }
    if (oc_case(o, "refused_shape")) {
        hm_tensor *const p = oc_constant(o, HM_SHAPE(3), -1, 1), *const d = oc_constant(o, hm_scalar_shape(), 0, 1);
        hm_tensor *const average = oc_state(o, HM_SHAPE(4), -1, 1);
        hm_ema(o->g, &average, &p, 1, d, NULL);
        oc_end_refused(o, "same shape");
    }
    if (oc_case(o, "refused_decay")) {
        hm_tensor *const p = oc_constant(o, HM_SHAPE(3), -1, 1);
        hm_tensor *const average = oc_state(o, HM_SHAPE(3), -1, 1);
        hm_ema(o->g, &average, &p, 1, p, NULL);
        oc_end_refused(o, "decay must be a scalar");
    }
    if (oc_case(o, "refused_storage")) {
        hm_tensor *const p = oc_constant(o, HM_SHAPE(3), -1, 1), *const d = oc_constant(o, hm_scalar_shape(), 0, 1);
        hm_ema(o->g, &p, &p, 1, d, NULL);
        oc_end_refused(o, "does not outlive");
    }
}
