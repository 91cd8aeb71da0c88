/* conv2d.c: builder, shapes and gradient rule of dense convolution. */
#include "ops/conv2d/conv2d.h"
#include "ops/conv2d/conv2d_attr.h"

HM_CPU_DECLARE(conv2d);
HM_CPU_DECLARE(conv2d_dw);
HM_CPU_DECLARE(conv2d_dx);
HM_CUDA_DECLARE(conv2d);
HM_CUDA_DECLARE(conv2d_dw);
HM_CUDA_DECLARE(conv2d_dx);
hm_status hm_conv2d_ref(const hm_call *c);
hm_status hm_conv2d_dw_ref(const hm_call *c);
hm_status hm_conv2d_dx_ref(const hm_call *c);

extern const hm_op hm_op_conv2d, hm_op_conv2d_dw, hm_op_conv2d_dx;

/* What cannot be checked here (absent inputs, ranks) leaves zeros, which infer refuses. */
static hm_conv2d_attr sizes_of(const hm_tensor *x, const hm_tensor *w, int stride, int pad) {
    hm_conv2d_attr a = {.stride = stride, .pad = pad};
    if (x == NULL || w == NULL || x->shape.rank != 4 || w->shape.rank != 4 || stride < 1 || pad < 0)
        return a;
    a.batch = hm_dim(x, 0);
    a.h = hm_dim(x, 1);
    a.w = hm_dim(x, 2);
    a.ci = hm_dim(x, 3);
    a.co = hm_dim(w, 0);
    a.k = hm_dim(w, 2);
    if (a.h + 2 * pad >= a.k && a.w + 2 * pad >= a.k) {
        a.ho = (a.h + 2 * pad - a.k) / stride + 1;
        a.wo = (a.w + 2 * pad - a.k) / stride + 1;
    }
    return a;
}

hm_tensor *hm_conv2d(hm_graph *g, hm_tensor *x, hm_tensor *w, int stride, int pad) {
    const hm_conv2d_attr attr = sizes_of(x, w, stride, pad);
    return hm_graph_apply(g, &hm_op_conv2d, &attr, sizeof attr, (hm_tensor *[]){x, w}, 2);
}

static hm_status infer(hm_graph *g, hm_node *n) {
    const hm_conv2d_attr *const a = n->attr;
    HM_NODE_CHECK(n, n->in[0] != NULL && n->in[1] != NULL, "needs an input and a weight");
    HM_NODE_CHECK(n, n->in[0]->shape.rank == 4 && n->in[1]->shape.rank == 4,
                  "needs x [B, H, W, Ci] and w [Co, Ci, k, k]");
    HM_NODE_CHECK(n, a->stride >= 1 && a->pad >= 0, "needs a stride of at least 1 and no negative padding");
    HM_NODE_CHECK(n, hm_dim(n->in[1], 1) == a->ci, "the weight is for other input channels than the input's %lld",
                  (long long)a->ci);
    HM_NODE_CHECK(n, hm_dim(n->in[1], 3) == a->k && a->k > 0, "the kernel must be square");
    HM_NODE_CHECK(n, a->ho > 0 && a->wo > 0, "the kernel is larger than the padded input");
    return hm_node_output(g, n, HM_F32, HM_SHAPE(a->batch, a->ho, a->wo, a->co));
}

static hm_status grad(hm_graph *g, hm_node *n, hm_tensor *const *dout, hm_tensor **din) {
    const hm_conv2d_attr *const a = n->attr;
    if (hm_wants_grad(n, 0))
        din[0] = hm_graph_apply(g, &hm_op_conv2d_dx, a, sizeof *a, (hm_tensor *[]){dout[0], n->in[1]}, 2);
    if (hm_wants_grad(n, 1))
        din[1] = hm_graph_apply(g, &hm_op_conv2d_dw, a, sizeof *a, (hm_tensor *[]){dout[0], n->in[0]}, 2);
    return g->status;
}

static hm_status infer_dx(hm_graph *g, hm_node *n) {
    const hm_conv2d_attr *const a = n->attr;
    return hm_node_output(g, n, HM_F32, HM_SHAPE(a->batch, a->h, a->w, a->ci));
}

static hm_status infer_dw(hm_graph *g, hm_node *n) {
    const hm_conv2d_attr *const a = n->attr;
    return hm_node_output(g, n, HM_F32, HM_SHAPE(a->co, a->ci, a->k, a->k));
}

/* The weight in another order, then one block of gathered rows for each thread. */
static size_t workspace(const hm_node *n, int threads) {
    const hm_conv2d_attr *const a = n->attr;
    const int64_t row = a->k * a->k * (n->op == &hm_op_conv2d ? a->ci : a->co);
    return (size_t)(a->co * a->ci * a->k * a->k + threads * hm_conv2d_block(row) * row) * sizeof(float);
}

static size_t workspace_dw(const hm_node *n, int threads) {
    const hm_conv2d_attr *const a = n->attr;
    return (size_t)(threads * (HM_CONV2D_DW_PIXELS + HM_CONV2D_DW_CHANNELS) * a->ci) * sizeof(float);
}

static size_t cuda_workspace(const hm_node *n) {
    const hm_conv2d_attr *const a = n->attr;
    const bool back = n->op == &hm_op_conv2d_dx;
    return hm_conv2d_room_of(n, n->op == &hm_op_conv2d_dw ? 1 : 0, back ? a->h * a->w : a->ho * a->wo,
                             back ? a->co : a->ci)
               .floats *
           sizeof(float);
}

const hm_op hm_op_conv2d = {
    .name = "conv2d",
    .infer = infer,
    .grad = grad,
    .ref = hm_conv2d_ref,
    .cpu = HM_CPU_KERNELS(conv2d),
    .workspace = workspace,
    .cuda = HM_CUDA_KERNEL(conv2d),
    .cuda_workspace = cuda_workspace,
};
const hm_op hm_op_conv2d_dw = {
    .name = "conv2d_dw",
    .infer = infer_dw,
    .ref = hm_conv2d_dw_ref,
    .cpu = HM_CPU_KERNELS(conv2d_dw),
    .workspace = workspace_dw,
    .cuda = HM_CUDA_KERNEL(conv2d_dw),
    .cuda_workspace = cuda_workspace,
    .aside = true,
};
const hm_op hm_op_conv2d_dx = {
    .name = "conv2d_dx",
    .infer = infer_dx,
    .ref = hm_conv2d_dx_ref,
    .cpu = HM_CPU_KERNELS(conv2d_dx),
    .workspace = workspace,
    .cuda = HM_CUDA_KERNEL(conv2d_dx),
    .cuda_workspace = cuda_workspace,
};
