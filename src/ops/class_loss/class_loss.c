/* class_loss.c: builder, inference and gradient rule; formulas in class_loss.h. */
#include "ops/class_loss/class_loss.h"

#include <string.h>

#include "graph/op.h"
#include "ops/class_loss/class_loss_attr.h"
#include "ops/targets.h"

HM_CPU_DECLARE(class_loss);
HM_CPU_DECLARE(class_loss_back);
HM_CUDA_DECLARE(class_loss);
HM_CUDA_DECLARE(class_loss_back);
hm_status class_loss_ref(const hm_call *c);
hm_status class_loss_back_ref(const hm_call *c);
extern const hm_op hm_op_class_loss, hm_op_class_loss_back;

static hm_status infer_inputs(const hm_node *n) {
    const hm_class_loss_attr *const a = n->attr;
    HM_TRY(hm_infer_input(n, CLS_LOGITS, "logits", HM_F32, HM_SHAPE(-1, -1, -1)));
    const int64_t images = hm_dim(n->in[CLS_LOGITS], 0), queries = hm_dim(n->in[CLS_LOGITS], 1);
    HM_TRY(hm_infer_input(n, CLS_BOXES, "predicted boxes", HM_F32, HM_SHAPE(images, queries, 4)));
    HM_TRY(hm_infer_input(n, CLS_COUNTS, "counts", HM_I32, HM_SHAPE(images)));
    HM_TRY(hm_infer_input(n, CLS_LABELS, "labels", HM_I32, HM_SHAPE(images, -1)));
    const int64_t capacity = hm_dim(n->in[CLS_LABELS], 1);
    HM_TRY(hm_infer_input(n, CLS_TARGETS, "target boxes", HM_F32, HM_SHAPE(images, capacity, 4)));
    HM_TRY(hm_infer_input(n, CLS_MATCH, "match", HM_I32, HM_SHAPE(images, queries)));
    HM_NODE_CHECK(n, a->groups >= 1, "%d groups", a->groups);
    return HM_OK;
}

static hm_status infer(hm_graph *g, hm_node *n) {
    HM_TRY(infer_inputs(n));
    return hm_node_output(g, n, HM_F32, hm_scalar_shape());
}

static hm_status infer_back(hm_graph *g, hm_node *n) {
    HM_TRY(infer_inputs(n));
    HM_TRY(hm_infer_input(n, CLS_DLOSS, "the loss's gradient", HM_F32, hm_scalar_shape()));
    return hm_node_output(g, n, HM_F32, n->in[CLS_LOGITS]->shape);
}

static hm_status grad(hm_graph *g, hm_node *n, hm_tensor *const *dout, hm_tensor **din) {
    if (!hm_wants_grad(n, CLS_LOGITS))
        return HM_OK;
    hm_tensor *in[CLS_BACKWARD_INPUTS];
    memcpy(in, n->in, CLS_FORWARD_INPUTS * sizeof *in);
    in[CLS_DLOSS] = dout[0];
    din[CLS_LOGITS] =
        hm_graph_apply(g, &hm_op_class_loss_back, n->attr, sizeof(hm_class_loss_attr), in, CLS_BACKWARD_INPUTS);
    return g->status;
}

/* One partial sum a block. */
static size_t workspace(const hm_node *n, int threads) {
    (void)threads;
    return (size_t)(hm_count(n->in[CLS_LOGITS]) / CLS_BLOCK + 1) * sizeof(double);
}

static size_t cuda_workspace(const hm_node *n) {
    return (size_t)hm_cuda_loss_parts(hm_rows(n->in[CLS_LOGITS], 1), CLS_CUDA_ROWS) * sizeof(double);
}

const hm_op hm_op_class_loss = {
    .name = "class_loss",
    .infer = infer,
    .grad = grad,
    .ref = class_loss_ref,
    .cpu = HM_CPU_KERNELS(class_loss),
    .workspace = workspace,
    .cuda = HM_CUDA_KERNEL(class_loss),
    .cuda_workspace = cuda_workspace,
};

const hm_op hm_op_class_loss_back = {
    .name = "class_loss_back",
    .infer = infer_back,
    .ref = class_loss_back_ref,
    .cpu = HM_CPU_KERNELS(class_loss_back),
    .cuda = HM_CUDA_KERNEL(class_loss_back),
};

hm_tensor *hm_class_loss(hm_graph *g, const hm_prediction *p, const hm_targets *t, hm_tensor *match, int groups) {
    const hm_class_loss_attr a = {.groups = groups};
    hm_tensor *const in[CLS_FORWARD_INPUTS] = {p->logits, p->boxes, t->counts, t->labels, t->boxes, match};
    return hm_graph_apply(g, &hm_op_class_loss, &a, sizeof a, in, CLS_FORWARD_INPUTS);
}
