/* resize.h: separable resampling of channels-last maps. */
#ifndef HM_OPS_RESIZE_H
#define HM_OPS_RESIZE_H

#include "graph/graph.h"

typedef enum hm_resize_mode {
    HM_RESIZE_BILINEAR,  /* align_corners = False, no antialias: src = max(0, (i + .5) * in/out - .5) */
    HM_RESIZE_BICUBIC_AA /* antialiased bicubic, a = -0.5 (torchvision, Pillow) */
} hm_resize_mode;

/* x [B, H, W, C] -> [B, h, w, C]. */
hm_tensor *hm_resize(hm_graph *g, hm_tensor *x, int64_t h, int64_t w, hm_resize_mode mode);

#endif
