/* step.h: everything that one batch causes, as graphs: forward, matching, losses, backward, update. */
#ifndef HM_TRAIN_STEP_H
#define HM_TRAIN_STEP_H

#include "graph/precision.h"
#include "loss/criterion.h"
#include "optim/optimizer.h"

#define HM_STATE_SUM "grad." /* before a parameter's name: its gradients' sum over the batches of an update */

typedef struct hm_step_options {
    hm_model_options model;
    int64_t targets; /* capacity T of an image */
    hm_criterion_options criterion;
    hm_optim_options optim;
    hm_precision precision;
    const char *precision_override; /* see graph/precision.h; NULL: none */
    bool accumulate; /* gradients are added up in states HM_STATE_SUM "<parameter>" and the update is a graph of its own
                      */
} hm_step_options;

typedef struct hm_step {
    hm_graph *graph;  /* one batch; without accumulation with the update */
    hm_graph *update; /* with accumulation: what follows the last batch; else NULL */
    hm_model *model;
    hm_criterion criterion;
    hm_optimizer optimizer; /* tensors of `update` if there is one, else of `graph` */
    hm_tensor *seed;        /* input, scalar: what the loss is multiplied by, 1 / batches of an update */
    hm_tensor
        *overflow;   /* scalar: 1 when this batch's gradient is not finite; without accumulation optimizer.overflow */
    hm_tensor *keep; /* input, scalar: 0 with the first batch of an update, then 1; NULL without accumulation */
    hm_tensor **params; /* [n_params] of `graph` */
    hm_tensor **grads;  /* [n_params]; NULL for what the loss does not depend on */
    int n_params;
} hm_step;

/* *out must be freed with hm_step_free, which frees the graphs too. Tensors may still be marked as outputs. */
hm_status hm_step_build(hm_step **out, const hm_model_config *c, const hm_step_options *opt);
void hm_step_free(hm_step *s); /* takes NULL and half-built objects */

#endif
