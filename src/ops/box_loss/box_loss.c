/* box_loss.c: builder, inference and gradient rule; formulas in box_loss.h and ops/boxes.h. */
#include "ops/box_loss/box_loss.h"

#include "graph/op.h"
#include "ops/box_loss/box_loss_attr.h"
#include "ops/targets.h"

HM_CPU_DECLARE(box_loss);
HM_CPU_DECLARE(box_loss_back);
HM_CUDA_DECLARE(box_loss);
HM_CUDA_DECLARE(box_loss_back);
hm_status box_loss_ref(const hm_call *c);
hm_status box_loss_back_ref(const hm_call *c);
extern const hm_op hm_op_box_loss, hm_op_box_loss_back;

static hm_status infer_inputs(const hm_node *n) {
    const hm_box_loss_attr *const a = n->attr;
    HM_TRY(hm_infer_input(n, BOX_PRED, "predicted boxes", HM_F32, HM_SHAPE(-1, -1, 4)));
    const int64_t images = hm_dim(n->in[BOX_PRED], 0), queries = hm_dim(n->in[BOX_PRED], 1);
    HM_TRY(hm_infer_input(n, BOX_COUNTS, "counts", HM_I32, HM_SHAPE(images)));
    HM_TRY(hm_infer_input(n, BOX_TARGETS, "target boxes", HM_F32, HM_SHAPE(images, -1, 4)));
    HM_TRY(hm_infer_input(n, BOX_MATCH, "match", HM_I32, HM_SHAPE(images, queries)));
    HM_NODE_CHECK(n, a->groups >= 1, "%d groups", a->groups);
    return HM_OK;
}

static hm_status infer(hm_graph *g, hm_node *n) {
    HM_TRY(infer_inputs(n));
    HM_TRY(hm_node_output(g, n, HM_F32, hm_scalar_shape()));
    return hm_node_output(g, n, HM_F32, hm_scalar_shape());
}

static hm_status infer_back(hm_graph *g, hm_node *n) {
    HM_TRY(infer_inputs(n));
    return hm_node_output(g, n, HM_F32, n->in[BOX_PRED]->shape);
}

static hm_status grad(hm_graph *g, hm_node *n, hm_tensor *const *dout, hm_tensor **din) {
    if (!hm_wants_grad(n, BOX_PRED))
        return HM_OK;
    hm_tensor *const in[BOX_BACKWARD_INPUTS] = {n->in[BOX_PRED],  n->in[BOX_COUNTS], n->in[BOX_TARGETS],
                                                n->in[BOX_MATCH], dout[0],           dout[1]};
    din[BOX_PRED] = hm_graph_apply(g, &hm_op_box_loss_back, n->attr, sizeof(hm_box_loss_attr), in, BOX_BACKWARD_INPUTS);
    return g->status;
}

static size_t cuda_workspace(const hm_node *n) {
    return (size_t)hm_cuda_loss_parts(hm_rows(n->in[BOX_PRED], 1), BOX_CUDA_ROWS) * 2 * sizeof(double);
}

const hm_op hm_op_box_loss = {
    .name = "box_loss",
    .infer = infer,
    .grad = grad,
    .ref = box_loss_ref,
    .cpu = HM_CPU_KERNELS(box_loss),
    .cuda = HM_CUDA_KERNEL(box_loss),
    .cuda_workspace = cuda_workspace,
};

const hm_op hm_op_box_loss_back = {
    .name = "box_loss_back",
    .infer = infer_back,
    .ref = box_loss_back_ref,
    .cpu = HM_CPU_KERNELS(box_loss_back),
    .cuda = HM_CUDA_KERNEL(box_loss_back),
};

void hm_box_loss(hm_graph *g, const hm_prediction *p, const hm_targets *t, hm_tensor *match, int groups, hm_tensor **l1,
                 hm_tensor **giou) {
    const hm_box_loss_attr a = {.groups = groups};
    hm_tensor *const in[BOX_FORWARD_INPUTS] = {p->boxes, t->counts, t->boxes, match};
    const hm_node *const n = hm_graph_node(g, &hm_op_box_loss, &a, sizeof a, in, BOX_FORWARD_INPUTS);
    *l1 = n != NULL ? n->out[0] : NULL;
    *giou = n != NULL ? n->out[1] : NULL;
}
