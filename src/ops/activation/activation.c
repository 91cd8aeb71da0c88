/* activation.c: builder, shape checks and gradient rule of the pointwise non-linearities. */
#include "ops/activation/activation.h"

#include "graph/op.h"
#include "ops/activation/activation_attr.h"

HM_CPU_DECLARE(hm_activation);
HM_CPU_DECLARE(hm_activation_back);
HM_CUDA_DECLARE(hm_activation);
HM_CUDA_DECLARE(hm_activation_back);
hm_status hm_activation_ref(const hm_call *c);
hm_status hm_activation_back_ref(const hm_call *c);

extern const hm_op hm_op_activation, hm_op_activation_back;

static hm_status activation_infer(hm_graph *g, hm_node *n) {
    const hm_activation_attr *const attr = n->attr;
    HM_NODE_CHECK(n, n->in[0] != NULL && n->in[0]->dtype == HM_F32, "the input must be an fp32 tensor");
    HM_NODE_CHECK(n, attr->kind > HM_ACT_NONE && attr->kind <= HM_ACT_SIGMOID, "unknown activation %d",
                  (int)attr->kind);
    return hm_node_output(g, n, HM_F32, n->in[0]->shape);
}

/* Inputs dout and what the derivative is computed from: y for ReLU and sigmoid, else x. */
static hm_status activation_grad(hm_graph *g, hm_node *n, hm_tensor *const *dout, hm_tensor **din) {
    const hm_activation_attr *const attr = n->attr;
    const bool from_y = attr->kind == HM_ACT_RELU || attr->kind == HM_ACT_SIGMOID;
    din[0] = hm_graph_apply(g, &hm_op_activation_back, attr, sizeof *attr,
                            (hm_tensor *[]){dout[0], from_y ? n->out[0] : n->in[0]}, 2);
    return HM_OK;
}

static bool native(const hm_node *n) {
    (void)n;
    return true;
}

const hm_op hm_op_activation = {
    .name = "activation",
    .infer = activation_infer,
    .grad = activation_grad,
    .ref = hm_activation_ref,
    .cpu = HM_CPU_KERNELS(hm_activation),
    .cuda = HM_CUDA_KERNEL(hm_activation),
    .native = native,
    .in_place = true,
};

const hm_op hm_op_activation_back = {
    .name = "activation_back",
    .infer = activation_infer,
    .ref = hm_activation_back_ref,
    .cpu = HM_CPU_KERNELS(hm_activation_back),
    .cuda = HM_CUDA_KERNEL(hm_activation_back),
    .native = native,
    .in_place = true,
};

hm_tensor *hm_activation(hm_graph *g, hm_tensor *x, hm_act kind) {
    const hm_activation_attr attr = {kind};
    if (kind == HM_ACT_NONE)
        return x;
    return hm_graph_apply(g, &hm_op_activation, &attr, sizeof attr, &x, 1);
}
