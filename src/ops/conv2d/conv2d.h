/* conv2d.h: dense convolution on channels-last maps (oneDNN). */
#ifndef HM_OPS_CONV2D_H
#define HM_OPS_CONV2D_H

#include "graph/graph.h"

/* x [B, H, W, Ci], w [Co, Ci, k, k] (upstream's layout), no bias, zero padding `pad` -> [B, Ho, Wo, Co] with
 * Ho = (H + 2 pad - k) / stride + 1. For 1x1 with stride 1 use hm_linear. */
hm_tensor *hm_conv2d(hm_graph *g, hm_tensor *x, hm_tensor *w, int stride, int pad);

#endif
