/* accumulate.c: builder and shape checks of the sum of gradients. */
#include "ops/accumulate/accumulate.h"

#include "graph/op.h"

HM_CPU_DECLARE(hm_accumulate);
HM_CUDA_DECLARE(hm_accumulate);
hm_status hm_accumulate_ref(const hm_call *c);

extern const hm_op hm_op_accumulate;

static hm_status accumulate_infer(hm_graph *g, hm_node *n) {
    for (int i = 0; i < 3; i++)
        HM_NODE_CHECK(n, n->in[i] != NULL && n->in[i]->dtype == HM_F32, "input %d must be an fp32 tensor", i);
    HM_NODE_CHECK(n, hm_shape_equal(n->in[0]->shape, n->in[1]->shape), "sum and gradient must have the same shape");
    HM_NODE_CHECK(n, n->in[2]->shape.rank == 0, "keep must be a scalar");
    HM_NODE_CHECK(n, n->in[0]->storage == HM_PARAM || n->in[0]->storage == HM_STATE,
                  "the sum does not outlive the run: updating it has no effect");
    return hm_node_output(g, n, HM_F32, n->in[0]->shape);
}

const hm_op hm_op_accumulate = {
    .name = "accumulate",
    .infer = accumulate_infer,
    .no_grad = true,
    .ref = hm_accumulate_ref,
    .cpu = HM_CPU_KERNELS(hm_accumulate),
    .cuda = HM_CUDA_KERNEL(hm_accumulate),
    .updates = true,
};

void hm_accumulate(hm_graph *g, hm_tensor *sum, hm_tensor *grad, hm_tensor *keep) {
    hm_graph_node(g, &hm_op_accumulate, NULL, 0, (hm_tensor *[]){sum, grad, keep}, 3);
}
