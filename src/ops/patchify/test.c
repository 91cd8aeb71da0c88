/* test.c: opcheck cases of patchify. */
#include "opcheck/opcheck.h"

#include "ops/patchify/patchify.h"

static void copy(oc *o, const char *name, hm_shape images, int p) {
    if (!oc_case(o, name))
        return;
    oc_output(o, hm_patchify(o->g, oc_constant(o, images, -2, 2), p));
    oc_end(o);
}

void opcheck_patchify(oc *o) {
    copy(o, "one_pixel", HM_SHAPE(1, 3, 1, 1), 1);
    copy(o, "pixels", HM_SHAPE(2, 3, 5, 7), 1);
    copy(o, "p12_wide", HM_SHAPE(2, 3, 24, 60), 12);
    copy(o, "p14_one_channel", HM_SHAPE(3, 1, 42, 14), 14);
    copy(o, "p16", HM_SHAPE(2, 3, 32, 48), 16);
    if (oc_case(o, "not_a_multiple")) {
        hm_patchify(o->g, oc_constant(o, HM_SHAPE(1, 3, 24, 30), 0, 1), 12);
        oc_end_refused(o, "multiples of the patch size 12");
    }
}
