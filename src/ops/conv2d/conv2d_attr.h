/* conv2d_attr.h: sizes of convolution nodes, shared by builder and kernels.
 * conv2d: in x [B, H, W, Ci], w [Co, Ci, k, k]; out y [B, Ho, Wo, Co].
 * conv2d_dx: in dy, w; out dx. conv2d_dw: in dy, x; out dw. */
#ifndef HM_OPS_CONV2D_ATTR_H
#define HM_OPS_CONV2D_ATTR_H

#include "graph/op.h"

typedef struct hm_conv2d_attr {
    int64_t batch, h, w, ci, co, k, stride, pad, ho, wo;
} hm_conv2d_attr;

/* Pixels in a block: rows of k*k*channels numbers that together fit the second-level cache. */
static inline int64_t hm_conv2d_block(int64_t row) {
    const int64_t fit = 131072 / (row > 0 ? row : 1);
    return fit < 16 ? 16 : fit > 256 ? 256 : fit;
}

#define HM_CONV2D_DW_PIXELS   256 /* of one dw product */
#define HM_CONV2D_DW_CHANNELS 64  /* output channels of one dw task */

#endif
