/* optimizer.c: one clip factor from all gradients, then one update per parameter. */
#include "optim/optimizer.h"

#include <stdlib.h>

#include "base/mem.h"
#include "ops/adamw/adamw.h"
#include "ops/ema/ema.h"
#include "ops/grad_norm/grad_norm.h"

/* What one update shares. */
typedef struct update {
    hm_tensor *factor, *lr_factor, *step, *ema_decay, *skip;
} update;

static hm_adamw_tensor tensor_of(hm_graph *g, const hm_model_config *c, hm_tensor *p, hm_tensor *grad,
                                 const hm_optim_options *opt) {
    hm_adamw_tensor t = {.p = p, .grad = grad, .options = {.beta1 = opt->beta1, .beta2 = opt->beta2, .eps = opt->eps}};
    hm_param_group(c, opt, p->name, &t.options.lr, &t.options.weight_decay);
    t.m = hm_graph_state(g, hm_graph_text(g, "exp_avg.%s", p->name), p->shape);
    t.v = hm_graph_state(g, hm_graph_text(g, "exp_avg_sq.%s", p->name), p->shape);
    return t;
}

static hm_status update_all(const update *u, hm_graph *g, const hm_model_config *c, hm_tensor *const *params,
                            hm_tensor *const *grads, int n, const hm_optim_options *opt) {
    hm_adamw_tensor *all;
    int count = 0;
    HM_TRY(hm_alloc(&all, (size_t)n + 1, sizeof *all));
    for (int i = 0; i < n && g->status == HM_OK; i++)
        if (grads[i] != NULL)
            all[count++] = tensor_of(g, c, params[i], grads[i], opt);
    if (opt->fused && g->status == HM_OK)
        hm_adamw_fused(g, all, count, u->factor, u->lr_factor, u->step, u->skip);
    for (int i = 0; i < count && !opt->fused; i++)
        hm_adamw(g, all[i].p, all[i].grad, all[i].m, all[i].v, u->factor, u->lr_factor, u->step, u->skip,
                 all[i].options);
    free(all);
    return hm_graph_status(g);
}

static hm_status average_all(const update *u, hm_graph *g, hm_tensor *const *params, int n) {
    hm_tensor **averages;
    HM_TRY(hm_alloc(&averages, (size_t)n + 1, sizeof *averages));
    for (int i = 0; i < n && g->status == HM_OK; i++)
        averages[i] = hm_graph_state(g, hm_graph_text(g, "ema.%s", params[i]->name), params[i]->shape);
    hm_ema(g, averages, params, n, u->ema_decay, u->skip);
    free(averages);
    return hm_graph_status(g);
}

/* Norm, clip factor and overflow of the gradients that there are. */
static hm_status look_at_gradients(hm_optimizer *out, update *u, hm_graph *g, hm_tensor *const *grads, int n,
                                   hm_tensor *scale, const hm_optim_options *opt) {
    hm_tensor **known = NULL;
    int n_known = 0;
    HM_TRY(hm_alloc(&known, (size_t)n + 1, sizeof *known));
    for (int i = 0; i < n; i++)
        if (grads[i] != NULL)
            known[n_known++] = grads[i];
    const hm_grad_norms r = hm_grad_norm(g, known, n_known, opt->clip_max_norm, scale, opt->loss_scale);
    free(known);
    out->grad_norm = hm_graph_output(g, r.norm, "grad_norm");
    out->overflow = hm_graph_output(g, r.overflow, "overflow");
    u->factor = r.factor;
    u->skip = r.overflow;
    return hm_graph_status(g);
}

hm_status hm_optimizer_build(hm_optimizer *out, hm_graph *g, const hm_model_config *c, hm_tensor *const *params,
                             hm_tensor *const *grads, int n, const hm_optim_options *opt) {
    update u;
    hm_graph_scope(g, "optimizer");
    hm_tensor *const scale = hm_graph_state(g, HM_STATE_SCALE, HM_SHAPE(HM_LOSS_SCALE_STATE));
    hm_tensor *const progress = hm_graph_state(g, HM_STATE_PROGRESS, HM_SHAPE(2));
    hm_schedule_build(g, progress, opt->schedules, &u.lr_factor, &u.step, &u.ema_decay);
    HM_TRY(look_at_gradients(out, &u, g, grads, n, scale, opt));
    HM_TRY(update_all(&u, g, c, params, grads, n, opt));
    if (opt->ema)
        HM_TRY(average_all(&u, g, params, n));
    hm_loss_scale_update(g, scale, progress, u.skip, opt->loss_scale);
    hm_graph_scope(g, "%s", "");
    return hm_graph_status(g);
}
