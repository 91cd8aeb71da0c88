/* patchify.h: images into rows of patches. */
#ifndef HM_OPS_PATCHIFY_H
#define HM_OPS_PATCHIFY_H

#include "graph/graph.h"

/* images [B, 3, H, W] -> [B, (H/p)*(W/p), 3*p*p], each row in the order (channel, y, x): with hm_linear this is the
 * patch embedding convolution. H and W must be multiples of p. No gradient to the images. */
hm_tensor *hm_patchify(hm_graph *g, hm_tensor *images, int p);

#endif
