/* grid_mask_loss_attr.h: attributes and inputs of grid_mask_loss and its gradient, and the target of one grid point. */
#ifndef HM_OPS_GRID_MASK_LOSS_ATTR_H
#define HM_OPS_GRID_MASK_LOSS_ATTR_H

#include "base/inline.h"
#include "graph/op.h"

typedef struct hm_grid_mask_loss_attr {
    int groups;
    int64_t grid_h, grid_w, mask_h, mask_w;
} hm_grid_mask_loss_attr;

/* logits [B, G*Q, grid], counts I32 [B], masks U8 [B, T, bytes], match I32 [B, G*Q]; backward also the losses'
 * gradients */
enum { GM_LOGITS, GM_COUNTS, GM_MASKS, GM_MATCH, GM_FORWARD_INPUTS };
enum { GM_DCE = GM_FORWARD_INPUTS, GM_DDICE, GM_BACKWARD_INPUTS };

#define GM_CUDA_ROWS 8 /* queries of a block at a time: a warp for each */

typedef struct hm_grid_axis {
    int64_t low, high;
    float part; /* of high */
} hm_grid_axis;

/* a * b, rounded on its own: a fused multiply-add would move points across the threshold. */
HM_INLINE float hm_grid_times(float a, float b) {
#ifdef __CUDA_ARCH__
    return __fmul_rn(a, b);
#else
    return a * b;
#endif
}

/* Where point i of `to` lies among `from` pixels, as torch's interpolate(mode="bilinear") has it, in float32. */
HM_INLINE hm_grid_axis hm_grid_axis_at(int64_t i, int64_t from, int64_t to) {
    const float scale = (float)from / (float)to, x = hm_grid_times((float)i + 0.5f, scale) - 0.5f;
    const float at = x < 0 ? 0 : x;
    const int64_t low = (int64_t)at;
    const hm_grid_axis axis = {low, low + 1 < from ? low + 1 : low, at - (float)low};
    return axis;
}

HM_INLINE float hm_grid_bit(const uint8_t *bits, int64_t w, int64_t y, int64_t x) {
    const int64_t at = y * w + x;
    return (float)(bits[at >> 3] >> (7 - (at & 7)) & 1);
}

/* Target at grid point k (row-major): 0 or 1. */
HM_INLINE int hm_grid_target(const hm_grid_mask_loss_attr *a, const uint8_t *bits, int64_t k) {
    const hm_grid_axis y = hm_grid_axis_at(k / a->grid_w, a->mask_h, a->grid_h);
    const hm_grid_axis x = hm_grid_axis_at(k % a->grid_w, a->mask_w, a->grid_w);
    /* bits are 0 or 1: these products are exact */
    const float top = (1 - x.part) * hm_grid_bit(bits, a->mask_w, y.low, x.low) +
                      x.part * hm_grid_bit(bits, a->mask_w, y.low, x.high);
    const float bottom = (1 - x.part) * hm_grid_bit(bits, a->mask_w, y.high, x.low) +
                         x.part * hm_grid_bit(bits, a->mask_w, y.high, x.high);
    return hm_grid_times(1 - y.part, top) + hm_grid_times(y.part, bottom) > 0.5f;
}

#endif
