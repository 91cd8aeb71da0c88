/* elementwise.h: sums and products with broadcasting. */
#ifndef HM_OPS_ELEMENTWISE_H
#define HM_OPS_ELEMENTWISE_H

#include "graph/graph.h"

/* a + b and a * b, fp32. b is broadcast to a's shape: aligned at the last dimension, each of its dimensions equal or 1
 * or absent. In place on a. Gradients are summed back to b's shape by hm_sum_to. */
hm_tensor *hm_add(hm_graph *g, hm_tensor *a, hm_tensor *b);
hm_tensor *hm_mul(hm_graph *g, hm_tensor *a, hm_tensor *b);
/* The sum of 2 to HM_ADD_MOST (graph/op.h) tensors of one shape, from the first to the last; in place on the first. */
hm_tensor *hm_add_all(hm_graph *g, hm_tensor *const *terms, int n);
/* x summed over the broadcast dimensions down to `shape` (aligned at the last dimension). */
hm_tensor *hm_sum_to(hm_graph *g, hm_tensor *x, hm_shape shape);
/* x repeated to `shape` (the opposite). */
hm_tensor *hm_broadcast(hm_graph *g, hm_tensor *x, hm_shape shape);
/* x + gain * y, gain [C] over the last dimension (LayerScale with its residual). In place on x. */
hm_tensor *hm_scale_residual(hm_graph *g, hm_tensor *x, hm_tensor *y, hm_tensor *gain);
/* The same memory without a gradient (a view). */
hm_tensor *hm_detach(hm_graph *g, hm_tensor *x);

#endif
