/* adamw.c: builder and shape checks of AdamW. */
#include "ops/adamw/adamw.h"

#include "graph/op.h"

HM_CPU_DECLARE(hm_adamw);
hm_status hm_adamw_ref(const hm_call *c);

extern const hm_op hm_op_adamw;

/* Inputs p, m, v, grad of one shape; grad_factor, lr_factor, step, skip (or none) scalars. Outputs p, m, v, in place.
 */
static hm_status adamw_infer(hm_graph *g, hm_node *n) {
    for (int i = 0; i < 8; i++) {
        if (i == 7 && n->in[i] == NULL)
            break;
        HM_NODE_CHECK(n, n->in[i] != NULL && n->in[i]->dtype == HM_F32, "input %d must be an fp32 tensor", i);
        HM_NODE_CHECK(n, hm_shape_equal(n->in[i]->shape, i < 4 ? n->in[0]->shape : hm_scalar_shape()),
                      i < 4 ? "input %d must have the parameter's shape" : "input %d must be a scalar", i);
    }
    for (int o = 0; o < 3; o++) {
        HM_NODE_CHECK(n, n->in[o]->storage == HM_PARAM || n->in[o]->storage == HM_STATE,
                      "input %d does not outlive the run: updating it has no effect", o);
        HM_TRY(hm_node_output(g, n, HM_F32, n->in[0]->shape));
    }
    return HM_OK;
}

static bool native(const hm_node *n) {
    (void)n;
    return true;
}

const hm_op hm_op_adamw = {
    .name = "adamw",
    .infer = adamw_infer,
    .no_grad = true,
    .ref = hm_adamw_ref,
    .cpu = HM_CPU_KERNELS(hm_adamw),
    .native = native,
    .updates = true,
};

void hm_adamw(hm_graph *g, hm_tensor *p, hm_tensor *grad, hm_tensor *m, hm_tensor *v, hm_tensor *grad_factor,
              hm_tensor *lr_factor, hm_tensor *step, hm_tensor *skip, hm_adamw_options opt) {
    hm_tensor *const in[] = {p, m, v, grad, grad_factor, lr_factor, step, skip};
    hm_graph_node(g, &hm_op_adamw, &opt, sizeof opt, in, 8);
}
