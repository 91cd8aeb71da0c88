/* optimizer.h: clipping, AdamW and the moving average of the weights as graph nodes. */
#ifndef HM_OPTIM_OPTIMIZER_H
#define HM_OPTIM_OPTIMIZER_H

#include "graph/graph.h"
#include "optim/param_groups.h"

/* All scalars. */
typedef struct hm_optimizer {
    hm_tensor *lr_factor; /* input: factor of every group's learning rate (optim/schedule.h) */
    hm_tensor *step;      /* input: updates made with this one, from 1 */
    hm_tensor *ema_decay; /* input; NULL without averages */
    hm_tensor *grad_norm; /* output, before clipping */
} hm_optimizer;

/* Updates params[i] from grads[i] (NULL: the loss does not depend on it, nothing moves). States: "exp_avg.<name>",

 * "exp_avg_sq.<name>" of those that move and, with opt->ema, "ema.<name>" of all. */
hm_status hm_optimizer_build(hm_optimizer *out, hm_graph *g, const hm_model_config *c, hm_tensor *const *params,
                             hm_tensor *const *grads, int n, const hm_optim_options *opt);

#endif
