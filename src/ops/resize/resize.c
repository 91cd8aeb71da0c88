/* resize.c: builder, shape and gradient rules of resampling. The gradient is the transposed matrix (taps.c). */
#include "ops/resize/resize.h"

#include "graph/op.h"
#include "ops/resize/resize_attr.h"

HM_CPU_DECLARE(resize);
HM_CPU_DECLARE(resize_back);
HM_CUDA_DECLARE(resize);
HM_CUDA_DECLARE(resize_back);
hm_status resize_ref(const hm_call *c);
hm_status resize_back_ref(const hm_call *c);

extern const hm_op hm_op_resize_back;

static hm_status infer(hm_graph *g, hm_node *n) {
    const hm_resize_attr *const a = n->attr;
    const hm_tensor *const x = n->in[0];
    HM_NODE_CHECK(n, x != NULL && x->dtype == HM_F32 && x->shape.rank == 4 && hm_dim(x, 1) > 0 && hm_dim(x, 2) > 0,
                  "x must be [B, H, W, C]");
    HM_NODE_CHECK(n, a->out[0] > 0 && a->out[1] > 0, "cannot resize to %lld x %lld", (long long)a->out[0],
                  (long long)a->out[1]);
    return hm_node_output(g, n, HM_F32, HM_SHAPE(hm_dim(x, 0), a->out[0], a->out[1], hm_dim(x, 3)));
}

static hm_status infer_back(hm_graph *g, hm_node *n) {
    const hm_resize_attr *const a = n->attr;
    return hm_node_output(g, n, HM_F32, HM_SHAPE(hm_dim(n->in[0], 0), a->in[0], a->in[1], hm_dim(n->in[0], 3)));
}

static hm_status grad(hm_graph *g, hm_node *n, hm_tensor *const *dout, hm_tensor **din) {
    if (hm_wants_grad(n, 0))
        din[0] = hm_graph_apply(g, &hm_op_resize_back, n->attr, sizeof(hm_resize_attr), dout, 1);
    return g->status;
}

/* The taps of both axes, then each thread's line of C numbers for every column of the kernel's input (cpu.c). */
static size_t workspace(const hm_node *n, int threads) {
    const hm_resize_attr *const a = n->attr;
    const size_t line = (size_t)(hm_dim(n->in[0], 2) * hm_dim(n->in[0], 3)) * sizeof(float);
    return hm_taps_bytes(a->mode, a->in[0], a->out[0]) + hm_taps_bytes(a->mode, a->in[1], a->out[1]) +
           (size_t)threads * ((line + 63) & ~(size_t)63);
}

/* The taps also the other way round. */
static size_t workspace_back(const hm_node *n, int threads) {
    const hm_resize_attr *const a = n->attr;
    return workspace(n, threads) + hm_taps_bytes(a->mode, a->in[0], a->out[0]) +
           hm_taps_bytes(a->mode, a->in[1], a->out[1]);
}

const hm_op hm_op_resize = {
    .name = "resize",
    .infer = infer,
    .grad = grad,
    .ref = resize_ref,
    .cpu = HM_CPU_KERNELS(resize),
    .workspace = workspace,
    .cuda = HM_CUDA_KERNEL(resize),
};

const hm_op hm_op_resize_back = {
    .name = "resize_back",
    .infer = infer_back,
    .ref = resize_back_ref,
    .cpu = HM_CPU_KERNELS(resize_back),
    .workspace = workspace_back,
    .cuda = HM_CUDA_KERNEL(resize_back),
};

hm_tensor *hm_resize(hm_graph *g, hm_tensor *x, int64_t h, int64_t w, hm_resize_mode mode) {
    if (g->status != HM_OK)
        return NULL;
    const bool map = x != NULL && x->shape.rank == 4;
    const hm_resize_attr attr = {.in = {map ? hm_dim(x, 1) : 0, map ? hm_dim(x, 2) : 0}, .out = {h, w}, .mode = mode};
    return hm_graph_apply(g, &hm_op_resize, &attr, sizeof attr, (hm_tensor *[]){x}, 1);
}
