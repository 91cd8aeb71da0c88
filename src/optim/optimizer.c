/* optimizer.c: one clip factor from all gradients, then one update per parameter. */
#include "optim/optimizer.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "ops/adamw/adamw.h"
#include "ops/ema/ema.h"
#include "ops/grad_norm/grad_norm.h"

static void step(hm_optimizer *o, hm_graph *g, const hm_model_config *c, hm_tensor *p, hm_tensor *grad,
                 hm_tensor *factor, const hm_optim_options *opt) {
    hm_adamw_options a = {.beta1 = opt->beta1, .beta2 = opt->beta2, .eps = opt->eps};
    hm_param_group(c, opt, p->name, &a.lr, &a.weight_decay);
    hm_tensor *const m = hm_graph_state(g, hm_graph_text(g, "exp_avg.%s", p->name), p->shape);
    hm_tensor *const v = hm_graph_state(g, hm_graph_text(g, "exp_avg_sq.%s", p->name), p->shape);
    hm_adamw(g, p, grad, m, v, factor, o->lr_factor, o->step, a);
}

hm_status hm_optimizer_build(hm_optimizer *out, hm_graph *g, const hm_model_config *c, hm_tensor *const *params,
                             hm_tensor *const *grads, int n, const hm_optim_options *opt) {
    memset(out, 0, sizeof *out);
    hm_tensor **known = NULL, *factor;
    HM_TRY(hm_alloc(&known, (size_t)n + 1, sizeof *known));
    int n_known = 0;
    for (int i = 0; i < n; i++)
        if (grads[i] != NULL)
            known[n_known++] = grads[i];
    hm_graph_scope(g, "optimizer");
    out->lr_factor = hm_graph_input(g, "lr_factor", HM_F32, hm_scalar_shape());
    out->step = hm_graph_input(g, "step", HM_F32, hm_scalar_shape());
    if (opt->ema)
        out->ema_decay = hm_graph_input(g, "ema_decay", HM_F32, hm_scalar_shape());
    hm_grad_norm(g, known, n_known, opt->clip_max_norm, &out->grad_norm, &factor);
    hm_graph_output(g, out->grad_norm, "grad_norm");
    free(known);
    for (int i = 0; i < n && g->status == HM_OK; i++) {
        hm_tensor *const p = params[i];
        if (grads[i] != NULL)
            step(out, g, c, p, grads[i], factor, opt);
        if (opt->ema)
            hm_ema(g, hm_graph_state(g, hm_graph_text(g, "ema.%s", p->name), p->shape), p, out->ema_decay);
    }
    hm_graph_scope(g, "%s", "");
    return hm_graph_status(g);
}
