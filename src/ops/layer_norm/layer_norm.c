/* layer_norm.c: builder, shape checks and gradient rule of layer normalisation. */
#include "ops/layer_norm/layer_norm.h"

#include "graph/op.h"
#include "ops/layer_norm/layer_norm_attr.h"

HM_CPU_DECLARE(hm_layer_norm);
HM_CPU_DECLARE(hm_layer_norm_back);
HM_CUDA_DECLARE(hm_layer_norm);
HM_CUDA_DECLARE(hm_layer_norm_back);
hm_status hm_layer_norm_ref(const hm_call *c);
hm_status hm_layer_norm_back_ref(const hm_call *c);

extern const hm_op hm_op_layer_norm, hm_op_layer_norm_back;

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

/* Inputs dout, x, mean, 1/std, gain. */
static hm_status layer_norm_back_infer(hm_graph *g, hm_node *n) {
    const hm_layer_norm_back_attr *const attr = n->attr;
    if (attr->want_x)
        HM_TRY(hm_node_output(g, n, HM_F32, n->in[0]->shape));
    if (attr->want_affine) {
        HM_TRY(hm_node_output(g, n, HM_F32, n->in[4]->shape));
        HM_TRY(hm_node_output(g, n, HM_F32, n->in[4]->shape));
    }
    return HM_OK;
}

static hm_status layer_norm_grad(hm_graph *g, hm_node *n, hm_tensor *const *dout, hm_tensor **din) {
    const hm_layer_norm_back_attr attr = {
        .want_x = hm_wants_grad(n, 0),
        .want_affine = hm_wants_grad(n, 1) || hm_wants_grad(n, 2),
    };
    const hm_node *const b = hm_graph_node(g, &hm_op_layer_norm_back, &attr, sizeof attr,
                                           (hm_tensor *[]){dout[0], n->in[0], n->out[1], n->out[2], n->in[1]}, 5);
    if (b == NULL)
        return HM_OK;
    hm_tensor *const *out = b->out;
    din[0] = attr.want_x ? *out++ : NULL;
    din[1] = attr.want_affine ? *out++ : NULL;
    din[2] = attr.want_affine ? *out++ : NULL;
    return HM_OK;
}

static hm_tensor *layer_norm_again(hm_graph *g, hm_node *n) {
    const hm_layer_norm_attr *const attr = n->attr;
    return hm_layer_norm(g, hm_graph_again(g, n->in[0]), n->in[1], n->in[2], attr->eps);
}

/* Partial sums of dgain and dbias: [parts, 2, C] doubles. */
static size_t layer_norm_back_workspace(const hm_node *n, int threads) {
    (void)threads;
    const int64_t sums = hm_layer_norm_parts(hm_rows(n->in[0], 1)) * 2 * hm_dim(n->in[0], -1);
    return ((const hm_layer_norm_back_attr *)n->attr)->want_affine ? (size_t)sums * sizeof(double) : 0;
}

static size_t layer_norm_back_cuda_workspace(const hm_node *n) {
    const int64_t sums = hm_layer_norm_cuda_parts(hm_rows(n->in[0], 1)) * 2 * hm_dim(n->in[0], -1);
    return ((const hm_layer_norm_back_attr *)n->attr)->want_affine ? (size_t)sums * sizeof(float) : 0;
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
    .workspace = layer_norm_back_workspace,
    .cuda = HM_CUDA_KERNEL(hm_layer_norm_back),
    .cuda_workspace = layer_norm_back_cuda_workspace,
    .in_place = true,
};

hm_tensor *hm_layer_norm(hm_graph *g, hm_tensor *x, hm_tensor *gain, hm_tensor *bias, float eps) {
    const hm_layer_norm_attr attr = {eps};
    return hm_graph_apply(g, &hm_op_layer_norm, &attr, sizeof attr, (hm_tensor *[]){x, gain, bias}, 3);
}
