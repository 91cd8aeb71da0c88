/* test.c: opcheck cases of resize. */
#include "opcheck/opcheck.h"

#include "ops/resize/resize.h"

static void resample(oc *o, const char *name, hm_shape map, int64_t h, int64_t w, hm_resize_mode mode) {
    if (!oc_case(o, name))
        return;
    oc_output(o, hm_resize(o->g, oc_input(o, map, -2, 2), h, w, mode));
    oc_end(o);
}

void opcheck_resize(oc *o) {
    const hm_resize_mode linear = HM_RESIZE_BILINEAR, cubic = HM_RESIZE_BICUBIC_AA;
    resample(o, "linear_one_pixel", HM_SHAPE(1, 1, 1, 1), 1, 1, linear);
    resample(o, "linear_spread_one_pixel", HM_SHAPE(2, 1, 1, 5), 3, 4, linear);
    resample(o, "linear_three_times", HM_SHAPE(2, 6, 5, 33), 18, 15, linear);
    resample(o, "linear_uneven", HM_SHAPE(1, 7, 9, 17), 12, 10, linear);
    resample(o, "linear_shrink_skips_pixels", HM_SHAPE(1, 13, 17, 3), 4, 3, linear);
    resample(o, "linear_wide", HM_SHAPE(1, 3, 13, 72), 7, 39, linear);
    resample(o, "linear_c33_wide", HM_SHAPE(1, 2, 20, 33), 3, 70, linear);
    resample(o, "linear_many_lines", HM_SHAPE(270, 2, 3, 16), 8, 7, linear);
    resample(o, "linear_long_lines", HM_SHAPE(200, 1, 3, 1), 6, 150, linear);
    resample(o, "linear_same", HM_SHAPE(1, 4, 6, 16), 4, 6, linear);
    resample(o, "linear_no_images", HM_SHAPE(0, 4, 6, 16), 8, 8, linear);
    resample(o, "cubic_one_pixel", HM_SHAPE(1, 1, 1, 4), 3, 1, cubic);
    resample(o, "cubic_6_to_8", HM_SHAPE(1, 6, 6, 33), 8, 8, cubic);
    resample(o, "cubic_shrink", HM_SHAPE(1, 13, 11, 5), 7, 3, cubic);
    resample(o, "cubic_mixed", HM_SHAPE(2, 9, 4, 16), 5, 11, cubic);
    resample(o, "cubic_wide", HM_SHAPE(1, 11, 37, 24), 8, 26, cubic);
    resample(o, "cubic_spread", HM_SHAPE(1, 2, 3, 8), 9, 40, cubic);
    resample(o, "cubic_same", HM_SHAPE(1, 5, 7, 2), 5, 7, cubic);
    resample(o, "cubic_shrink_a_lot", HM_SHAPE(1, 33, 33, 2), 1, 2, cubic);
    if (oc_case(o, "no_height")) {
        hm_resize(o->g, oc_input(o, HM_SHAPE(1, 4, 4, 2), 0, 1), 0, 4, linear);
        oc_end_refused(o, "cannot resize to 0 x 4");
    }
    if (oc_case(o, "tokens_are_no_map")) {
        hm_resize(o->g, oc_input(o, HM_SHAPE(1, 16, 2), 0, 1), 4, 4, linear);
        oc_end_refused(o, "x must be");
    }
}
