/* test.c: opcheck cases of dwconv2d. */
#include "opcheck/opcheck.h"

#include "ops/dwconv2d/dwconv2d.h"

static void convolve(oc *o, const char *name, hm_shape map, int64_t k, bool bias) {
    if (!oc_case(o, name))
        return;
    const int64_t C = map.dim[3];
    hm_tensor *const x = oc_input(o, map, -2, 2), *const w = oc_input(o, HM_SHAPE(C, 1, k, k), -1, 1);
    oc_output(o, hm_dwconv2d(o->g, x, w, bias ? oc_input(o, HM_SHAPE(C), -1, 1) : NULL));
    oc_end(o);
}

static void refused(oc *o, const char *name, hm_shape w, int64_t bias, const char *words) {
    if (!oc_case(o, name))
        return;
    hm_tensor *const x = oc_input(o, HM_SHAPE(1, 5, 5, 4), -1, 1);
    hm_dwconv2d(o->g, x, oc_input(o, w, -1, 1), oc_input(o, HM_SHAPE(bias), -1, 1));
    oc_end_refused(o, words);
}

void opcheck_dwconv2d(oc *o) {
    convolve(o, "one_pixel", HM_SHAPE(1, 1, 1, 1), 3, true);
    convolve(o, "one_row", HM_SHAPE(1, 1, 33, 5), 3, true);
    convolve(o, "one_column", HM_SHAPE(2, 33, 1, 16), 3, false);
    convolve(o, "k3_c33", HM_SHAPE(2, 11, 13, 33), 3, true);
    convolve(o, "k3_all_in_fours", HM_SHAPE(1, 9, 10, 64), 3, true);
    convolve(o, "k3_no_bias", HM_SHAPE(3, 4, 7, 17), 3, false);
    convolve(o, "k3_runs_and_chunks", HM_SHAPE(2, 11, 37, 132), 3, true);
    convolve(o, "k3_c256", HM_SHAPE(1, 20, 19, 256), 3, true);
    convolve(o, "k1", HM_SHAPE(2, 3, 6, 8), 1, true);
    convolve(o, "k5_larger_than_the_map", HM_SHAPE(1, 3, 2, 9), 5, true);
    convolve(o, "k7", HM_SHAPE(1, 9, 8, 3), 7, true);
    convolve(o, "no_images", HM_SHAPE(0, 5, 5, 8), 3, true);
    convolve(o, "c1025", HM_SHAPE(1, 3, 6, 1025), 3, true);
    refused(o, "even_kernel", HM_SHAPE(4, 1, 2, 2), 4, "odd k");
    refused(o, "other_channels", HM_SHAPE(3, 1, 3, 3), 4, "w must be");
    refused(o, "other_bias", HM_SHAPE(4, 1, 3, 3), 5, "b must be");
}
