/* test.c: cases of layer normalisation. */
#include "opcheck/opcheck.h"
#include "ops/elementwise/elementwise.h"
#include "ops/layer_norm/layer_norm.h"

static void run(oc *o, hm_tensor *x, bool affine_learns) {
    const hm_shape channels = HM_SHAPE(hm_dim(x, -1));
    hm_tensor *const gain = affine_learns ? oc_input(o, channels, -1, 2) : oc_constant(o, channels, -1, 2);
    hm_tensor *const bias = affine_learns ? oc_input(o, channels, -1, 1) : oc_constant(o, channels, -1, 1);
    oc_output(o, hm_layer_norm(o->g, x, gain, bias, 1e-6f));
    oc_end(o);
}

/* x + layer_norm(x): the gradient of x is made in one go. */
static void run_beside(oc *o, hm_shape shape) {
    const hm_shape channels = HM_SHAPE(shape.dim[shape.rank - 1]);
    hm_tensor *const x = oc_input(o, shape, -2, 2);
    hm_tensor *const y = hm_layer_norm(o->g, x, oc_input(o, channels, -1, 2), oc_input(o, channels, -1, 1), 1e-6f);
    oc_output(o, hm_add(o->g, x, y));
    oc_end(o);
}

void opcheck_layer_norm(oc *o) {
    if (oc_case(o, "rows33_c1025"))
        run(o, oc_input(o, HM_SHAPE(33, 1025), -2, 2), true);
    if (oc_case(o, "rows1025_c33"))
        run(o, oc_input(o, HM_SHAPE(5, 205, 33), -2, 2), true);
    if (oc_case(o, "one_row"))
        run(o, oc_input(o, HM_SHAPE(33), -2, 2), true);
    if (oc_case(o, "frozen_affine"))
        run(o, oc_input(o, HM_SHAPE(65, 33), -2, 2), false);
    if (oc_case(o, "frozen_input"))
        run(o, oc_constant(o, HM_SHAPE(65, 33), -2, 2), true);
    if (oc_case(o, "offset")) { /* mean far from zero: cancels in any one-pass variance; x itself is rounded to 1e-5 */
        oc_tolerance(o, 3e-5, 1e-4);
        run(o, oc_input(o, HM_SHAPE(33, 65), 99, 101), true);
    }
    if (oc_case(o, "one_channel")) { /* y is the bias: the gradient of x is zero */
        oc_output(o, hm_layer_norm(o->g, oc_constant(o, HM_SHAPE(33, 1), -2, 2), oc_input(o, HM_SHAPE(1), 1, 2),
                                   oc_input(o, HM_SHAPE(1), 1, 2), 1e-6f));
        oc_end(o);
    }
    if (oc_case(o, "large"))
        run(o, oc_constant(o, HM_SHAPE(33, 65), -1e15, 1e15), true);
    if (oc_case(o, "small")) /* eps decides */
        run(o, oc_input(o, HM_SHAPE(33, 65), -1e-4, 1e-4), true);
    if (oc_case(o, "rows70_c384")) /* held in registers on the GPU, as the backbone's rows are */
        run(o, oc_input(o, HM_SHAPE(70, 384), -2, 2), true);
    if (oc_case(o, "rows1100_c8"))
        run(o, oc_input(o, HM_SHAPE(1100, 8), -2, 2), true);
    if (oc_case(o, "rows5_c516"))
        run(o, oc_input(o, HM_SHAPE(5, 516), -2, 2), true);
    if (oc_case(o, "beside_c33"))
        run_beside(o, HM_SHAPE(65, 33));
    if (oc_case(o, "beside_c256"))
        run_beside(o, HM_SHAPE(37, 256));
    if (oc_case(o, "empty"))
        run(o, oc_input(o, HM_SHAPE(0, 8), -2, 2), true);
    if (oc_case(o, "refused_gain")) {
        hm_layer_norm(o->g, oc_input(o, HM_SHAPE(2, 4), 0, 1), oc_input(o, HM_SHAPE(2), 0, 1),
                      oc_input(o, HM_SHAPE(4), 0, 1), 1e-5f);
        oc_end_refused(o, "one number per channel");
    }
    if (oc_case(o, "refused_no_channels")) {
        hm_layer_norm(o->g, oc_input(o, HM_SHAPE(2, 0), 0, 1), oc_input(o, HM_SHAPE(0), 0, 1),
                      oc_input(o, HM_SHAPE(0), 0, 1), 1e-5f);
        oc_end_refused(o, "no channels");
    }
}
