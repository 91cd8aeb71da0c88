/* layer_norm.c: builder, shape checks and gradient rule of layer normalisation. */
#include "ops/layer_norm/layer_norm.h"

#include "graph/op.h"
#include "ops/layer_norm/layer_norm_attr.h"

HM_CPU_DECLARE(hm_layer_norm);
HM_CPU_DECLARE(hm_layer_norm_back);
HM_CPU_DECLARE(hm_layer_norm_affine);
HM_CUDA_DECLARE(hm_layer_norm);
HM_CUDA_DECLARE(hm_layer_norm_back);
HM_CUDA_DECLARE(hm_layer_norm_affine);
hm_status hm_layer_norm_ref(const hm_call *c);
hm_status hm_layer_norm_back_ref(const hm_call *c);
hm_status hm_layer_norm_affine_ref(const hm_call *c);

extern const hm_op hm_op_layer_norm, hm_op_layer_norm_back, hm_op_layer_norm_affine;

/* Inputs x [..., C], gain [C], bias [C]; outputs y, mean [...], 1/std [...]. */
static hm_status layer_norm_infer(hm_graph *g, hm_node *n) {
    for (int i = 0; i < 3; i++)
        HM_NODE_CHECK(n, n->in[i] != NULL && n->in[i]->dtype == HM_F32, "input %d must be an fp32 tensor", i);
    hm_shape rows = n->in[0]->shape;
    HM_NODE_CHECK(n, rows.rank > 0 && hm_dim(n->in[0], -1) > 0, "there are no channels");
    const hm_shape channels = HM_SHAPE(hm_dim(n->in[0], -1));
    HM_NODE_CHECK(n, hm_shape_equal(n->in[1]->shape, channels) && hm_shape_equal(n->in[2]->shape, channels),
                  "gain and bias must have one number per channel");
    rows.rank--;
    HM_TRY(hm_node_output(g, n, HM_F32, n->in[0]->shape));
    HM_TRY(hm_node_output(g, n, HM_F32, rows));
    return hm_node_output(g, n, HM_F32, rows);
}

static hm_status layer_norm_back_infer(hm_graph *g, hm_node *n) {
    const hm_layer_norm_back_attr *const attr = n->attr;
    HM_TRY(hm_node_output(g, n, HM_F32, n->in[LNB_DOUT]->shape));
    if (attr->want_affine)
        HM_TRY(hm_node_output(
            g, n, HM_F32, HM_SHAPE(hm_layer_norm_parts(hm_rows(n->in[LNB_DOUT], 1)), 2, hm_dim(n->in[LNB_DOUT], -1))));
    return HM_OK;
}

/* Input sums [parts, 2, C], outputs dgain and dbias. */
static hm_status layer_norm_affine_infer(hm_graph *g, hm_node *n) {
    HM_TRY(hm_node_output(g, n, HM_F32, HM_SHAPE(hm_dim(n->in[0], 2))));
    return hm_node_output(g, n, HM_F32, HM_SHAPE(hm_dim(n->in[0], 2)));
}

static hm_status layer_norm_grad(hm_graph *g, hm_node *n, hm_tensor *const *dout, hm_tensor **din) {
    const hm_layer_norm_back_attr attr = {
        .want_affine = hm_wants_grad(n, 1) || hm_wants_grad(n, 2),
    };
    const hm_node *const b =
        hm_graph_node(g, &hm_op_layer_norm_back, &attr, sizeof attr,
                      (hm_tensor *[]){dout[0], n->in[0], n->out[1], n->out[2], n->in[1], NULL}, LNB_INPUTS);
    if (b == NULL)
        return HM_OK;
    din[0] = b->out[0];
    if (!attr.want_affine)
        return HM_OK;
    const hm_node *const affine = hm_graph_node(g, &hm_op_layer_norm_affine, NULL, 0, &b->out[1], 1);
    if (affine == NULL)
        return HM_OK;
    din[1] = affine->out[0];
    din[2] = affine->out[1];
    return HM_OK;
}

static hm_tensor *layer_norm_again(hm_graph *g, hm_node *n) {
    const hm_layer_norm_attr *const attr = n->attr;
    return hm_layer_norm(g, hm_graph_again(g, n->in[0]), n->in[1], n->in[2], attr->eps);
}

/* dgain and dbias may be stored in any type. */
static bool layer_norm_affine_native(const hm_node *n) {
    return n->in[0]->dtype == HM_F32;
}

const hm_op hm_op_layer_norm = {
    .name = "layer_norm",
    .infer = layer_norm_infer,
    .grad = layer_norm_grad,
    .again = layer_norm_again,
    .ref = hm_layer_norm_ref,
    .cpu = HM_CPU_KERNELS(hm_layer_norm),
    .native = hm_layer_norm_native,
    .cuda = HM_CUDA_KERNEL(hm_layer_norm),
    .in_place = true,
};

const hm_op hm_op_layer_norm_back = {
    .name = "layer_norm_back",
    .infer = layer_norm_back_infer,
    .ref = hm_layer_norm_back_ref,
    .cpu = HM_CPU_KERNELS(hm_layer_norm_back),
    .native = hm_layer_norm_native,
    .cuda = HM_CUDA_KERNEL(hm_layer_norm_back),
    .in_place = true,
    .plus = LNB_PLUS,
};

const hm_op hm_op_layer_norm_affine = {
    .name = "layer_norm_affine",
    .infer = layer_norm_affine_infer,
    .ref = hm_layer_norm_affine_ref,
    .cpu = HM_CPU_KERNELS(hm_layer_norm_affine),
    .native = layer_norm_affine_native,
    .cuda = HM_CUDA_KERNEL(hm_layer_norm_affine),
    .aside = true,
};

hm_tensor *hm_layer_norm(hm_graph *g, hm_tensor *x, hm_tensor *gain, hm_tensor *bias, float eps) {
    const hm_layer_norm_attr attr = {eps};
    return hm_graph_apply(g, &hm_op_layer_norm, &attr, sizeof attr, (hm_tensor *[]){x, gain, bias}, 3);
}
