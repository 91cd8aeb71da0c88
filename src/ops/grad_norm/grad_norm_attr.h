/* grad_norm_attr.h: attributes of the gradient norm. */
#ifndef HM_OPS_GRAD_NORM_ATTR_H
#define HM_OPS_GRAD_NORM_ATTR_H

#include "ops/loss_scale/loss_scale.h"

/* Input 0 is the loss scale's state or NULL, the others are gradients. */
typedef struct hm_grad_norm_attr {
    float max_norm; /* no clipping when it is not positive */
    hm_loss_scale scale;
} hm_grad_norm_attr;

#define HM_GRAD_NORM_BLOCK      16384 /* elements whose squares are summed in one go */
#define HM_GRAD_NORM_CUDA_BLOCK 8192  /* the same, of a block of the GPU */

/* An infinite norm gives 0; NaN stays NaN, so that the update shows it. */
HM_INLINE double hm_clip_factor(double norm, double max_norm) {
    const double factor = max_norm / (norm + 1e-6);
    return max_norm > 0 && !(factor > 1) ? factor : 1;
}

#endif
