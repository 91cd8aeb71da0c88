/* shape.h: views, permutations, joins and cuts. */
#ifndef HM_OPS_SHAPE_H
#define HM_OPS_SHAPE_H

#include "graph/graph.h"

/* The same elements in another shape (a view); counts must agree. */
hm_tensor *hm_reshape(hm_graph *g, hm_tensor *x, hm_shape shape);
/* out.dim[i] = x.dim[perm[i]]; a copy. perm has x's rank entries. fp32 or i32. */
hm_tensor *hm_permute(hm_graph *g, hm_tensor *x, const int *perm);
/* Joined along `axis` (negative: from the end). */
hm_tensor *hm_concat(hm_graph *g, hm_tensor *const *xs, int n, int axis);
/* Entries start..start+len of `axis`; a copy. */
hm_tensor *hm_slice(hm_graph *g, hm_tensor *x, int axis, int64_t start, int64_t len);
/* Zeros of extent `total` along `axis` with x at start (the gradient of hm_slice; differentiable itself). */
hm_tensor *hm_pad(hm_graph *g, hm_tensor *x, int axis, int64_t start, int64_t total);

#endif
