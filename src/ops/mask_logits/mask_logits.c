/* mask_logits.c: <query, S> + bias. Its gradients are two batched products and a sum, all ops of their own. */
#include "ops/mask_logits/mask_logits.h"

#include "graph/op.h"
#include "ops/elementwise/elementwise.h"
#include "ops/linear/linear.h"
#include "ops/product.h"

HM_CPU_DECLARE(mask_logits);
HM_CUDA_DECLARE(mask_logits);
hm_status hm_mask_logits_ref(const hm_call *c);

extern const hm_op hm_op_mask_logits;

hm_tensor *hm_mask_logits(hm_graph *g, hm_tensor *spatial, hm_tensor *query, hm_tensor *bias) {
    return hm_graph_apply(g, &hm_op_mask_logits, NULL, 0, (hm_tensor *[]){spatial, query, bias}, 3);
}

static hm_status infer(hm_graph *g, hm_node *n) {
    const hm_tensor *const s = n->in[0], *const q = n->in[1], *const bias = n->in[2];
    HM_NODE_CHECK(n, s != NULL && q != NULL && bias != NULL, "needs spatial features, query features and a bias");
    HM_NODE_CHECK(n, s->shape.rank == 3 && q->shape.rank == 3, "needs S [B, HW, C] and queries [B, Q, C]");
    HM_NODE_CHECK(n, hm_dim(s, 0) == hm_dim(q, 0) && hm_dim(s, 2) == hm_dim(q, 2),
                  "spatial and query features differ in batch or channels");
    HM_NODE_CHECK(n, hm_count(bias) == 1, "the bias must be one number");
    return hm_node_output(g, n, HM_F32, HM_SHAPE(hm_dim(s, 0), hm_dim(q, 1), hm_dim(s, 1)));
}

static hm_status grad(hm_graph *g, hm_node *n, hm_tensor *const *dout, hm_tensor **din) {
    if (hm_wants_grad(n, 0))
        din[0] = hm_matmul(g, dout[0], n->in[1], true, false);
    if (hm_wants_grad(n, 1))
        din[1] = hm_matmul(g, dout[0], n->in[0], false, false);
    if (hm_wants_grad(n, 2))
        din[2] = hm_sum_to(g, dout[0], n->in[2]->shape);
    return g->status;
}

/* A row of the bias, after what the product needs. */
static size_t cuda_workspace(const hm_node *n) {
    const hm_product_room r = hm_product_room_of(n->in[1], n->in[0], n->out[0], false);
    return (r.floats + (size_t)hm_dim(n->in[0], 1)) * sizeof(float);
}

const hm_op hm_op_mask_logits = {
    .name = "mask_logits",
    .infer = infer,
    .grad = grad,
    .ref = hm_mask_logits_ref,
    .cpu = HM_CPU_KERNELS(mask_logits),
    .cuda = HM_CUDA_KERNEL(mask_logits),
    .cuda_workspace = cuda_workspace,
};
