/* conv2d_attr.h: sizes of convolution nodes, shared by builder and kernels.
 * conv2d: in x [B, H, W, Ci], w [Co, Ci, k, k]; out y [B, Ho, Wo, Co].
 * conv2d_dx: in dy, w; out dx. conv2d_dw: in dy, x; out dw. */
#ifndef HM_OPS_CONV2D_ATTR_H
#define HM_OPS_CONV2D_ATTR_H

#include "graph/op.h"
#include "ops/carve.h"

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

#define HM_CONV2D_CUDA_ROWS ((int64_t)256 << 20) /* bytes of rows that the GPU gathers at a time, or one image */

/* The GPU's workspace: rows of k*k*channels numbers for some images, and what must be turned or widened for the
 * product. */
typedef struct hm_conv2d_room {
    hm_dtype type, out;                  /* of the product */
    bool widen_map, widen_other, narrow; /* operands of two types: fp32 copies of what is half */
    int64_t images;                      /* gathered at a time */
    size_t map, other, rows, result;     /* in floats; other: the turned weight, or dy widened */
    size_t floats;
} hm_conv2d_room;

/* map: the input whose pixels are gathered (0: the other is a weight; 1: the other is dy, and the result dw). pixels:
 * rows of one image. */
static inline hm_conv2d_room hm_conv2d_room_of(const hm_node *n, int map, int64_t pixels, int64_t channels) {
    const hm_conv2d_attr *const a = (const hm_conv2d_attr *)n->attr;
    const hm_dtype type = n->in[0]->dtype == n->in[1]->dtype ? n->in[0]->dtype : HM_F32;
    const int64_t image = pixels * a->k * a->k * channels, size = (int64_t)hm_dtype_size(type);
    const int64_t fit = HM_CONV2D_CUDA_ROWS / (image > 0 ? image * size : 1);
    hm_carve k = {0};
    hm_conv2d_room r;
    r.type = type;
    r.widen_map = n->in[map]->dtype != type;
    r.widen_other = map == 1 && n->in[0]->dtype != type;
    r.narrow = map == 0 && n->out[0]->dtype != HM_F32 && n->out[0]->dtype != type;
    r.out = map == 1 || r.narrow ? HM_F32 : n->out[0]->dtype;
    r.images = fit < 1 ? 1 : fit < a->batch ? fit : a->batch > 0 ? a->batch : 1;
    r.map = hm_carve_take(&k, r.widen_map ? hm_count(n->in[map]) : 0);
    r.other = hm_carve_take(&k, map == 0 || r.widen_other ? hm_count(n->in[1 - map]) : 0);
    r.rows = hm_carve_take(&k, (r.images * image * size + 3) / 4);
    r.result = hm_carve_take(&k, map == 1 || r.narrow ? hm_count(n->out[0]) : 0);
    r.floats = k.floats;
    return r;
}

#endif
