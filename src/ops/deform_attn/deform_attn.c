/* deform_attn.c: builder, shape and gradient rules of deformable attention. */
#include "ops/deform_attn/deform_attn.h"

#include "graph/op.h"
#include "ops/deform_attn/deform_attn_attr.h"

HM_CPU_DECLARE(deform_attn);
HM_CPU_DECLARE(deform_attn_back);
HM_CUDA_DECLARE(deform_attn);
HM_CUDA_DECLARE(deform_attn_back);
hm_status deform_attn_ref(const hm_call *c);
hm_status deform_attn_back_ref(const hm_call *c);

extern const hm_op hm_op_deform_attn_back;

static bool has_shape(const hm_tensor *t, hm_shape s) {
    return t != NULL && t->dtype == HM_F32 && hm_shape_equal(t->shape, s);
}

static hm_status infer(hm_graph *g, hm_node *n) {
    const hm_deform_attn_attr *const a = n->attr;
    const hm_tensor *const value = n->in[0], *const ref = n->in[3];
    const int64_t L = a->levels.n, M = a->heads;
    HM_NODE_CHECK(n, L >= 1 && L <= 4, "%lld feature levels; 1 to 4 are possible", (long long)L);
    HM_NODE_CHECK(n, a->points > 0 && L * a->points <= HM_DEFORM_MAX_SAMPLES, "levels * points must be 1 to %d",
                  HM_DEFORM_MAX_SAMPLES);
    HM_NODE_CHECK(n, value != NULL && value->dtype == HM_F32 && value->shape.rank == 3, "value must be [B, N, C]");
    HM_NODE_CHECK(n, M > 0 && hm_dim(value, 2) % M == 0, "the channels do not fall into %lld heads", (long long)M);
    HM_NODE_CHECK(n, ref != NULL && ref->dtype == HM_F32 && ref->shape.rank == 3 && hm_dim(ref, 2) == 4,
                  "ref must be boxes [B, Q, 4]");
    const int64_t B = hm_dim(value, 0), Q = hm_dim(ref, 1), samples = M * L * a->points;
    int64_t N = 0;
    for (int64_t i = 0; i < L; i++)
        N += a->levels.h[i] * a->levels.w[i];
    HM_NODE_CHECK(n, hm_dim(value, 1) == N, "value must have the %lld tokens of the levels", (long long)N);
    HM_NODE_CHECK(n, hm_dim(ref, 0) == B, "ref must have the batch of value");
    HM_NODE_CHECK(n, has_shape(n->in[1], HM_SHAPE(B, Q, samples * 2)), "offsets must be [B, Q, heads*levels*points*2]");
    HM_NODE_CHECK(n, has_shape(n->in[2], HM_SHAPE(B, Q, samples)), "logits must be [B, Q, heads*levels*points]");
    HM_NODE_CHECK(n, has_shape(n->in[4], HM_SHAPE(B, L, 2)), "ratios must be [B, L, 2]");
    return hm_node_output(g, n, HM_F32, HM_SHAPE(B, Q, hm_dim(value, 2)));
}

/* inputs: dout, then the forward's; outputs: the gradients of value, offsets, logits, ref */
static hm_status infer_back(hm_graph *g, hm_node *n) {
    for (int i = 1; i <= 4; i++)
        HM_TRY(hm_node_output(g, n, HM_F32, n->in[i]->shape));
    return HM_OK;
}

static hm_status grad(hm_graph *g, hm_node *n, hm_tensor *const *dout, hm_tensor **din) {
    hm_tensor *const in[] = {dout[0], n->in[0], n->in[1], n->in[2], n->in[3], n->in[4]};
    HM_NODE_CHECK(n, !hm_wants_grad(n, 4), "the ratios have no gradient");
    const hm_node *const back = hm_graph_node(g, &hm_op_deform_attn_back, n->attr, sizeof(hm_deform_attn_attr), in, 6);
    for (int i = 0; i < 4 && back != NULL; i++)
        if (hm_wants_grad(n, i))
            din[i] = back->out[i];
    return g->status;
}

/* One head's row of zeros and three numbers for each sample (cpu.c); logits has one element for each sample. */
static size_t room(const hm_tensor *value, const hm_tensor *logits, const hm_deform_attn_attr *a) {
    return (size_t)(hm_dim(value, 2) / a->heads + 3 * hm_count(logits)) * sizeof(float);
}

static size_t workspace(const hm_node *n, int threads) {
    (void)threads;
    return room(n->in[0], n->in[2], n->attr);
}

/* Also each head's share of the gradient of ref, [B, Q, heads, 4], and each thread's head. */
static size_t workspace_back(const hm_node *n, int threads) {
    const hm_deform_attn_attr *const a = n->attr;
    const size_t head = hm_deform_head_floats(&a->levels, hm_dim(n->in[1], 2) / a->heads);
    return room(n->in[1], n->in[3], a) +
           ((size_t)(hm_count(n->in[4]) * a->heads) + (size_t)threads * head) * sizeof(float);
}

/* Sums for the gradient of value, and a line before them (cuda.cu). */
static size_t cuda_workspace_back(const hm_node *n) {
    return HM_DEFORM_CUDA_LINE + (size_t)hm_count(n->in[1]) * sizeof(int64_t);
}

const hm_op hm_op_deform_attn = {
    .name = "deform_attn",
    .infer = infer,
    .grad = grad,
    .ref = deform_attn_ref,
    .cpu = HM_CPU_KERNELS(deform_attn),
    .workspace = workspace,
    .cuda = HM_CUDA_KERNEL(deform_attn),
};

const hm_op hm_op_deform_attn_back = {
    .name = "deform_attn_back",
    .infer = infer_back,
    .ref = deform_attn_back_ref,
    .cpu = HM_CPU_KERNELS(deform_attn_back),
    .workspace = workspace_back,
    .cuda = HM_CUDA_KERNEL(deform_attn_back),
    .cuda_workspace = cuda_workspace_back,
};

hm_tensor *hm_deform_attn(hm_graph *g, hm_tensor *value, hm_tensor *offsets, hm_tensor *logits, hm_tensor *ref,
                          hm_tensor *ratios, hm_levels levels, int heads, int points) {
    const hm_deform_attn_attr attr = {.levels = levels, .heads = heads, .points = points};
    hm_tensor *const in[] = {value, offsets, logits, ref, ratios};
    return hm_graph_apply(g, &hm_op_deform_attn, &attr, sizeof attr, in, 5);
}
