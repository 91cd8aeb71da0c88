/* sine_embed.c: builder, shape and gradient rules of the sine embedding of boxes. */
#include "ops/sine_embed/sine_embed.h"

#include "graph/op.h"
#include "ops/sine_embed/sine_embed_attr.h"

HM_CPU_DECLARE(sine_embed);
HM_CPU_DECLARE(sine_embed_back);
HM_CUDA_DECLARE(sine_embed);
HM_CUDA_DECLARE(sine_embed_back);
hm_status sine_embed_ref(const hm_call *c);
hm_status sine_embed_back_ref(const hm_call *c);

extern const hm_op hm_op_sine_embed_back;

static hm_status infer(hm_graph *g, hm_node *n) {
    const hm_tensor *const ref = n->in[0], *const ratios = n->in[1];
    const int dim = ((const hm_sine_embed_attr *)n->attr)->dim;
    HM_NODE_CHECK(n, dim > 0 && dim % 4 == 0, "the embedding size %d is not a multiple of 4", dim);
    HM_NODE_CHECK(n, ref != NULL && ref->dtype == HM_F32 && ref->shape.rank == 3 && hm_dim(ref, 2) == 4,
                  "ref must be boxes [B, Q, 4]");
    HM_NODE_CHECK(n,
                  ratios != NULL && ratios->dtype == HM_F32 && ratios->shape.rank == 3 &&
                      hm_dim(ratios, 0) == hm_dim(ref, 0) && hm_dim(ratios, 1) > 0 && hm_dim(ratios, 2) == 2,
                  "ratios must be [B, L, 2]");
    return hm_node_output(g, n, HM_F32, HM_SHAPE(hm_dim(ref, 0), hm_dim(ref, 1), 2 * dim));
}

static hm_status infer_back(hm_graph *g, hm_node *n) {
    return hm_node_output(g, n, HM_F32, n->in[1]->shape);
}

static hm_status grad(hm_graph *g, hm_node *n, hm_tensor *const *dout, hm_tensor **din) {
    hm_tensor *const in[] = {dout[0], n->in[0], n->in[1]};
    HM_NODE_CHECK(n, !hm_wants_grad(n, 1), "the ratios have no gradient");
    if (hm_wants_grad(n, 0))
        din[0] = hm_graph_apply(g, &hm_op_sine_embed_back, n->attr, sizeof(hm_sine_embed_attr), in, 3);
    return g->status;
}

/* The d/4 frequencies. */
static size_t workspace(const hm_node *n, int threads) {
    (void)threads;
    return (size_t)((const hm_sine_embed_attr *)n->attr)->dim / 4 * sizeof(double);
}

const hm_op hm_op_sine_embed = {
    .name = "sine_embed",
    .infer = infer,
    .grad = grad,
    .ref = sine_embed_ref,
    .cpu = HM_CPU_KERNELS(sine_embed),
    .workspace = workspace,
    .cuda = HM_CUDA_KERNEL(sine_embed),
};

const hm_op hm_op_sine_embed_back = {
    .name = "sine_embed_back",
    .infer = infer_back,
    .ref = sine_embed_back_ref,
    .cpu = HM_CPU_KERNELS(sine_embed_back),
    .workspace = workspace,
    .cuda = HM_CUDA_KERNEL(sine_embed_back),
};

hm_tensor *hm_sine_embed(hm_graph *g, hm_tensor *ref, hm_tensor *ratios, int dim) {
    const hm_sine_embed_attr attr = {.dim = dim};
    return hm_graph_apply(g, &hm_op_sine_embed, &attr, sizeof attr, (hm_tensor *[]){ref, ratios}, 2);
}
