/* grad_norm.c: builder and shape checks of the global gradient norm. */
#include "ops/grad_norm/grad_norm.h"

#include <stdlib.h>

#include "base/mem.h"
#include "graph/op.h"
#include "ops/grad_norm/grad_norm_attr.h"

HM_CPU_DECLARE(hm_grad_norm);
HM_CUDA_DECLARE(hm_grad_norm);
hm_status hm_grad_norm_ref(const hm_call *c);

extern const hm_op hm_op_grad_norm;

static hm_status grad_norm_infer(hm_graph *g, hm_node *n) {
    for (int i = 1; i < n->n_in; i++)
        HM_NODE_CHECK(n, n->in[i] != NULL && n->in[i]->dtype == HM_F32, "gradient %d must be an fp32 tensor", i - 1);
    for (int o = 0; o < 3; o++)
        HM_TRY(hm_node_output(g, n, HM_F32, hm_scalar_shape()));
    return HM_OK;
}

/* One partial sum per block of each tensor. */
static size_t sums_bytes(const hm_node *n, int64_t block) {
    int64_t blocks = 0;
    for (int i = 1; i < n->n_in; i++)
        blocks += (hm_count(n->in[i]) + block - 1) / block;
    return (size_t)blocks * sizeof(double);
}

static size_t grad_norm_workspace(const hm_node *n, int threads) {
    (void)threads;
    return sums_bytes(n, HM_GRAD_NORM_BLOCK);
}

static size_t grad_norm_cuda_workspace(const hm_node *n) {
    return sums_bytes(n, HM_GRAD_NORM_CUDA_BLOCK);
}

static bool native(const hm_node *n) {
    (void)n;
    return true;
}

const hm_op hm_op_grad_norm = {
    .name = "grad_norm",
    .infer = grad_norm_infer,
    .no_grad = true,
    .ref = hm_grad_norm_ref,
    .cpu = HM_CPU_KERNELS(hm_grad_norm),
    .native = native,
    .workspace = grad_norm_workspace,
    .cuda = HM_CUDA_KERNEL(hm_grad_norm),
    .cuda_workspace = grad_norm_cuda_workspace,
};

hm_grad_norms hm_grad_norm(hm_graph *g, hm_tensor *const *grads, int n, float max_norm, hm_tensor *state,
                           hm_loss_scale s) {
    const hm_grad_norm_attr attr = {max_norm, s};
    hm_tensor **in;
    if (hm_alloc(&in, (size_t)n + 1, sizeof *in) != HM_OK) {
        hm_graph_fail(g, HM_ERR_MEMORY, "%s", hm_error_message());
        return (hm_grad_norms){0};
    }
    in[0] = state;
    for (int i = 0; i < n; i++)
        in[i + 1] = grads[i];
    const hm_node *const node = hm_graph_node(g, &hm_op_grad_norm, &attr, sizeof attr, in, n + 1);
    free(in);
    return node != NULL ? (hm_grad_norms){node->out[0], node->out[1], node->out[2]} : (hm_grad_norms){0};
}
