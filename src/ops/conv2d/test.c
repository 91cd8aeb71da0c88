/* test.c: conv2d. */
#include "ops/conv2d/conv2d.h"

#include "opcheck/opcheck.h"

void opcheck_conv2d(oc *o);

static void convolve(oc *o, const char *name, hm_shape x, hm_shape w, int stride, int pad) {
    if (!oc_case(o, name))
        return;
    oc_output(o, hm_conv2d(o->g, oc_input(o, x, -1, 1), oc_input(o, w, -1, 1), stride, pad));
    oc_end(o);
}

/* In half one operand, or the result, stays in fp32. */
static void mixed(oc *o, const char *name, int full) {
    if (!oc_case(o, name))
        return;
    hm_tensor *const x = oc_input(o, HM_SHAPE(2, 5, 6, 8), -1, 1), *const w = oc_input(o, HM_SHAPE(4, 8, 3, 3), -1, 1);
    hm_tensor *const y = hm_conv2d(o->g, x, w, 1, 1);
    oc_full(o, full == 0 ? x : full == 1 ? w : y);
    oc_output(o, y);
    oc_end(o);
}

static void refused(oc *o, const char *name, hm_shape x, hm_shape w, int stride, int pad, const char *words) {
    if (!oc_case(o, name))
        return;
    hm_conv2d(o->g, oc_input(o, x, -1, 1), oc_input(o, w, -1, 1), stride, pad);
    oc_end_refused(o, words);
}

void opcheck_conv2d(oc *o) {
    convolve(o, "one", HM_SHAPE(1, 1, 1, 1), HM_SHAPE(1, 1, 1, 1), 1, 0);
    convolve(o, "k3", HM_SHAPE(2, 7, 9, 5), HM_SHAPE(3, 5, 3, 3), 1, 1);
    convolve(o, "k3_single_pixel", HM_SHAPE(1, 1, 1, 4), HM_SHAPE(4, 4, 3, 3), 1, 1);
    convolve(o, "k3_no_padding", HM_SHAPE(1, 5, 33, 4), HM_SHAPE(4, 4, 3, 3), 1, 0);
    convolve(o, "k3_stride2", HM_SHAPE(2, 8, 9, 6), HM_SHAPE(7, 6, 3, 3), 2, 1);
    convolve(o, "k3_stride2_unread_edge", HM_SHAPE(1, 8, 8, 3), HM_SHAPE(2, 3, 3, 3), 2, 0);
    convolve(o, "k1_stride2", HM_SHAPE(1, 5, 6, 3), HM_SHAPE(2, 3, 1, 1), 2, 0);
    convolve(o, "k2_stride2", HM_SHAPE(1, 6, 6, 3), HM_SHAPE(4, 3, 2, 2), 2, 0);
    convolve(o, "blocks", HM_SHAPE(2, 13, 14, 33), HM_SHAPE(70, 33, 3, 3), 1, 1);
    convolve(o, "channels_in_units", HM_SHAPE(2, 9, 11, 16), HM_SHAPE(24, 16, 3, 3), 1, 1);
    convolve(o, "channels_in_units_stride2", HM_SHAPE(3, 9, 10, 32), HM_SHAPE(8, 32, 3, 3), 2, 1);
    convolve(o, "k5_stride3", HM_SHAPE(1, 13, 11, 8), HM_SHAPE(8, 8, 5, 5), 3, 2);
    convolve(o, "k1", HM_SHAPE(2, 5, 6, 8), HM_SHAPE(16, 8, 1, 1), 1, 0);
    mixed(o, "fp32_x", 0);
    mixed(o, "fp32_w", 1);
    mixed(o, "fp32_y", 2);
    convolve(o, "empty_batch", HM_SHAPE(0, 4, 4, 3), HM_SHAPE(4, 3, 3, 3), 1, 1);
    refused(o, "channels_differ", HM_SHAPE(1, 4, 4, 3), HM_SHAPE(2, 4, 3, 3), 1, 1, "input channels");
    refused(o, "not_square", HM_SHAPE(1, 4, 4, 3), HM_SHAPE(2, 3, 3, 1), 1, 1, "square");
    refused(o, "too_small", HM_SHAPE(1, 2, 4, 3), HM_SHAPE(2, 3, 3, 3), 1, 0, "larger than the padded input");
    refused(o, "stride_zero", HM_SHAPE(1, 4, 4, 3), HM_SHAPE(2, 3, 3, 3), 0, 1, "stride");
}
