/* grid_mask_loss.c: builder, inference and gradient rule; formulas in grid_mask_loss.h. */
#include "ops/grid_mask_loss/grid_mask_loss.h"

#include "graph/op.h"
#include "ops/grid_mask_loss/grid_mask_loss_attr.h"
#include "ops/targets.h"

HM_CPU_DECLARE(grid_mask_loss);
HM_CPU_DECLARE(grid_mask_loss_back);
HM_CUDA_DECLARE(grid_mask_loss);
HM_CUDA_DECLARE(grid_mask_loss_back);
hm_status grid_mask_loss_ref(const hm_call *c);
hm_status grid_mask_loss_back_ref(const hm_call *c);
extern const hm_op hm_op_grid_mask_loss, hm_op_grid_mask_loss_back;

static hm_status infer_inputs(const hm_node *n) {
    const hm_grid_mask_loss_attr *const a = n->attr;
    HM_NODE_CHECK(n, a->grid_h > 0 && a->grid_w > 0 && a->mask_h > 0 && a->mask_w > 0, "masks without size");
    HM_NODE_CHECK(n, a->groups >= 1, "%d groups", a->groups);
    HM_TRY(hm_infer_input(n, GM_LOGITS, "mask logits", HM_F32, HM_SHAPE(-1, -1, a->grid_h * a->grid_w)));
    const int64_t images = hm_dim(n->in[GM_LOGITS], 0), queries = hm_dim(n->in[GM_LOGITS], 1);
    HM_TRY(hm_infer_input(n, GM_COUNTS, "counts", HM_I32, HM_SHAPE(images)));
    HM_TRY(hm_infer_input(n, GM_MASKS, "target masks", HM_U8, HM_SHAPE(images, -1, (a->mask_h * a->mask_w + 7) / 8)));
    return hm_infer_input(n, GM_MATCH, "match", HM_I32, HM_SHAPE(images, queries));
}

static hm_status infer(hm_graph *g, hm_node *n) {
    HM_TRY(infer_inputs(n));
    HM_TRY(hm_node_output(g, n, HM_F32, hm_scalar_shape()));
    return hm_node_output(g, n, HM_F32, hm_scalar_shape());
}

static hm_status infer_back(hm_graph *g, hm_node *n) {
    HM_TRY(infer_inputs(n));
    return hm_node_output(g, n, HM_F32, n->in[GM_LOGITS]->shape);
}

static hm_status grad(hm_graph *g, hm_node *n, hm_tensor *const *dout, hm_tensor **din) {
    if (!hm_wants_grad(n, GM_LOGITS))
        return HM_OK;
    hm_tensor *const in[GM_BACKWARD_INPUTS] = {n->in[GM_LOGITS], n->in[GM_COUNTS], n->in[GM_MASKS],
                                               n->in[GM_MATCH],  dout[0],          dout[1]};
    din[GM_LOGITS] =
        hm_graph_apply(g, &hm_op_grid_mask_loss_back, n->attr, sizeof(hm_grid_mask_loss_attr), in, GM_BACKWARD_INPUTS);
    return g->status;
}

/* Two sums for each query. */
static size_t workspace(const hm_node *n, int threads) {
    (void)threads;
    return (size_t)hm_rows(n->in[GM_LOGITS], 1) * 2 * sizeof(double);
}

static size_t cuda_workspace(const hm_node *n) {
    return (size_t)hm_cuda_loss_parts(hm_rows(n->in[GM_LOGITS], 1), GM_CUDA_ROWS) * 2 * sizeof(double);
}

const hm_op hm_op_grid_mask_loss = {
    .name = "grid_mask_loss",
    .infer = infer,
    .grad = grad,
    .ref = grid_mask_loss_ref,
    .cpu = HM_CPU_KERNELS(grid_mask_loss),
    .workspace = workspace,
    .cuda = HM_CUDA_KERNEL(grid_mask_loss),
    .cuda_workspace = cuda_workspace,
};

const hm_op hm_op_grid_mask_loss_back = {
    .name = "grid_mask_loss_back",
    .infer = infer_back,
    .ref = grid_mask_loss_back_ref,
    .cpu = HM_CPU_KERNELS(grid_mask_loss_back),
    .cuda = HM_CUDA_KERNEL(grid_mask_loss_back),
};

void hm_grid_mask_loss(hm_graph *g, const hm_prediction *p, const hm_targets *t, hm_tensor *match, int groups,
                       hm_tensor **ce, hm_tensor **dice) {
    const hm_grid_mask_loss_attr a = {
        .groups = groups, .grid_h = p->mask_h, .grid_w = p->mask_w, .mask_h = t->mask_h, .mask_w = t->mask_w};
    hm_tensor *const in[GM_FORWARD_INPUTS] = {p->grid, t->counts, t->masks, match};
    const hm_node *const n = hm_graph_node(g, &hm_op_grid_mask_loss, &a, sizeof a, in, GM_FORWARD_INPUTS);
    *ce = n != NULL ? n->out[0] : NULL;
    *dice = n != NULL ? n->out[1] : NULL;
}
