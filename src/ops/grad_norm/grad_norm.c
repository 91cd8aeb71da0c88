/* grad_norm.c: builder and shape checks of the global gradient norm. */
#include "ops/grad_norm/grad_norm.h"

#include "graph/op.h"
#include "ops/grad_norm/grad_norm_attr.h"

HM_CPU_DECLARE(hm_grad_norm);
hm_status hm_grad_norm_ref(const hm_call *c);

extern const hm_op hm_op_grad_norm;

static hm_status grad_norm_infer(hm_graph *g, hm_node *n) {
    for (int i = 0; i < n->n_in; i++)
        HM_NODE_CHECK(n, n->in[i] != NULL && n->in[i]->dtype == HM_F32, "gradient %d must be an fp32 tensor", i);
    HM_TRY(hm_node_output(g, n, HM_F32, hm_scalar_shape()));
    return hm_node_output(g, n, HM_F32, hm_scalar_shape());
}

/* One partial sum per block of each tensor. */
static size_t grad_norm_workspace(const hm_node *n, int threads) {
    (void)threads;
    int64_t blocks = 0;
    for (int i = 0; i < n->n_in; i++)
        blocks += (hm_count(n->in[i]) + HM_GRAD_NORM_BLOCK - 1) / HM_GRAD_NORM_BLOCK;
    return (size_t)blocks * sizeof(double);
}

const hm_op hm_op_grad_norm = {
    .name = "grad_norm",
    .infer = grad_norm_infer,
    .no_grad = true,
    .ref = hm_grad_norm_ref,
    .cpu = HM_CPU_KERNELS(hm_grad_norm),
    .workspace = grad_norm_workspace,
};

void hm_grad_norm(hm_graph *g, hm_tensor *const *grads, int n, float max_norm, hm_tensor **norm, hm_tensor **factor) {
    const hm_grad_norm_attr attr = {max_norm};
    const hm_node *const node = hm_graph_node(g, &hm_op_grad_norm, &attr, sizeof attr, grads, n);
    *norm = node != NULL ? node->out[0] : NULL;
    *factor = node != NULL ? node->out[1] : NULL;
}
