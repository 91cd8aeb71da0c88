/* test.c: cases of the loss scale. PyTorch's trajectories are in tests/unit/test_loss_scale.c. */
#include "graph/op.h"
#include "opcheck/opcheck.h"
#include "ops/loss_scale/loss_scale.h"

static void step(oc *o, double scale, double overflow) {
    hm_loss_scale s = hm_loss_scale_defaults();
    s.interval = 1;
    hm_tensor *const state = oc_state(o, HM_SHAPE(HM_LOSS_SCALE_STATE), scale, scale);
    hm_tensor *const progress = oc_state(o, HM_SHAPE(2), 4, 4);
    hm_tensor *const seed = oc_constant_values(o, hm_scalar_shape(), (const double[]){0.25});
    oc_output(o, hm_loss_seed(o->g, seed, state, s));
    hm_loss_scale_update(o->g, state, progress, oc_constant_values(o, hm_scalar_shape(), &overflow), s);
    oc_half(o, 0); /* always fp32 */
    oc_end(o);
}

void opcheck_loss_scale(oc *o) {
    if (oc_case(o, "not_begun"))
        step(o, 0, 0);
    if (oc_case(o, "grows"))
        step(o, 128, 0);
    if (oc_case(o, "falls"))
        step(o, 128, 1);
    if (oc_case(o, "floor"))
        step(o, 1, 1);
    if (oc_case(o, "refused")) {
        hm_loss_seed(o->g, oc_constant(o, HM_SHAPE(2), 0, 1), oc_constant(o, HM_SHAPE(3), 0, 1),
                     hm_loss_scale_defaults());
        oc_end_refused(o, "the seed must be 1 fp32 numbers");
    }
}
