/* mask_loss.c: builder, inference and gradient rule; formulas in mask_loss.h. */
#include "ops/mask_loss/mask_loss.h"

#include <string.h>

#include "graph/op.h"
#include "ops/carve.h"
#include "ops/dots.h"
#include "ops/mask_loss/mask_loss_attr.h"
#include "ops/mask_loss/mask_loss_cuda.h"
#include "ops/targets.h"

HM_CPU_DECLARE(mask_loss);
HM_CPU_DECLARE(mask_loss_back);
HM_CUDA_DECLARE(mask_loss);
HM_CUDA_DECLARE(mask_loss_back);
hm_status mask_loss_ref(const hm_call *c);
hm_status mask_loss_back_ref(const hm_call *c);
extern const hm_op hm_op_mask_loss, hm_op_mask_loss_back;

static hm_status infer_inputs(const hm_node *n) {
    const hm_mask_loss_attr *const a = n->attr;
    HM_NODE_CHECK(n, a->map_h > 0 && a->map_w > 0 && a->mask_h > 0 && a->mask_w > 0, "masks without size");
    HM_NODE_CHECK(n, a->groups >= 1, "%d groups", a->groups);
    HM_TRY(hm_infer_input(n, ML_SPATIAL, "mask features", HM_F32, HM_SHAPE(-1, a->map_h * a->map_w, -1)));
    const int64_t images = hm_dim(n->in[ML_SPATIAL], 0), channels = hm_dim(n->in[ML_SPATIAL], 2);
    HM_TRY(hm_infer_input(n, ML_QUERY, "query features", HM_F32, HM_SHAPE(images, -1, channels)));
    HM_TRY(hm_infer_input(n, ML_BIAS, "the mask bias", HM_F32, HM_SHAPE(1)));
    HM_TRY(hm_infer_input(n, ML_COUNTS, "counts", HM_I32, HM_SHAPE(images)));
    HM_TRY(hm_infer_input(n, ML_MASKS, "target masks", HM_U8, HM_SHAPE(images, -1, (a->mask_h * a->mask_w + 7) / 8)));
    return hm_infer_input(n, ML_MATCH, "match", HM_I32, HM_SHAPE(images, hm_dim(n->in[ML_QUERY], 1)));
}

static hm_shape pick_shape(const hm_node *n) {
    const hm_mask_loss_attr *const a = n->attr;
    return HM_SHAPE(hm_dim(n->in[ML_QUERY], 0), hm_mask_loss_most(n), hm_mask_loss_words(a) + a->points);
}

static hm_status infer(hm_graph *g, hm_node *n) {
    HM_TRY(infer_inputs(n));
    HM_TRY(hm_node_output(g, n, HM_F32, hm_scalar_shape()));
    HM_TRY(hm_node_output(g, n, HM_F32, hm_scalar_shape()));
    return hm_node_output(g, n, HM_I32, pick_shape(n));
}

static hm_status infer_back(hm_graph *g, hm_node *n) {
    HM_TRY(infer_inputs(n));
    HM_TRY(hm_infer_input(n, ML_PICKED, "the points", HM_I32, pick_shape(n)));
    for (int i = ML_SPATIAL; i <= ML_BIAS; i++)
        HM_TRY(hm_node_output(g, n, HM_F32, n->in[i]->shape));
    return HM_OK;
}

static hm_status grad(hm_graph *g, hm_node *n, hm_tensor *const *dout, hm_tensor **din) {
    hm_tensor *in[ML_BACKWARD_INPUTS];
    memcpy(in, n->in, ML_FORWARD_INPUTS * sizeof *in);
    in[ML_PICKED] = n->out[ML_PICK];
    in[ML_DCE] = dout[ML_CE];
    in[ML_DDICE] = dout[ML_DICE];
    const hm_node *const back =
        hm_graph_node(g, &hm_op_mask_loss_back, n->attr, sizeof(hm_mask_loss_attr), in, ML_BACKWARD_INPUTS);
    for (int i = ML_SPATIAL; i <= ML_BIAS && back != NULL; i++)
        if (hm_wants_grad(n, i))
            din[i] = back->out[i];
    return g->status;
}

static size_t workspace(const hm_node *n, int threads) {
    const hm_mask_loss_attr *const a = n->attr;
    const int64_t channels = hm_dim(n->in[ML_SPATIAL], 2), queries = hm_dim(n->in[ML_QUERY], 1);
    hm_carve k = {0};
    hm_carve_take(&k, HM_DOTS_ROWS * hm_dots_stride(a->map_h * a->map_w)); /* maps of a block of pairs */
    hm_carve_take(&k, threads * channels * HM_DOTS_PANEL);                 /* hm_dots */
    hm_carve_take(&k, threads * 17 * a->points);                           /* points of one pair */
    hm_carve_take(&k, HM_DOTS_ROWS * 3);                                   /* results of a block's pairs */
    hm_carve_take(&k, queries);                                            /* matched queries of one image */
    for (int i = 0; i < 4; i++)
        hm_carve_take(&k, hm_mask_loss_room(n, i));
    return k.floats * sizeof(float);
}

static bool native(const hm_node *n) {
    (void)n;
    return true;
}

static size_t cuda_workspace(const hm_node *n) {
    return hm_mask_loss_layout(n, false).bytes;
}

static size_t back_cuda_workspace(const hm_node *n) {
    return hm_mask_loss_layout(n, true).bytes;
}

const hm_op hm_op_mask_loss = {
    .name = "mask_loss",
    .infer = infer,
    .grad = grad,
    .ref = mask_loss_ref,
    .cpu = HM_CPU_KERNELS(mask_loss),
    .native = native,
    .workspace = workspace,
    .cuda = HM_CUDA_KERNEL(mask_loss),
    .cuda_workspace = cuda_workspace,
};

const hm_op hm_op_mask_loss_back = {
    .name = "mask_loss_back",
    .infer = infer_back,
    .ref = mask_loss_back_ref,
    .cpu = HM_CPU_KERNELS(mask_loss_back),
    .native = native,
    .workspace = workspace,
    .cuda = HM_CUDA_KERNEL(mask_loss_back),
    .cuda_workspace = back_cuda_workspace,
};

void hm_mask_loss(hm_graph *g, const hm_prediction *p, const hm_targets *t, hm_tensor *match, int groups,
                  int point_ratio, int draw, hm_tensor **ce, hm_tensor **dice) {
    *ce = *dice = NULL;
    if (point_ratio < 1) {
        hm_graph_fail(g, HM_ERR_ARG, "the mask loss's point ratio is %d; it must be at least 1", point_ratio);
        return;
    }
    const int64_t some = p->mask_h * p->mask_w / point_ratio, points = some > p->mask_h ? some : p->mask_h;
    const hm_mask_loss_attr a = {.groups = groups,
                                 .draw = draw,
                                 .map_h = p->mask_h,
                                 .map_w = p->mask_w,
                                 .mask_h = t->mask_h,
                                 .mask_w = t->mask_w,
                                 .points = points,
                                 .chosen = points * 3 / 4};
    hm_tensor *const in[ML_FORWARD_INPUTS] = {p->spatial, p->query, p->bias, t->counts, t->masks, match};
    const hm_node *const n = hm_graph_node(g, &hm_op_mask_loss, &a, sizeof a, in, ML_FORWARD_INPUTS);
    if (n == NULL)
        return;
    *ce = n->out[ML_CE];
    *dice = n->out[ML_DICE];
}
