/* test.c: cases of the sums of gradients. */
#include "graph/op.h"
#include "opcheck/opcheck.h"
#include "ops/accumulate/accumulate.h"

static void run(oc *o, hm_shape shape, double keep) {
    hm_tensor *const sum = oc_state(o, shape, -2, 2), *const grad = oc_constant(o, shape, -2, 2);
    hm_accumulate(o->g, &sum, &grad, 1, oc_constant_values(o, hm_scalar_shape(), &keep));
    if (o->g->n_nodes > 0)
        oc_output(o, o->g->nodes[0]->out[0]);
}

static void several(oc *o, double keep) {
    static const int64_t sizes[] = {9000, 1, 0, 33};
    hm_tensor *sum[4], *grad[4];
    for (int i = 0; i < 4; i++) {
        sum[i] = oc_state(o, HM_SHAPE(sizes[i]), -1, 1);
        grad[i] = oc_constant(o, HM_SHAPE(sizes[i]), -1, 1);
    }
    hm_accumulate(o->g, sum, grad, 4, oc_constant_values(o, hm_scalar_shape(), &keep));
    oc_output(o, o->g->nodes[0]->out[0]);
    oc_end(o);
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
    if (oc_case(o, "several_first"))
        several(o, 0);
    if (oc_case(o, "several_later"))
        several(o, 1);
    if (oc_case(o, "refused_shape")) {
        hm_tensor *const grad = oc_constant(o, HM_SHAPE(3), -1, 1), *const k = oc_constant(o, hm_scalar_shape(), 0, 1);
        hm_tensor *const sum = oc_state(o, HM_SHAPE(4), -1, 1);
        hm_accumulate(o->g, &sum, &grad, 1, k);
        oc_end_refused(o, "same shape");
    }
    if (oc_case(o, "refused_storage")) {
        hm_tensor *const grad = oc_constant(o, HM_SHAPE(3), -1, 1), *const k = oc_constant(o, hm_scalar_shape(), 0, 1);
        hm_accumulate(o->g, &grad, &grad, 1, k);
        oc_end_refused(o, "does not outlive");
    }
}
