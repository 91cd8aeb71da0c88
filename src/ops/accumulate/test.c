/* test.c: cases of the sum of gradients. */
#include "graph/op.h"
#include "opcheck/opcheck.h"
#include "ops/accumulate/accumulate.h"

static void run(oc *o, hm_shape shape, double keep) {
    hm_tensor *const sum = oc_state(o, shape, -2, 2), *const grad = oc_constant(o, shape, -2, 2);
    hm_accumulate(o->g, sum, grad, oc_constant_values(o, hm_scalar_shape(), &keep));
    if (o->g->n_nodes > 0)
        oc_output(o, o->g->nodes[0]->out[0]);
}

void opcheck_accumulate(oc *o) {
    if (oc_case(o, "first")) {
        run(o, HM_SHAPE(33, 1025), 0);
        oc_end(o);
    }
    if (oc_case(o, "later")) {
        run(o, HM_SHAPE(33, 1025), 1);
        oc_end(o);
    }
    if (oc_case(o, "one")) {
        run(o, hm_scalar_shape(), 1);
        oc_end(o);
    }
    if (oc_case(o, "empty")) {
        run(o, HM_SHAPE(0), 1);
        oc_end(o);
    }
    if (oc_case(o, "refused_shape")) {
        hm_tensor *const grad = oc_constant(o, HM_SHAPE(3), -1, 1), *const k = oc_constant(o, hm_scalar_shape(), 0, 1);
        hm_accumulate(o->g, oc_state(o, HM_SHAPE(4), -1, 1), grad, k);
        oc_end_refused(o, "same shape");
    }
    if (oc_case(o, "refused_storage")) {
        hm_tensor *const grad = oc_constant(o, HM_SHAPE(3), -1, 1), *const k = oc_constant(o, hm_scalar_shape(), 0, 1);
        hm_accumulate(o->g, grad, grad, k);
        oc_end_refused(o, "does not outlive");
    }
}
