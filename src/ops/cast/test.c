/* test.c: cases of the change of type. The rounding itself is held to base/dtype.h in tests/unit/test_dtype.c. */
#include "opcheck/opcheck.h"
#include "ops/cast/cast.h"

static void there_and_back(oc *o, hm_shape shape, hm_dtype to, double norm) {
    hm_tensor *const x = oc_input(o, shape, -2, 2);
    oc_output(o, hm_cast(o->g, hm_cast(o->g, x, to), HM_F32));
    oc_tolerance(o, norm, 2 * norm);
    oc_end(o);
}

/* Sizes around a block of the GPU's kernel, an odd one and nothing; each result is read once. */
static void several(oc *o, hm_dtype to, double norm) {
    static const int64_t sizes[] = {8192, 1, 0, 20003, 33};
    hm_tensor *x[5], *y[5];
    for (int i = 0; i < 5; i++)
        x[i] = oc_input(o, HM_SHAPE(sizes[i]), -2, 2);
    hm_cast_all(o->g, y, x, 5, to);
    for (int i = 0; i < 5; i++)
        oc_output(o, hm_cast(o->g, y[i], HM_F32));
    oc_tolerance(o, norm, 2 * norm);
    oc_end(o);
}

/* More tensors than one launch takes. */
static void many(oc *o) {
    hm_tensor *some[7], *x[300], *y[300];
    for (int i = 0; i < 7; i++)
        some[i] = oc_constant(o, HM_SHAPE(1 + i), -2, 2);
    for (int i = 0; i < 300; i++)
        x[i] = some[i % 7];
    hm_cast_all(o->g, y, x, 300, HM_BF16);
    for (int i = 0; i < 300; i += 23)
        oc_output(o, hm_cast(o->g, y[i], HM_F32));
    oc_tolerance(o, 0x1p-8, 0x1p-7);
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
    if (oc_case(o, "several_bf16"))
        several(o, HM_BF16, 0x1p-8);
    if (oc_case(o, "several_fp16"))
        several(o, HM_F16, 0x1p-11);
    if (oc_case(o, "many"))
        many(o);
    if (oc_case(o, "refused")) {
        hm_cast(o->g, oc_ints_random(o, HM_SHAPE(3), 0, 1), HM_F16);
        oc_end_refused(o, "only floating-point tensors");
    }
}
