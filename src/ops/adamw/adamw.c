/* adamw.c: builder and shape checks of AdamW. */
#include "ops/adamw/adamw.h"

#include <stdlib.h>

#include "base/mem.h"
#include "graph/op.h"
#include "ops/adamw/adamw_attr.h"

HM_CPU_DECLARE(hm_adamw);
HM_CPU_DECLARE(hm_adamw_fused);
HM_CUDA_DECLARE(hm_adamw);
HM_CUDA_DECLARE(hm_adamw_fused);
hm_status hm_adamw_ref(const hm_call *c);
hm_status hm_adamw_fused_ref(const hm_call *c);

extern const hm_op hm_op_adamw, hm_op_adamw_fused;

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

/* One tensor's inputs are in adamw_fused's order. */
static size_t cuda_workspace(const hm_node *n) {
    return (size_t)hm_adamw_fused_count(n->n_in) * sizeof(hm_adamw_cuda_work);
}

const hm_op hm_op_adamw = {
    .name = "adamw",
    .infer = adamw_infer,
    .no_grad = true,
    .ref = hm_adamw_ref,
    .cpu = HM_CPU_KERNELS(hm_adamw),
    .native = native,
    .cuda = HM_CUDA_KERNEL(hm_adamw),
    .cuda_workspace = cuda_workspace,
    .updates = true,
};

void hm_adamw(hm_graph *g, hm_tensor *p, hm_tensor *grad, hm_tensor *m, hm_tensor *v, hm_tensor *grad_factor,
              hm_tensor *lr_factor, hm_tensor *step, hm_tensor *skip, hm_adamw_options opt) {
    hm_tensor *const in[] = {p, m, v, grad, grad_factor, lr_factor, step, skip};
    hm_graph_node(g, &hm_op_adamw, &opt, sizeof opt, in, 8);
}

/* ---- all tensors at once */

static hm_status fused_infer(hm_graph *g, hm_node *n) {
    const int count = hm_adamw_fused_count(n->n_in);
    for (int i = 0; i < n->n_in; i++) {
        if (i == n->n_in - 1 && n->in[i] == NULL)
            break;
        const hm_tensor *const of = i < 3 * count   ? n->in[i / 3 * 3]
                                    : i < 4 * count ? n->in[3 * (i - 3 * count)]
                                                    : NULL;
        HM_NODE_CHECK(n, n->in[i] != NULL && n->in[i]->dtype == HM_F32, "input %d must be an fp32 tensor", i);
        HM_NODE_CHECK(n, hm_shape_equal(n->in[i]->shape, of != NULL ? of->shape : hm_scalar_shape()),
                      of != NULL ? "input %d must have the parameter's shape" : "input %d must be a scalar", i);
    }
    for (int o = 0; o < 3 * count; o++) {
        HM_NODE_CHECK(n, n->in[o]->storage == HM_PARAM || n->in[o]->storage == HM_STATE,
                      "input %d does not outlive the run: updating it has no effect", o);
        HM_TRY(hm_node_output(g, n, HM_F32, n->in[o]->shape));
    }
    return HM_OK;
}

static size_t fused_workspace(const hm_node *n, int threads) {
    (void)threads;
    return (size_t)hm_adamw_fused_count(n->n_in) * sizeof(hm_adamw_target);
}

const hm_op hm_op_adamw_fused = {
    .name = "adamw_fused",
    .infer = fused_infer,
    .no_grad = true,
    .ref = hm_adamw_fused_ref,
    .cpu = HM_CPU_KERNELS(hm_adamw_fused),
    .native = native,
    .workspace = fused_workspace,
    .cuda = HM_CUDA_KERNEL(hm_adamw_fused),
    .cuda_workspace = cuda_workspace,
    .updates = true,
};

void hm_adamw_fused(hm_graph *g, const hm_adamw_tensor *t, int n, hm_tensor *grad_factor, hm_tensor *lr_factor,
                    hm_tensor *step, hm_tensor *skip) {
    hm_tensor **in = NULL;
    hm_adamw_options *options = NULL;
    if (hm_alloc(&in, 4 * (size_t)n + 4, sizeof *in) != HM_OK ||
        hm_alloc(&options, (size_t)n + 1, sizeof *options) != HM_OK) {
        hm_graph_fail(g, HM_ERR_MEMORY, "%s", hm_error_message());
        free(in);
        return;
    }
    for (int i = 0; i < n; i++) {
        in[3 * i] = t[i].p;
        in[3 * i + 1] = t[i].m;
        in[3 * i + 2] = t[i].v;
        in[3 * n + i] = t[i].grad;
        options[i] = t[i].options;
    }
    hm_tensor *const scalars[] = {grad_factor, lr_factor, step, skip};
    for (int i = 0; i < 4; i++)
        in[4 * n + i] = scalars[i];
    if (n > 0)
        hm_graph_node(g, &hm_op_adamw_fused, options, (size_t)n * sizeof *options, in, 4 * n + 4);
    free(in);
    free(options);
}
