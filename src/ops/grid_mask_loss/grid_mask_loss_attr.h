/* grid_mask_loss_attr.h: attributes and inputs of grid_mask_loss and its gradient, and the target of one grid point. */
#ifndef HM_OPS_GRID_MASK_LOSS_ATTR_H
#define HM_OPS_GRID_MASK_LOSS_ATTR_H

#include "graph/op.h"

typedef struct hm_grid_mask_loss_attr {
    int groups;
    int64_t grid_h, grid_w, mask_h, mask_w;
} hm_grid_mask_loss_attr;

/* logits [B, G*Q, grid], counts I32 [B], masks U8 [B, T, bytes], match I32 [B, G*Q]; backward also the losses'
 * gradients */
enum { GM_LOGITS, GM_COUNTS, GM_MASKS, GM_MATCH, GM_FORWARD_INPUTS };
enum { GM_DCE = GM_FORWARD_INPUTS, GM_DDICE, GM_BACKWARD_INPUTS };

typedef struct hm_grid_axis {
    int64_t low, high;
    float part; /* of high */
} hm_grid_axis;

/* Where point i of `to` lies among `from` pixels, as torch's interpolate(mode="bilinear") has it, in float32. */
static inline hm_grid_axis hm_grid_axis_at(int64_t i, int64_t from, int64_t to) {
    const float scale = (float)from / (float)to, x = ((float)i + 0.5f) * scale - 0.5f, at = x < 0 ? 0 : x;
    const int64_t low = (int64_t)at;
    return (hm_grid_axis){low, low + 1 < from ? low + 1 : low, at - (float)low};
}

static inline float hm_grid_bit(const uint8_t *bits, int64_t w, int64_t y, int64_t x) {
    const int64_t at = y * w + x;
    return (float)(bits[at >> 3] >> (7 - (at & 7)) & 1);
}

/* Target at grid point k (row-major): 0 or 1. */
static inline int hm_grid_target(const hm_grid_mask_loss_attr *a, const uint8_t *bits, int64_t k) {
    const hm_grid_axis y = hm_grid_axis_at(k / a->grid_w, a->mask_h, a->grid_h);
    const hm_grid_axis x = hm_grid_axis_at(k % a->grid_w, a->mask_w, a->grid_w);
    const float top = (1 - x.part) * hm_grid_bit(bits, a->mask_w, y.low, x.low) +
                      x.part * hm_grid_bit(bits, a->mask_w, y.low, x.high);
    const float bottom = (1 - x.part) * hm_grid_bit(bits, a->mask_w, y.high, x.low) +
                         x.part * hm_grid_bit(bits, a->mask_w, y.high, x.high);
    return (1 - y.part) * top + y.part * bottom > 0.5f;
}

#endif
