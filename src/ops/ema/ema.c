/* ema.c: builder and shape checks of the exponential moving average. */
#include "ops/ema/ema.h"

#include "graph/op.h"

HM_CPU_DECLARE(hm_ema);
HM_CUDA_DECLARE(hm_ema);
hm_status hm_ema_ref(const hm_call *c);

extern const hm_op hm_op_ema;

static hm_status ema_infer(hm_graph *g, hm_node *n) {
    for (int i = 0; i < 3; i++)
        HM_NODE_CHECK(n, n->in[i] != NULL && n->in[i]->dtype == HM_F32, "input %d must be an fp32 tensor", i);
    HM_NODE_CHECK(n, hm_shape_equal(n->in[0]->shape, n->in[1]->shape), "average and weights must have the same shape");
    HM_NODE_CHECK(n, n->in[2]->shape.rank == 0, "the decay must be a scalar");
    HM_NODE_CHECK(n, n->in[0]->storage == HM_PARAM || n->in[0]->storage == HM_STATE,
                  "the average does not outlive the run: updating it has no effect");
    return hm_node_output(g, n, HM_F32, n->in[0]->shape);
}

const hm_op hm_op_ema = {
    .name = "ema",
    .infer = ema_infer,
    .no_grad = true,
    .ref = hm_ema_ref,
    .cpu = HM_CPU_KERNELS(hm_ema),
    .cuda = HM_CUDA_KERNEL(hm_ema),
    .updates = true,
};

void hm_ema(hm_graph *g, hm_tensor *average, hm_tensor *p, hm_tensor *decay, hm_tensor *skip) {
    hm_graph_node(g, &hm_op_ema, NULL, 0, (hm_tensor *[]){average, p, decay, skip}, 4);
}
