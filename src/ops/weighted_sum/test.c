/* test.c: cases of the weighted sum. */
#include "opcheck/opcheck.h"
#include "ops/weighted_sum/weighted_sum.h"

void opcheck_weighted_sum(oc *o) {
    if (oc_case(o, "one")) {
        hm_tensor *const x = oc_input(o, hm_scalar_shape(), -2, 2);
        oc_output(o, hm_weighted_sum(o->g, &x, (const float[]){0.25f}, 1));
        oc_end(o);
    }
    if (oc_case(o, "several")) { /* one term twice, one without a gradient, one of weight 0 */
        hm_tensor *const x = oc_input(o, hm_scalar_shape(), -2, 2), *const y = oc_input(o, hm_scalar_shape(), -2, 2);
        hm_tensor *const z = oc_constant(o, hm_scalar_shape(), -2, 2);
        hm_tensor *const w = oc_input(o, hm_scalar_shape(), -2, 2);
        oc_output(o, hm_weighted_sum(o->g, (hm_tensor *[]){x, y, z, w, x}, (const float[]){1, 5, 2, 0, -0.3f}, 5));
        oc_end(o);
    }
    if (oc_case(o, "refused_shape")) {
        hm_tensor *const x = oc_input(o, HM_SHAPE(1), -2, 2);
        hm_weighted_sum(o->g, &x, (const float[]){1}, 1);
        oc_end_refused(o, "term 0 must be an fp32 scalar");
    }
    if (oc_case(o, "refused_nothing")) {
        hm_weighted_sum(o->g, NULL, NULL, 0);
        oc_end_refused(o, "nothing to add");
    }
}
