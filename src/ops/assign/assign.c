/* assign.c: builder and shape rule of the assignment op. The solver itself is solver.c. */
#include "ops/assign/assign.h"

#include "graph/op.h"
#include "ops/assign/assign_attr.h"
#include "ops/assign/assign_cuda.h"
#include "ops/assign/solver.h"

HM_CPU_DECLARE(assign);
HM_CUDA_DECLARE(assign);
hm_status assign_ref(const hm_call *c);

static hm_status infer(hm_graph *g, hm_node *n) {
    const hm_tensor *const cost = n->in[0], *const counts = n->in[n->n_in - 1];
    const hm_assign_attr *const a = n->attr;
    HM_NODE_CHECK(n, n->n_in >= 2 && n->n_in <= HM_ASSIGN_MOST + 1, "1 to %d costs", HM_ASSIGN_MOST);
    HM_NODE_CHECK(n, cost != NULL && cost->dtype == HM_F32 && cost->shape.rank == 3, "cost must be [B, G*Q, T]");
    HM_NODE_CHECK(n, a->groups > 0 && hm_dim(cost, 1) % a->groups == 0, "%lld rows do not fall into %d equal groups",
                  (long long)hm_dim(cost, 1), a->groups);
    HM_NODE_CHECK(
        n, counts != NULL && counts->dtype == HM_I32 && counts->shape.rank == 1 && hm_dim(counts, 0) == hm_dim(cost, 0),
        "counts must be i32 [B]");
    for (int i = 0; i < n->n_in - 1; i++) {
        HM_NODE_CHECK(n, n->in[i] != NULL && n->in[i]->dtype == HM_F32 && hm_shape_equal(n->in[i]->shape, cost->shape),
                      "cost %d must have the shape of the first", i);
        HM_TRY(hm_node_output(g, n, HM_I32, HM_SHAPE(hm_dim(cost, 0), hm_dim(cost, 1))));
    }
    return HM_OK;
}

/* One problem's scratch for each thread. */
static size_t workspace(const hm_node *n, int threads) {
    const hm_assign_attr *const a = n->attr;
    const size_t one = hm_assign_scratch(hm_dim(n->in[0], 1) / a->groups, hm_dim(n->in[0], 2));
    return (size_t)threads * ((one + 63) & ~(size_t)63);
}

static size_t cuda_workspace(const hm_node *n) {
    const hm_assign_attr *const a = n->attr;
    const int64_t Q = hm_dim(n->in[0], 1) / a->groups, problems = n->n_out * hm_dim(n->in[0], 0) * a->groups;
    return (size_t)problems * hm_assign_cuda_spare(Q, hm_dim(n->in[0], 2));
}

const hm_op hm_op_assign = {
    .name = "assign",
    .infer = infer,
    .no_grad = true,
    .ref = assign_ref,
    .cpu = HM_CPU_KERNELS(assign),
    .workspace = workspace,
    .cuda = HM_CUDA_KERNEL(assign),
    .cuda_workspace = cuda_workspace,
};

hm_tensor *hm_assign(hm_graph *g, hm_tensor *cost, hm_tensor *counts, int groups) {
    hm_tensor *match;
    hm_assign_all(g, &match, &cost, 1, counts, groups);
    return match;
}

void hm_assign_all(hm_graph *g, hm_tensor **match, hm_tensor *const *cost, int n, hm_tensor *counts, int groups) {
    const hm_assign_attr attr = {.groups = groups};
    hm_tensor *in[HM_ASSIGN_MOST + 1];
    for (int i = 0; i < n; i++) {
        match[i] = NULL;
        in[i] = cost[i];
    }
    in[n] = counts;
    const hm_node *const node = hm_graph_node(g, &hm_op_assign, &attr, sizeof attr, in, n + 1);
    for (int i = 0; i < n && node != NULL; i++)
        match[i] = node->out[i];
}
