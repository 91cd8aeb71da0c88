/* dwconv2d.h: depthwise convolution on channels-last maps. */
#ifndef HM_OPS_DWCONV2D_H
#define HM_OPS_DWCONV2D_H

#include "graph/graph.h"

/* x [B, H, W, C], w [C, 1, k, k], b [C] or NULL, stride 1, zero padding k/2 (k odd) -> [B, H, W, C]. */
hm_tensor *hm_dwconv2d(hm_graph *g, hm_tensor *x, hm_tensor *w, hm_tensor *b);

#endif
