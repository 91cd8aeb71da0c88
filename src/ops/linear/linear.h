/* linear.h: matrix products (oneDNN). */
#ifndef HM_OPS_LINEAR_H
#define HM_OPS_LINEAR_H

#include "graph/graph.h"

#include "ops/activation/activation.h"

/* y = act(x W^T + b): x [..., K], w [N, K] (further dimensions of w are folded into K, so 1x1 convolution weights
 * [N, K, 1, 1] fit), b [N] or NULL, y [..., N]. act: NONE, RELU, GELU, SILU; fused as an epilogue. */
hm_tensor *hm_linear(hm_graph *g, hm_tensor *x, hm_tensor *w, hm_tensor *b, hm_act act);

/* Batched product over the leading dimensions (equal in a and b, or absent in b: then b is shared):
 * op(a) [.., M, K] x op(b) [.., K, N] -> [.., M, N]; trans_* reads the last two dimensions swapped. */
hm_tensor *hm_matmul(hm_graph *g, hm_tensor *a, hm_tensor *b, bool trans_a, bool trans_b);

#endif
