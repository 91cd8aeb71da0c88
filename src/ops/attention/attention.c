/* attention.c: builder, shapes and gradient rule of attention. */
#include "ops/attention/attention.h"

#include "device/cpu/pairs.h"
#include "ops/attention/attention_attr.h"
#include "ops/carve.h"

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

static size_t take(hm_carve *c, bool wanted, int64_t floats) {
    return wanted ? hm_carve_take(c, floats) : 0;
}

static hm_attention_room room_of_tiles(const hm_attention_sizes *s, bool back) {
    const int64_t rows = hm_attention_min(back ? s->nk : s->nq, HM_ATTENTION_Q),
                  cols = hm_attention_min(back ? s->nq : s->nk, HM_ATTENTION_K);
    const int64_t area = rows * hm_attention_padded(cols), queries = hm_attention_padded(s->nq);
    hm_attention_room r = {0};
    hm_carve c = {0};
    r.max = take(&c, !back, rows);
    r.sum = take(&c, !back, rows);
    r.s = take(&c, true, area);
    r.p = take(&c, true, area / 2);
    r.dp = take(&c, back, area);
    r.ds_sum = take(&c, back, area / 2);
    r.dot = take(&c, back, queries);
    r.lse = take(&c, back, queries);
    r.y = take(&c, true, rows * s->d);
    r.dk = take(&c, back, rows * s->d);
    r.dv = take(&c, back, rows * s->d);
    r.dq = take(&c, back, s->nq * s->d);
    r.part = take(&c, true, (back && cols > rows ? cols : rows) * s->d);
    r.floats = c.floats;
    return r;
}

hm_attention_room hm_attention_room_of(const hm_attention_sizes *s, hm_attention_way way, bool back) {
    if (way == HM_ATTENTION_TILES)
        return room_of_tiles(s, back);
    const int64_t Q = hm_attention_min(s->nq, HM_ATTENTION_Q), K = hm_attention_min(s->nk, HM_ATTENTION_K), d = s->d;
    const bool half = way != HM_ATTENTION_F32, words = way == HM_ATTENTION_WORDS;
    const int64_t q_d = words ? Q * hm_pairs_words(d) : Q * d,
                  d_k = words ? hm_pairs_words(d) * hm_pairs_stride(K) : K * d;
    const int64_t k_d = hm_pairs_words(K) * hm_pairs_stride(d), sum_q_d = hm_pairs_words(Q) * hm_pairs_stride(d);
    const int64_t sum_q_k = hm_pairs_words(Q) * hm_pairs_stride(K);
    hm_attention_room r = {0};
    hm_carve c = {0};
    r.max = take(&c, !back, Q);
    r.sum = take(&c, !back, Q);
    r.s = take(&c, true, Q * K);
    r.dp = take(&c, back, Q * K);
    r.dot = take(&c, back, s->nq);
    r.q = take(&c, half, q_d);
    r.dy = take(&c, half && back, q_d);
    r.k = take(&c, half, d_k);
    r.v = take(&c, half, d_k);
    r.q_sum = take(&c, words && back, sum_q_d);
    r.dy_sum = take(&c, words && back, sum_q_d);
    r.k_sum = take(&c, words && back, k_d);
    r.v_sum = take(&c, words && !back, k_d);
    r.p = take(&c, words, Q * hm_pairs_words(K));
    r.p_sum = take(&c, words && back, sum_q_k);
    r.ds_sum = take(&c, words && back, sum_q_k);
    r.y = take(&c, half, Q * d);
    r.dk = take(&c, half && back, K * d);
    r.dv = take(&c, half && back, K * d);
    r.dq = take(&c, half && back, s->nq * d);
    r.floats = c.floats;
    return r;
}

/* Not every instruction set's kernel takes the same way: room for each. */
static size_t scratch(const hm_node *n, int threads, bool back) {
    const hm_attention_sizes s = hm_attention_sizes_of(n);
    size_t most = 0;
    for (int way = 0; way < HM_ATTENTION_WAYS; way++) {
        const size_t floats = hm_attention_room_of(&s, (hm_attention_way)way, back).floats;
        most = hm_attention_takes(n, (hm_attention_way)way) && floats > most ? floats : most;
    }
    return (size_t)threads * most * sizeof(float);
}

static size_t workspace(const hm_node *n, int threads) {
    return scratch(n, threads, false);
}

static size_t workspace_back(const hm_node *n, int threads) {
    return scratch(n, threads, true);
}

static bool native(const hm_node *n) {
    (void)n;
    return true;
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
    .native = native,
    .workspace = workspace,
    .cuda = HM_CUDA_KERNEL(attention),
};
const hm_op hm_op_attention_back = {
    .name = "attention_back",
    .infer = infer_back,
    .ref = hm_attention_back_ref,
    .cpu = HM_CPU_KERNELS(attention_back),
    .native = native,
    .workspace = workspace_back,
    .cuda = HM_CUDA_KERNEL(attention_back),
    .cuda_workspace = cuda_workspace_back,
};
