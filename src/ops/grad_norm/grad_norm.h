/* grad_norm.h: global gradient norm and clip factor (torch.nn.utils.clip_grad_norm_). */
#ifndef HM_OPS_GRAD_NORM_H
#define HM_OPS_GRAD_NORM_H

#include "graph/graph.h"

/* grads: n tensors of any shape. *norm = sqrt(sum of squares), accumulated in double; *factor = min(1, max_norm / (norm
 * + 1e-6)), 1 when max_norm <= 0; scalars. No gradient. */
void hm_grad_norm(hm_graph *g, hm_tensor *const *grads, int n, float max_norm, hm_tensor **norm, hm_tensor **factor);

#endif
