/* adamw_attr.h: what the two AdamW ops share: one tensor's update. */
#ifndef HM_OPS_ADAMW_ATTR_H
#define HM_OPS_ADAMW_ATTR_H

#include "base/dtype.h"
#include "ops/adamw/adamw.h"

/* Scalars of an update, rounded once. */
typedef struct hm_adamw_scalars {
    float grad_factor, decay, blend1, beta2, blend2, step_size, root, eps;
} hm_adamw_scalars;

/* One parameter with its gradient and moments. */
typedef struct hm_adamw_target {
    hm_dtype p_type, grad_type;
    void *p;
    float *m, *v;
    const void *grad;
    int64_t count;
    hm_adamw_scalars s;
    uint64_t key; /* of the stochastic rounding of half parameters */
} hm_adamw_target;

/* The GPU's workspace: for each tensor its scalars (those of the first one with the same options) and its key. */
typedef struct hm_adamw_cuda_work {
    hm_adamw_scalars s;
    uint64_t key;
} hm_adamw_cuda_work;

/* adamw_fused: inputs p, m, v of each tensor, then each gradient, then grad_factor, lr_factor, step and skip. */
HM_INLINE int hm_adamw_fused_count(int n_in) {
    return (n_in - 4) / 4;
}

#endif
