/* select.h: choosing rows. */
#ifndef HM_OPS_SELECT_H
#define HM_OPS_SELECT_H

#include "graph/graph.h"

/* Largest entry along the last dimension: [..., K] -> [...]. No gradient. */
hm_tensor *hm_max_last(hm_graph *g, hm_tensor *x);
/* Indices of the k largest entries of each row, in descending order (ties: the lower index first): [..., N] -> I32
 * [..., k]. */
hm_tensor *hm_topk(hm_graph *g, hm_tensor *x, int k);
/* x [B, N, C], index I32 [B, k] -> [B, k, C]: row index[b,i] of x[b]. The gradient adds into the rows. */
hm_tensor *hm_gather_rows(hm_graph *g, hm_tensor *x, hm_tensor *index);
/* x [B, N, C] with the rows where keep (U8 [B, N]) is 0 set to zero. In place. */
hm_tensor *hm_mask_rows(hm_graph *g, hm_tensor *x, hm_tensor *keep);

#endif
