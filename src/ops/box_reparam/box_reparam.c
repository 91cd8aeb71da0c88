/* box_reparam.c: builder, shape and gradient rules of box reparametrisation. */
#include "ops/box_reparam/box_reparam.h"

#include "graph/op.h"

HM_CPU_DECLARE(box_reparam);
HM_CPU_DECLARE(box_reparam_back);
HM_CUDA_DECLARE(box_reparam);
HM_CUDA_DECLARE(box_reparam_back);
hm_status box_reparam_ref(const hm_call *c);
hm_status box_reparam_back_ref(const hm_call *c);

extern const hm_op hm_op_box_reparam_back;

/* All inputs: one shape [..., 4]. */
static hm_status check(const hm_node *n) {
    for (int i = 0; i < n->n_in; i++)
        HM_NODE_CHECK(n,
                      n->in[i] != NULL && n->in[i]->dtype == HM_F32 && n->in[i]->shape.rank > 0 &&
                          hm_dim(n->in[i], -1) == 4 && hm_shape_equal(n->in[i]->shape, n->in[0]->shape),
                      "inputs must be boxes [..., 4] of one shape");
    return HM_OK;
}

static hm_status infer(hm_graph *g, hm_node *n) {
    HM_TRY(check(n));
    return hm_node_output(g, n, HM_F32, n->in[0]->shape);
}

static hm_status infer_back(hm_graph *g, hm_node *n) {
    HM_TRY(check(n));
    HM_TRY(hm_node_output(g, n, HM_F32, n->in[0]->shape));
    return hm_node_output(g, n, HM_F32, n->in[0]->shape);
}

static hm_status grad(hm_graph *g, hm_node *n, hm_tensor *const *dout, hm_tensor **din) {
    hm_tensor *const in[] = {dout[0], n->in[0], n->in[1]};
    const hm_node *const back = hm_graph_node(g, &hm_op_box_reparam_back, NULL, 0, in, 3);
    for (int i = 0; i < 2 && back != NULL; i++)
        if (hm_wants_grad(n, i))
            din[i] = back->out[i];
    return g->status;
}

const hm_op hm_op_box_reparam = {
    .name = "box_reparam",
    .infer = infer,
    .grad = grad,
    .ref = box_reparam_ref,
    .cpu = HM_CPU_KERNELS(box_reparam),
    .cuda = HM_CUDA_KERNEL(box_reparam),
};

const hm_op hm_op_box_reparam_back = {
    .name = "box_reparam_back",
    .infer = infer_back,
    .ref = box_reparam_back_ref,
    .cpu = HM_CPU_KERNELS(box_reparam_back),
    .cuda = HM_CUDA_KERNEL(box_reparam_back),
};

hm_tensor *hm_box_reparam(hm_graph *g, hm_tensor *delta, hm_tensor *ref) {
    return hm_graph_apply(g, &hm_op_box_reparam, NULL, 0, (hm_tensor *[]){delta, ref}, 2);
}
