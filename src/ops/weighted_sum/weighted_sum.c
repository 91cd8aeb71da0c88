/* weighted_sum.c: builder, shape checks and gradient rule of the total loss. The attribute is the array of weights. */
#include "ops/weighted_sum/weighted_sum.h"

#include "graph/op.h"
#include "ops/weighted_sum/weighted_sum_attr.h"

HM_CPU_DECLARE(hm_weighted_sum);
HM_CUDA_DECLARE(hm_weighted_sum);
hm_status hm_weighted_sum_ref(const hm_call *c);

extern const hm_op hm_op_weighted_sum;

static hm_status weighted_sum_infer(hm_graph *g, hm_node *n) {
    HM_NODE_CHECK(n, n->n_in > 0, "there is nothing to add");
    for (int i = 0; i < n->n_in; i++)
        HM_NODE_CHECK(n, n->in[i] != NULL && n->in[i]->dtype == HM_F32 && n->in[i]->shape.rank == 0,
                      "term %d must be an fp32 scalar", i);
    return hm_node_output(g, n, HM_F32, hm_scalar_shape());
}

static hm_status weighted_sum_grad(hm_graph *g, hm_node *n, hm_tensor *const *dout, hm_tensor **din) {
    const float *const weights = n->attr;
    for (int i = 0; i < n->n_in; i++)
        if (hm_wants_grad(n, i))
            din[i] = hm_weighted_sum(g, dout, weights + i, 1);
    return HM_OK;
}

/* What waits for the next launch. */
static size_t cuda_workspace(const hm_node *n) {
    return n->n_in > HM_WEIGHTED_SUM_TERMS ? sizeof(double) : 0;
}

const hm_op hm_op_weighted_sum = {
    .name = "weighted_sum",
    .infer = weighted_sum_infer,
    .grad = weighted_sum_grad,
    .ref = hm_weighted_sum_ref,
    .cpu = HM_CPU_KERNELS(hm_weighted_sum),
    .cuda = HM_CUDA_KERNEL(hm_weighted_sum),
    .cuda_workspace = cuda_workspace,
};

hm_tensor *hm_weighted_sum(hm_graph *g, hm_tensor *const *terms, const float *weights, int n) {
    return hm_graph_apply(g, &hm_op_weighted_sum, weights, (size_t)n * sizeof *weights, terms, n);
}
