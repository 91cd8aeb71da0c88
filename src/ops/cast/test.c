/* test.c: cases of the change of type. The rounding itself is held to base/dtype.h in tests/unit/test_dtype.c. */
#include "opcheck/opcheck.h"
#include "ops/cast/cast.h"

static void there_and_back(oc *o, hm_shape shape, hm_dtype to, double norm) {
    hm_tensor *const x = oc_input(o, shape, -2, 2);
    oc_output(o, hm_cast(o->g, hm_cast(o->g, x, to), HM_F32));
    oc_tolerance(o, norm, 2 * norm);
    oc_end(o);
}

void opcheck_cast(oc *o) {
    if (oc_case(o, "bf16_33x1025"))
        there_and_back(o, HM_SHAPE(33, 1025), HM_BF16, 0x1p-8);
    if (oc_case(o, "fp16_33x1025"))
        there_and_back(o, HM_SHAPE(33, 1025), HM_F16, 0x1p-11);
    if (oc_case(o, "fp32_7"))
        there_and_back(o, HM_SHAPE(7), HM_F32, 0);
    if (oc_case(o, "scalar"))
        there_and_back(o, hm_scalar_shape(), HM_F16, 0x1p-11);
    if (oc_case(o, "empty"))
        there_and_back(o, HM_SHAPE(0, 3), HM_BF16, 0x1p-8);
    if (oc_case(o, "refused")) {
        hm_cast(o->g, oc_ints_random(o, HM_SHAPE(3), 0, 1), HM_F16);
        oc_end_refused(o, "only floating-point tensors");
    }
}
