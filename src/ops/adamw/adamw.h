/* adamw.h: AdamW (Loshchilov & Hutter 2019) as torch.optim.AdamW computes it. */
#ifndef HM_OPS_ADAMW_H
#define HM_OPS_ADAMW_H

#include "graph/graph.h"

/* In double, as PyTorch keeps them: 1 - beta2 would lose five digits in float. */
typedef struct hm_adamw_options {
    double lr;           /* of this tensor's group, before the schedule */
    double weight_decay; /* decoupled */
    double beta1, beta2, eps;
} hm_adamw_options;

/* Updates p, m, v in place (storage PARAM and STATE): with lr' = lr * lr_factor, g' = g * factor, t = step count (fp32
 * scalar tensor, 1 at the first update): p *= 1 - lr' wd; m += (g' - m)(1 - b1); v = v b2 + (1 - b2) g'^2; p -= lr' /
 * (1 - b1^t) * m / (sqrt(v) / sqrt(1 - b2^t) + eps). Bias corrections in double. grad_factor, lr_factor, step: scalar
 * tensors. A parameter stored in half is rounded stochastically. skip: scalar, not 0 when nothing may move; NULL:
 * never. */
void hm_adamw(hm_graph *g, hm_tensor *p, hm_tensor *grad, hm_tensor *m, hm_tensor *v, hm_tensor *grad_factor,
              hm_tensor *lr_factor, hm_tensor *step, hm_tensor *skip, hm_adamw_options opt);

/* The same for n tensors in one node; the bits are the same. */
typedef struct hm_adamw_tensor {
    hm_tensor *p, *grad, *m, *v;
    hm_adamw_options options;
} hm_adamw_tensor;
void hm_adamw_fused(hm_graph *g, const hm_adamw_tensor *t, int n, hm_tensor *grad_factor, hm_tensor *lr_factor,
                    hm_tensor *step, hm_tensor *skip);

#endif
