/* optimizer.h: clipping, AdamW and the moving average of the weights as graph nodes. */
#ifndef HM_OPTIM_OPTIMIZER_H
#define HM_OPTIM_OPTIMIZER_H

#include "graph/graph.h"
#include "optim/param_groups.h"

typedef struct hm_optimizer {
    hm_tensor *grad_norm; /* scalar output: of the whole gradient without the loss scale, before clipping */
    hm_tensor *overflow;  /* scalar output: 1 when the step was skipped because some gradient was not finite, else 0 */
} hm_optimizer;

/* Updates params[i] from grads[i] (NULL: the loss does not depend on it, nothing moves), which are multiplied by the
 * loss scale. A gradient that is not finite skips the whole update. States: HM_STATE_SCALE, HM_STATE_PROGRESS,
 * "exp_avg.<name>", "exp_avg_sq.<name>" of those parameters that move and, with opt->ema, "ema.<name>" of all. */
#define HM_STATE_SCALE    "loss_scale"         /* [3]: ops/loss_scale/loss_scale.h */
#define HM_STATE_PROGRESS "optimizer.progress" /* [2]: updates made, steps skipped */
hm_status hm_optimizer_build(hm_optimizer *out, hm_graph *g, const hm_model_config *c, hm_tensor *const *params,
                             hm_tensor *const *grads, int n, const hm_optim_options *opt);

#endif
