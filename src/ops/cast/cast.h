/* cast.h: tensors stored in another floating-point type. */
#ifndef HM_OPS_CAST_H
#define HM_OPS_CAST_H

#include "graph/graph.h"

/* x rounded to `to` (HM_F32, HM_F16, HM_BF16), to nearest, ties to even. The gradient passes unchanged. */
hm_tensor *hm_cast(hm_graph *g, hm_tensor *x, hm_dtype to);
/* The same for n tensors in one node. */
void hm_cast_all(hm_graph *g, hm_tensor **y, hm_tensor *const *x, int n, hm_dtype to);

#endif
