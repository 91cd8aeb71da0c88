/* test.c: cases of the global gradient norm. */
#include <math.h>

#include "opcheck/opcheck.h"
#include "ops/grad_norm/grad_norm.h"

static void norm(oc *o, hm_tensor *const *grads, int n, float max_norm) {
    const hm_grad_norms r = hm_grad_norm(o->g, grads, n, max_norm, NULL, hm_loss_scale_defaults());
    oc_output(o, r.norm);
    oc_output(o, r.factor);
    oc_output(o, r.overflow);
    oc_end(o);
}

void opcheck_grad_norm(oc *o) {
    if (oc_case(o, "clipped"))
        norm(o,
             (hm_tensor *[]){oc_constant(o, HM_SHAPE(33, 1025), -1, 1), oc_constant(o, hm_scalar_shape(), 5, 6),
                             oc_constant(o, HM_SHAPE(70000), -1, 1), oc_constant(o, HM_SHAPE(0, 3), -1, 1)},
             4, 0.1f);
    if (oc_case(o, "below"))
        norm(o, (hm_tensor *[]){oc_constant(o, HM_SHAPE(33), -1e-3, 1e-3)}, 1, 0.1f);
    if (oc_case(o, "no_clipping"))
        norm(o, (hm_tensor *[]){oc_constant(o, HM_SHAPE(33), -9, 9)}, 1, 0);
    if (oc_case(o, "all_zero"))
        norm(o, (hm_tensor *[]){oc_constant(o, HM_SHAPE(33), 0, 0)}, 1, 0.1f);
    if (oc_case(o, "all_small")) /* squares below the range of fp32 */
        norm(o, (hm_tensor *[]){oc_constant(o, HM_SHAPE(33), 1e-30, 2e-30)}, 1, 1e-31f);
    if (oc_case(o, "all_large")) /* squares above it */
        norm(o, (hm_tensor *[]){oc_constant(o, HM_SHAPE(33), 1e30, 2e30)}, 1, 0.1f);
    if (oc_case(o, "nothing"))
        norm(o, NULL, 0, 0.1f);
    if (oc_case(o, "scaled")) {
        hm_tensor *const state = oc_constant_values(o, HM_SHAPE(3), (const double[]){1024, 3, 1024});
        hm_tensor *const grad = oc_constant(o, HM_SHAPE(33), -1024, 1024);
        const hm_grad_norms r = hm_grad_norm(o->g, &grad, 1, 0.1f, state, hm_loss_scale_defaults());
        oc_output(o, r.norm);
        oc_output(o, r.factor);
        oc_end(o);
    }
    if (oc_case(o, "overflow"))
        norm(o, (hm_tensor *[]){oc_constant_values(o, HM_SHAPE(3), (const double[]){1, INFINITY, 2})}, 1, 0.1f);
    if (oc_case(o, "refused")) {
        hm_grad_norm(o->g, (hm_tensor *[]){oc_ints_random(o, HM_SHAPE(3), 0, 1)}, 1, 0.1f, NULL,
                     hm_loss_scale_defaults());
        oc_end_refused(o, "gradient 0 must be an fp32 tensor");
    }
}
