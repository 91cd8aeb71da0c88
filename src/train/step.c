/* step.c: joins model, criterion and optimizer into the graphs of a training step. */
#include "train/step.h"

#include <stdlib.h>

#include "base/mem.h"
#include "ops/accumulate/accumulate.h"
#include "ops/grad_norm/grad_norm.h"

static hm_status list_params(hm_step *s) {
    const hm_graph *const g = s->graph;
    HM_TRY(hm_alloc(&s->params, g->n_tensors + 1, sizeof *s->params));
    HM_TRY(hm_alloc(&s->grads, g->n_tensors + 1, sizeof *s->grads));
    for (size_t i = 0; i < g->n_tensors; i++)
        if (g->tensors[i]->storage == HM_PARAM && g->tensors[i]->base == NULL) {
            s->params[s->n_params] = g->tensors[i];
            s->grads[s->n_params++] = hm_graph_grad(g, g->tensors[i]);
        }
    return HM_OK;
}

/* A sum over batches cannot say which batch spoilt it. */
static hm_tensor *batch_overflow(hm_step *s) {
    hm_tensor **known;
    int n = 0;
    if (hm_alloc(&known, (size_t)s->n_params + 1, sizeof *known) != HM_OK)
        return hm_graph_fail(s->graph, HM_ERR_MEMORY, "%s", hm_error_message());
    for (int i = 0; i < s->n_params; i++)
        if (s->grads[i] != NULL)
            known[n++] = s->grads[i];
    const hm_grad_norms r = hm_grad_norm(s->graph, known, n, 0, NULL, (hm_loss_scale){.initial = 1});
    free(known);
    return r.overflow;
}

/* The gradients go into states, and a second graph reads those. */
static hm_status split_update(hm_step *s, const hm_model_config *c, const hm_optim_options *opt) {
    hm_tensor **params = NULL, **sums = NULL, **known = NULL, **grads = NULL;
    int n = 0;
    hm_status st = hm_graph_create(&s->update);
    if (st != HM_OK)
        return st;
    HM_TRY_TO(st, done, hm_alloc(&params, (size_t)s->n_params + 1, sizeof *params));
    HM_TRY_TO(st, done, hm_alloc(&sums, (size_t)s->n_params + 1, sizeof *sums));
    HM_TRY_TO(st, done, hm_alloc(&known, (size_t)s->n_params + 1, sizeof *known));
    HM_TRY_TO(st, done, hm_alloc(&grads, (size_t)s->n_params + 1, sizeof *grads));
    s->keep = hm_graph_input(s->graph, "keep", HM_F32, hm_scalar_shape());
    for (int i = 0; i < s->n_params; i++) {
        const hm_tensor *const p = s->params[i];
        params[i] = hm_graph_param(s->update, p->name, p->shape);
        if (s->grads[i] == NULL)
            continue;
        const char *const name = hm_graph_text(s->graph, HM_STATE_SUM "%s", p->name);
        known[n] = hm_graph_state(s->graph, name, p->shape);
        grads[n++] = s->grads[i];
        sums[i] = hm_graph_state(s->update, name, p->shape);
    }
    hm_accumulate(s->graph, known, grads, n, s->keep);
    s->overflow = hm_graph_output(s->graph, batch_overflow(s), "batch_overflow");
    HM_TRY_TO(st, done, hm_graph_status(s->graph));
    HM_TRY_TO(st, done, hm_optimizer_build(&s->optimizer, s->update, c, params, sums, s->n_params, opt));
done:
    free(params);
    free(sums);
    free(known);
    free(grads);
    return st;
}

static hm_status build_update(hm_step *s, const hm_model_config *c, const hm_optim_options *opt) {
    HM_TRY(hm_optimizer_build(&s->optimizer, s->graph, c, s->params, s->grads, s->n_params, opt));
    s->overflow = s->optimizer.overflow;
    return HM_OK;
}

static hm_status build(hm_step *s, const hm_model_config *c, const hm_step_options *opt) {
    HM_TRY(hm_graph_create(&s->graph));
    HM_TRY(hm_model_build(&s->model, s->graph, c, &opt->model));
    HM_TRY(hm_criterion_build(&s->criterion, s->graph, s->model, opt->targets, &opt->criterion));
    s->seed = hm_graph_input(s->graph, "loss_seed", HM_F32, hm_scalar_shape());
    hm_tensor *const scale = hm_graph_state(s->graph, HM_STATE_SCALE, HM_SHAPE(HM_LOSS_SCALE_STATE));
    hm_graph_scope(s->graph, "loss scale");
    hm_tensor *const seed = hm_loss_seed(s->graph, s->seed, scale, opt->optim.loss_scale);
    HM_TRY(hm_graph_status(s->graph));
    HM_TRY(hm_graph_backward(s->graph, &s->criterion.total, &seed, 1));
    if (hm_precision_half(opt->precision) != HM_F32)
        HM_TRY(hm_graph_make_again(s->graph));
    HM_TRY(list_params(s));
    if (opt->accumulate)
        HM_TRY(split_update(s, c, &opt->optim));
    else
        HM_TRY(build_update(s, c, &opt->optim));
    HM_TRY(hm_graph_precision(s->graph, opt->precision, opt->precision_override));
    return opt->accumulate ? hm_graph_precision_like(s->update, opt->precision, s->graph) : HM_OK;
}

hm_status hm_step_build(hm_step **out, const hm_model_config *c, const hm_step_options *opt) {
    *out = NULL;
    hm_step *s = NULL;
    HM_TRY(hm_alloc(&s, 1, sizeof *s));
    const hm_status st = build(s, c, opt);
    if (st != HM_OK) {
        hm_step_free(s);
        return st;
    }
    *out = s;
    return HM_OK;
}

void hm_step_free(hm_step *s) {
    if (s == NULL)
        return;
    hm_model_free(s->model);
    free(s->params);
    free(s->grads);
    hm_graph_free(s->graph);
    hm_graph_free(s->update);
    free(s);
}
