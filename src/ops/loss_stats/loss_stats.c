/* loss_stats.c: builder and shape rule of the logged statistics. */
#include "ops/loss_stats/loss_stats.h"

#include "graph/op.h"
#include "ops/loss_stats/loss_stats_attr.h"

HM_CPU_DECLARE(loss_stats);
HM_CUDA_DECLARE(loss_stats);
hm_status loss_stats_ref(const hm_call *c);

static hm_status infer(hm_graph *g, hm_node *n) {
    const hm_tensor *const logits = n->in[0], *const match = n->in[1], *const labels = n->in[2],
                           *const counts = n->in[3];
    HM_NODE_CHECK(n, logits != NULL && logits->dtype == HM_F32 && logits->shape.rank == 3 && hm_dim(logits, 2) > 0,
                  "logits must be [B, G*Q, K]");
    const int64_t B = hm_dim(logits, 0), GQ = hm_dim(logits, 1);
    HM_NODE_CHECK(n,
                  match != NULL && match->dtype == HM_I32 && match->shape.rank == 2 && hm_dim(match, 0) == B &&
                      hm_dim(match, 1) == GQ,
                  "match must be i32 [B, G*Q]");
    HM_NODE_CHECK(n, labels != NULL && labels->dtype == HM_I32 && labels->shape.rank == 2 && hm_dim(labels, 0) == B,
                  "labels must be i32 [B, T]");
    HM_NODE_CHECK(n, counts != NULL && counts->dtype == HM_I32 && counts->shape.rank == 1 && hm_dim(counts, 0) == B,
                  "counts must be i32 [B]");
    HM_TRY(hm_node_output(g, n, HM_F32, hm_scalar_shape()));
    return hm_node_output(g, n, HM_F32, hm_scalar_shape());
}

/* Three counts for each image (cpu.c). */
static size_t workspace(const hm_node *n, int threads) {
    (void)threads;
    return (size_t)hm_dim(n->in[0], 0) * 3 * sizeof(int64_t);
}

/* The same for each part of an image (cuda.cu). */
static size_t cuda_workspace(const hm_node *n) {
    return (size_t)(hm_dim(n->in[0], 0) * hm_loss_stats_parts(hm_dim(n->in[0], 1))) * 3 * sizeof(int32_t);
}

const hm_op hm_op_loss_stats = {
    .name = "loss_stats",
    .infer = infer,
    .no_grad = true,
    .ref = loss_stats_ref,
    .cpu = HM_CPU_KERNELS(loss_stats),
    .workspace = workspace,
    .cuda = HM_CUDA_KERNEL(loss_stats),
    .cuda_workspace = cuda_workspace,
};

void hm_loss_stats(hm_graph *g, const hm_prediction *p, const hm_targets *t, hm_tensor *match, hm_tensor **class_error,
                   hm_tensor **cardinality_error) {
    hm_tensor *const in[] = {p->logits, match, t->labels, t->counts};
    const hm_node *const n = hm_graph_node(g, &hm_op_loss_stats, NULL, 0, in, 4);
    *class_error = n != NULL ? n->out[0] : NULL;
    *cardinality_error = n != NULL ? n->out[1] : NULL;
}
