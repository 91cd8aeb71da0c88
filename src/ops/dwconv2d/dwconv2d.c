/* dwconv2d.c: builder, shape and gradient rules of depthwise convolution. */
#include "ops/dwconv2d/dwconv2d.h"

#include "graph/op.h"
#include "ops/dwconv2d/dwconv2d_attr.h"

HM_CPU_DECLARE(dwconv2d);
HM_CPU_DECLARE(dwconv2d_back_input);
HM_CPU_DECLARE(dwconv2d_back_weight);
HM_CUDA_DECLARE(dwconv2d);
HM_CUDA_DECLARE(dwconv2d_back_input);
HM_CUDA_DECLARE(dwconv2d_back_weight);
hm_status dwconv2d_ref(const hm_call *c);
hm_status dwconv2d_back_input_ref(const hm_call *c);
hm_status dwconv2d_back_weight_ref(const hm_call *c);

extern const hm_op hm_op_dwconv2d_back_input;
extern const hm_op hm_op_dwconv2d_back_weight;

static hm_status infer(hm_graph *g, hm_node *n) {
    const hm_tensor *const x = n->in[0], *const w = n->in[1], *const b = n->in[2];
    HM_NODE_CHECK(n, x != NULL && x->dtype == HM_F32 && x->shape.rank == 4, "x must be [B, H, W, C]");
    const int64_t C = hm_dim(x, 3);
    HM_NODE_CHECK(n,
                  w != NULL && w->dtype == HM_F32 && w->shape.rank == 4 && hm_dim(w, 0) == C && hm_dim(w, 1) == 1 &&
                      hm_dim(w, 2) == hm_dim(w, 3) && hm_dim(w, 2) % 2 == 1,
                  "w must be [%lld, 1, k, k] with odd k", (long long)C);
    HM_NODE_CHECK(n, b == NULL || (b->dtype == HM_F32 && hm_shape_equal(b->shape, HM_SHAPE(C))), "b must be [%lld]",
                  (long long)C);
    return hm_node_output(g, n, HM_F32, x->shape);
}

/* inputs: dout, w; output: the gradient of x */
static hm_status infer_back_input(hm_graph *g, hm_node *n) {
    return hm_node_output(g, n, HM_F32, n->in[0]->shape);
}

/* inputs: dout, x; outputs: the gradients of w and b */
static hm_status infer_back_weight(hm_graph *g, hm_node *n) {
    const int64_t C = hm_dim(n->in[0], 3), k = ((const hm_dwconv2d_attr *)n->attr)->k;
    HM_TRY(hm_node_output(g, n, HM_F32, HM_SHAPE(C, 1, k, k)));
    return hm_node_output(g, n, HM_F32, HM_SHAPE(C));
}

static hm_status grad(hm_graph *g, hm_node *n, hm_tensor *const *dout, hm_tensor **din) {
    if (hm_wants_grad(n, 0))
        din[0] = hm_graph_apply(g, &hm_op_dwconv2d_back_input, n->attr, sizeof(hm_dwconv2d_attr),
                                (hm_tensor *[]){dout[0], n->in[1]}, 2);
    if (!hm_wants_grad(n, 1) && !hm_wants_grad(n, 2))
        return g->status;
    const hm_node *const back = hm_graph_node(g, &hm_op_dwconv2d_back_weight, n->attr, sizeof(hm_dwconv2d_attr),
                                              (hm_tensor *[]){dout[0], n->in[0]}, 2);
    for (int i = 1; i < 3 && back != NULL; i++)
        if (hm_wants_grad(n, i))
            din[i] = back->out[i - 1];
    return g->status;
}

/* The weights as [k*k, C] and the bias [C] (cpu.c). */
static size_t workspace(const hm_node *n, int threads) {
    (void)threads;
    const int64_t k = ((const hm_dwconv2d_attr *)n->attr)->k;
    return (size_t)((k * k + 1) * hm_dim(n->in[0], 3)) * sizeof(float);
}

/* Every block's sums (k*k + 1) x C. */
static size_t workspace_weight(const hm_node *n, int threads) {
    return workspace(n, threads) * (size_t)hm_dwconv2d_blocks(hm_dim(n->in[0], 0) * hm_dim(n->in[0], 1));
}

/* Every part's sums (k*k + 1) x C. */
static size_t cuda_workspace_weight(const hm_node *n) {
    const int64_t *const d = n->in[0]->shape.dim, k = ((const hm_dwconv2d_attr *)n->attr)->k;
    return (size_t)(hm_dwconv2d_cuda_parts(d) * (k * k + 1) * d[3]) * sizeof(float);
}

const hm_op hm_op_dwconv2d = {
    .name = "dwconv2d",
    .infer = infer,
    .grad = grad,
    .ref = dwconv2d_ref,
    .cpu = HM_CPU_KERNELS(dwconv2d),
    .workspace = workspace,
    .cuda = HM_CUDA_KERNEL(dwconv2d),
};

const hm_op hm_op_dwconv2d_back_input = {
    .name = "dwconv2d_back_input",
    .infer = infer_back_input,
    .ref = dwconv2d_back_input_ref,
    .cpu = HM_CPU_KERNELS(dwconv2d_back_input),
    .workspace = workspace,
    .cuda = HM_CUDA_KERNEL(dwconv2d_back_input),
};

const hm_op hm_op_dwconv2d_back_weight = {
    .name = "dwconv2d_back_weight",
    .infer = infer_back_weight,
    .ref = dwconv2d_back_weight_ref,
    .cpu = HM_CPU_KERNELS(dwconv2d_back_weight),
    .workspace = workspace_weight,
    .cuda = HM_CUDA_KERNEL(dwconv2d_back_weight),
    .cuda_workspace = cuda_workspace_weight,
    .aside = true,
};

hm_tensor *hm_dwconv2d(hm_graph *g, hm_tensor *x, hm_tensor *w, hm_tensor *b) {
    if (g->status != HM_OK)
        return NULL;
    const hm_dwconv2d_attr attr = {.k = w != NULL && w->shape.rank == 4 ? hm_dim(w, 2) : 0};
    return hm_graph_apply(g, &hm_op_dwconv2d, &attr, sizeof attr, (hm_tensor *[]){x, w, b}, 3);
}
