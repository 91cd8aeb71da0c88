/* linear.c: y = act(x W^T + b) and its gradients. The backward pass is one node each for the activation, dx, and dw
 * with db; nothing is computed for an input without a gradient. Formulas: with dz = dy act'(z), dx = dz W, dW = dz^T x,
 * db = column sums of dz. */
#include "device/cpu/colsum.h"
#include "device/cpu/gemm_half.h"
#include "device/cpu/matmul_bf16.h"
#include "device/cuda/column_sums.h"
#include "ops/linear/linear_attr.h"
#include "ops/product.h"

HM_CPU_DECLARE(linear);
HM_CPU_DECLARE(linear_act_back);
HM_CPU_DECLARE(linear_dw);
HM_CPU_DECLARE(linear_dx);
HM_CUDA_DECLARE(linear);
HM_CUDA_DECLARE(linear_act_back);
HM_CUDA_DECLARE(linear_dw);
HM_CUDA_DECLARE(linear_dx);
hm_status hm_linear_ref(const hm_call *c);
hm_status hm_linear_act_back_ref(const hm_call *c);
hm_status hm_linear_dw_ref(const hm_call *c);
hm_status hm_linear_dx_ref(const hm_call *c);

extern const hm_op hm_op_linear, hm_op_linear_act_back, hm_op_linear_dw, hm_op_linear_dx;

hm_tensor *hm_linear(hm_graph *g, hm_tensor *x, hm_tensor *w, hm_tensor *b, hm_act act) {
    const hm_linear_attr attr = {act};
    return hm_graph_apply(g, &hm_op_linear, &attr, sizeof attr, (hm_tensor *[]){x, w, b}, 3);
}

static bool keeps_z(const hm_node *n) {
    const hm_act act = ((const hm_linear_attr *)n->attr)->act;
    return (act == HM_ACT_GELU || act == HM_ACT_SILU) &&
           (hm_wants_grad(n, 0) || hm_wants_grad(n, 1) || hm_wants_grad(n, 2));
}

static hm_status infer(hm_graph *g, hm_node *n) {
    const hm_tensor *const x = n->in[0], *const w = n->in[1], *const b = n->in[2];
    HM_NODE_CHECK(n, x != NULL && w != NULL, "needs an input and a weight");
    HM_NODE_CHECK(n, ((const hm_linear_attr *)n->attr)->act <= HM_ACT_SILU, "this activation cannot be fused");
    HM_NODE_CHECK(n, x->shape.rank >= 1 && w->shape.rank >= 2, "needs x of rank 1 and w of rank 2 or more");
    const int64_t width = hm_dim(x, -1), features = hm_dim(w, 0);
    HM_NODE_CHECK(n, features * width == hm_count(w), "rows of x have %lld entries, which do not fit the weight",
                  (long long)width);
    HM_NODE_CHECK(n, b == NULL || (b->shape.rank == 1 && hm_dim(b, 0) == features),
                  "the bias must have one entry for each of the weight's %lld rows", (long long)features);
    hm_shape y = x->shape;
    y.dim[y.rank - 1] = features;
    HM_TRY(hm_node_output(g, n, HM_F32, y));
    return keeps_z(n) ? hm_node_output(g, n, HM_F32, y) : HM_OK;
}

static hm_status grad_params(hm_graph *g, hm_node *n, hm_tensor *dz, hm_tensor **din) {
    const hm_linear_dw_attr to = {n->in[1]->shape, hm_wants_grad(n, 1), hm_wants_grad(n, 2)};
    if (!to.want_w && !to.want_b)
        return g->status;
    const hm_node *const dw =
        hm_graph_node(g, &hm_op_linear_dw, &to, sizeof to, (hm_tensor *[]){dz, to.want_w ? n->in[0] : NULL}, 2);
    if (dw == NULL)
        return g->status;
    din[1] = to.want_w ? dw->out[0] : NULL;
    din[2] = to.want_b ? dw->out[dw->n_out - 1] : NULL;
    return HM_OK;
}

static hm_status grad(hm_graph *g, hm_node *n, hm_tensor *const *dout, hm_tensor **din) {
    const hm_linear_attr *const attr = n->attr;
    hm_tensor *dz = dout[0];
    if (attr->act != HM_ACT_NONE) {
        hm_tensor *const kept = n->n_out > 1 ? n->out[1] : n->out[0];
        dz = hm_graph_apply(g, &hm_op_linear_act_back, attr, sizeof *attr, (hm_tensor *[]){dz, kept}, 2);
    }
    if (hm_wants_grad(n, 0)) {
        const hm_linear_dx_attr to = {n->in[0]->shape};
        din[0] = hm_graph_apply(g, &hm_op_linear_dx, &to, sizeof to, (hm_tensor *[]){dz, n->in[1]}, 2);
    }
    return grad_params(g, n, dz, din);
}

/* The activation's result, where what it was computed from is kept. */
static hm_tensor *again(hm_graph *g, hm_node *n) {
    return n->n_out > 1 ? hm_activation(g, n->out[1], ((const hm_linear_attr *)n->attr)->act) : n->out[0];
}

static hm_status infer_same(hm_graph *g, hm_node *n) {
    return hm_node_output(g, n, HM_F32, n->in[0]->shape);
}

static hm_status infer_dx(hm_graph *g, hm_node *n) {
    return hm_node_output(g, n, HM_F32, ((const hm_linear_dx_attr *)n->attr)->shape);
}

static hm_status infer_dw(hm_graph *g, hm_node *n) {
    const hm_linear_dw_attr *const attr = n->attr;
    if (attr->want_w)
        HM_TRY(hm_node_output(g, n, HM_F32, attr->shape));
    return attr->want_b ? hm_node_output(g, n, HM_F32, HM_SHAPE(hm_dim(n->in[0], -1))) : HM_OK;
}

static size_t product_workspace(const hm_node *n, int threads) {
    return hm_linear_way_of(n) == HM_LINEAR_WIDENED ? (size_t)threads * HM_GEMM_HALF_FLOATS * sizeof(float) : 0;
}

/* The sums' comes after the product's turn. */
static size_t dw_workspace(const hm_node *n, int threads) {
    const hm_linear_dw_attr *const attr = n->attr;
    const hm_tensor *const dz = n->in[0];
    const size_t product = attr->want_w ? product_workspace(n, threads) : 0;
    const size_t sums = (size_t)(hm_colsum_blocks(hm_rows(dz, 1)) * hm_dim(dz, -1)) * sizeof(float);
    return attr->want_b && sums > product ? sums : product;
}

static size_t product_cuda_workspace(const hm_node *n) {
    return hm_product_room_of(n->in[0], n->in[1], n->out[n->n_out - 1], false).floats * sizeof(float);
}

static size_t dw_cuda_workspace(const hm_node *n) {
    const hm_linear_dw_attr *const attr = n->attr;
    const hm_tensor *const dz = n->in[0];
    size_t floats = attr->want_w ? hm_product_room_of(dz, n->in[1], n->out[0], false).floats : 0;
    if (attr->want_b)
        floats += (size_t)hm_column_sums_floats(hm_rows(dz, 1), hm_dim(dz, -1));
    return floats * sizeof(float);
}

static bool native(const hm_node *n) {
    (void)n;
    return true;
}

const hm_op hm_op_linear = {
    .name = "linear",
    .infer = infer,
    .grad = grad,
    .again = again,
    .ref = hm_linear_ref,
    .cpu = HM_CPU_KERNELS(linear),
    .native = native,
    .workspace = product_workspace,
    .release = hm_matmul_bf16_release,
    .cuda = HM_CUDA_KERNEL(linear),
    .cuda_workspace = product_cuda_workspace,
};
const hm_op hm_op_linear_act_back = {
    .name = "linear_act_back",
    .infer = infer_same,
    .ref = hm_linear_act_back_ref,
    .cpu = HM_CPU_KERNELS(linear_act_back),
    .native = native,
    .cuda = HM_CUDA_KERNEL(linear_act_back),
    .in_place = true,
};
const hm_op hm_op_linear_dw = {
    .name = "linear_dw",
    .infer = infer_dw,
    .ref = hm_linear_dw_ref,
    .cpu = HM_CPU_KERNELS(linear_dw),
    .native = native,
    .workspace = dw_workspace,
    .release = hm_matmul_bf16_release,
    .cuda = HM_CUDA_KERNEL(linear_dw),
    .cuda_workspace = dw_cuda_workspace,
    .aside = true,
};
const hm_op hm_op_linear_dx = {
    .name = "linear_dx",
    .infer = infer_dx,
    .ref = hm_linear_dx_ref,
    .cpu = HM_CPU_KERNELS(linear_dx),
    .native = native,
    .workspace = product_workspace,
    .release = hm_matmul_bf16_release,
    .cuda = HM_CUDA_KERNEL(linear_dx),
    .cuda_workspace = product_cuda_workspace,
};
