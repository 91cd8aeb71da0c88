/* grad_norm.h: global gradient norm and clip factor (torch.nn.utils.clip_grad_norm_). */
#ifndef HM_OPS_GRAD_NORM_H
#define HM_OPS_GRAD_NORM_H

#include "ops/loss_scale/loss_scale.h"

/* grads: n tensors of any shape, times the loss scale of `state` (NULL: times 1). Scalars: norm = sqrt(sum of squares)
 * without the scale, accumulated in double; factor = min(1, max_norm / (norm + 1e-6)) / scale, 1 / scale when max_norm
 * <= 0; overflow = 1 when some gradient is not finite, else 0. No gradient. */
typedef struct hm_grad_norms {
    hm_tensor *norm, *factor, *overflow;
} hm_grad_norms;
hm_grad_norms hm_grad_norm(hm_graph *g, hm_tensor *const *grads, int n, float max_norm, hm_tensor *state,
                           hm_loss_scale s);

#endif
