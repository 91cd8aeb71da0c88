/* test.c: opcheck cases of box_reparam. */
#include "opcheck/opcheck.h"

#include "ops/box_reparam/box_reparam.h"

static void boxes(oc *o, const char *name, hm_shape shape, double reach) {
    if (!oc_case(o, name))
        return;
    hm_tensor *const delta = oc_input(o, shape, -reach, reach);
    oc_output(o, hm_box_reparam(o->g, delta, oc_input(o, shape, 0.01, 1)));
    oc_end(o);
}

void opcheck_box_reparam(oc *o) {
    boxes(o, "one", HM_SHAPE(1, 4), 1);
    boxes(o, "none", HM_SHAPE(2, 0, 4), 1);
    boxes(o, "b2_q33", HM_SHAPE(2, 33, 4), 2);
    boxes(o, "n4099", HM_SHAPE(4099, 4), 1);
    boxes(o, "large_deltas", HM_SHAPE(3, 11, 4), 12);
    if (oc_case(o, "constant_reference")) {
        hm_tensor *const delta = oc_input(o, HM_SHAPE(2, 5, 4), -1, 1);
        oc_output(o, hm_box_reparam(o->g, delta, oc_constant(o, HM_SHAPE(2, 5, 4), 0, 1)));
        oc_end(o);
    }
    if (oc_case(o, "shapes_differ")) {
        hm_box_reparam(o->g, oc_input(o, HM_SHAPE(2, 5, 4), 0, 1), oc_input(o, HM_SHAPE(5, 4), 0, 1));
        oc_end_refused(o, "one shape");
    }
    if (oc_case(o, "not_boxes")) {
        hm_box_reparam(o->g, oc_input(o, HM_SHAPE(2, 3), 0, 1), oc_input(o, HM_SHAPE(2, 3), 0, 1));
        oc_end_refused(o, "one shape");
    }
}
