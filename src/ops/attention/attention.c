/* attention.c: builder, shapes and gradient rule of attention. */
#include "ops/attention/attention.h"
#include "ops/attention/attention_attr.h"

HM_CPU_DECLARE(attention);
HM_CPU_DECLARE(attention_back);
HM_CUDA_DECLARE(attention);
HM_CUDA_DECLARE(attention_back);
hm_status hm_attention_ref(const hm_call *c);
hm_status hm_attention_back_ref(const hm_call *c);

extern const hm_op hm_op_attention, hm_op_attention_back;

hm_tensor *hm_attention(hm_graph *g, hm_tensor *q, hm_tensor *k, hm_tensor *v, int heads) {
    const hm_attention_attr attr = {heads};
    const hm_node *const n = hm_graph_node(g, &hm_op_attention, &attr, sizeof attr, (hm_tensor *[]){q, k, v}, 3);
    return n != NULL ? n->out[0] : NULL;
}

static hm_status infer(hm_graph *g, hm_node *n) {
    const hm_tensor *const q = n->in[0], *const k = n->in[1], *const v = n->in[2];
    const int heads = ((const hm_attention_attr *)n->attr)->heads;
    HM_NODE_CHECK(n, q != NULL && k != NULL && v != NULL, "needs queries, keys and values");
    HM_NODE_CHECK(n, q->shape.rank == 3 && k->shape.rank == 3, "needs inputs [B, N, C]");
    HM_NODE_CHECK(n, hm_shape_equal(k->shape, v->shape), "keys and values must have the same shape");
    HM_NODE_CHECK(n, hm_dim(q, 0) == hm_dim(k, 0) && hm_dim(q, 2) == hm_dim(k, 2),
                  "queries and keys differ in batch or channels");
    HM_NODE_CHECK(n, heads > 0 && hm_dim(q, 2) % heads == 0, "%d heads do not divide the channels", heads);
    HM_NODE_CHECK(n, hm_dim(k, 1) > 0, "has no keys");
    HM_TRY(hm_node_output(g, n, HM_F32, q->shape));
    return hm_node_output(g, n, HM_F32, HM_SHAPE(hm_dim(q, 0), heads, hm_dim(q, 1)));
}

static hm_status grad(hm_graph *g, hm_node *n, hm_tensor *const *dout, hm_tensor **din) {
    hm_tensor *const in[] = {n->in[0], n->in[1], n->in[2], n->out[0], n->out[1], dout[0]};
    const hm_node *const back = hm_graph_node(g, &hm_op_attention_back, n->attr, sizeof(hm_attention_attr), in, 6);
    for (int i = 0; i < 3 && back != NULL; i++)
        din[i] = hm_wants_grad(n, i) ? back->out[i] : NULL;
    return g->status;
}

static hm_status infer_back(hm_graph *g, hm_node *n) {
    for (int i = 0; i < 3; i++)
        HM_TRY(hm_node_output(g, n, HM_F32, n->in[i]->shape));
    return HM_OK;
}

static size_t workspace(const hm_node *n, int threads) {
    const hm_attention_sizes s = hm_attention_sizes_of(n);
    return (size_t)threads * (size_t)hm_attention_scratch(&s, false) * sizeof(float);
}

static size_t workspace_back(const hm_node *n, int threads) {
    const hm_attention_sizes s = hm_attention_sizes_of(n);
    return (size_t)threads * (size_t)hm_attention_scratch(&s, true) * sizeof(float);
}

/* Two floats for each row and head. */
static size_t cuda_workspace_back(const hm_node *n) {
    const hm_attention_sizes s = hm_attention_sizes_of(n);
    return (size_t)(s.batch * s.heads * s.nq) * 2 * sizeof(float);
}

const hm_op hm_op_attention = {
    .name = "attention",
    .infer = infer,
    .grad = grad,
    .ref = hm_attention_ref,
    .cpu = HM_CPU_KERNELS(attention),
    .workspace = workspace,
    .cuda = HM_CUDA_KERNEL(attention),
};
const hm_op hm_op_attention_back = {
    .name = "attention_back",
    .infer = infer_back,
    .ref = hm_attention_back_ref,
    .cpu = HM_CPU_KERNELS(attention_back),
    .workspace = workspace_back,
    .cuda = HM_CUDA_KERNEL(attention_back),
    .cuda_workspace = cuda_workspace_back,
};
