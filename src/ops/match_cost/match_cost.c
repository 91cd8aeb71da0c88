/* match_cost.c: builder and inference; formulas in match_cost.h. */
#include "ops/match_cost/match_cost.h"

#include "graph/op.h"
#include "ops/carve.h"
#include "ops/dots.h"
#include "ops/match_cost/match_cost_attr.h"
#include "ops/match_cost/match_cost_cuda.h"
#include "ops/targets.h"

HM_CPU_DECLARE(match_cost);
HM_CUDA_DECLARE(match_cost);
hm_status match_cost_ref(const hm_call *c);
extern const hm_op hm_op_match_cost;

static hm_status infer_masks(const hm_node *n, int64_t images, int64_t queries, int64_t capacity) {
    const hm_match_cost_attr *const a = n->attr;
    HM_NODE_CHECK(n, a->map_h > 0 && a->map_w > 0 && a->mask_h > 0 && a->mask_w > 0, "masks without size");
    HM_NODE_CHECK(n, a->points > 0, "mask features of %lldx%lld pixels leave no point to compare", (long long)a->map_h,
                  (long long)a->map_w);
    HM_TRY(hm_infer_input(n, MC_SPATIAL, "mask features", HM_F32, HM_SHAPE(images, a->map_h * a->map_w, -1)));
    const int64_t channels = hm_dim(n->in[MC_SPATIAL], 2);
    HM_TRY(hm_infer_input(n, MC_QUERY, "query features", HM_F32, HM_SHAPE(images, queries, channels)));
    HM_TRY(hm_infer_input(n, MC_BIAS, "the mask bias", HM_F32, HM_SHAPE(1)));
    return hm_infer_input(n, MC_MASKS, "target masks", HM_U8,
                          HM_SHAPE(images, capacity, (a->mask_h * a->mask_w + 7) / 8));
}

static hm_status infer(hm_graph *g, hm_node *n) {
    HM_TRY(hm_infer_input(n, MC_LOGITS, "logits", HM_F32, HM_SHAPE(-1, -1, -1)));
    const int64_t images = hm_dim(n->in[MC_LOGITS], 0), queries = hm_dim(n->in[MC_LOGITS], 1);
    HM_TRY(hm_infer_input(n, MC_BOXES, "predicted boxes", HM_F32, HM_SHAPE(images, queries, 4)));
    HM_TRY(hm_infer_input(n, MC_COUNTS, "counts", HM_I32, HM_SHAPE(images)));
    HM_TRY(hm_infer_input(n, MC_LABELS, "labels", HM_I32, HM_SHAPE(images, -1)));
    const int64_t capacity = hm_dim(n->in[MC_LABELS], 1);
    HM_TRY(hm_infer_input(n, MC_TARGETS, "target boxes", HM_F32, HM_SHAPE(images, capacity, 4)));
    if (n->n_in == MC_INPUTS)
        HM_TRY(infer_masks(n, images, queries, capacity));
    return hm_node_output(g, n, HM_F32, HM_SHAPE(images, queries, capacity));
}

static size_t workspace(const hm_node *n, int threads) {
    const hm_match_cost_attr *const a = n->attr;
    if (n->n_in != MC_INPUTS)
        return 0;
    const int64_t channels = hm_dim(n->in[MC_SPATIAL], 2), capacity = hm_dim(n->in[MC_LABELS], 1);
    hm_carve k = {0};
    hm_carve_take(&k, 2 * a->points);                            /* x, y */
    hm_carve_take(&k, a->points * channels);                     /* features at the points */
    hm_carve_take(&k, capacity * a->points);                     /* target labels at the points */
    hm_carve_take(&k, HM_DOTS_ROWS * hm_dots_stride(a->points)); /* logits of a block of queries */
    hm_carve_take(&k, threads * channels * HM_DOTS_PANEL);       /* hm_dots */
    hm_carve_take(&k, threads * 2 * hm_dots_stride(a->points));  /* one query's sigmoids and positive parts */
    return k.floats * sizeof(float);
}

static size_t cuda_workspace(const hm_node *n) {
    return hm_match_cost_layout(n).bytes;
}

const hm_op hm_op_match_cost = {
    .name = "match_cost",
    .infer = infer,
    .no_grad = true,
    .ref = match_cost_ref,
    .cpu = HM_CPU_KERNELS(match_cost),
    .workspace = workspace,
    .cuda = HM_CUDA_KERNEL(match_cost),
    .cuda_workspace = cuda_workspace,
};

hm_tensor *hm_match_cost(hm_graph *g, const hm_prediction *p, const hm_targets *t, hm_cost_weights weights,
                         int point_ratio, int draw) {
    hm_match_cost_attr a = {.weight = weights, .draw = draw};
    const bool masks = p->spatial != NULL;
    if (masks) {
        if (point_ratio < 1)
            return hm_graph_fail(g, HM_ERR_ARG, "the matcher's point ratio is %d; it must be at least 1", point_ratio);
        a.map_h = p->mask_h;
        a.map_w = p->mask_w;
        a.mask_h = t->mask_h;
        a.mask_w = t->mask_w;
        a.points = p->mask_h * p->mask_w / point_ratio;
    }
    hm_tensor *const in[MC_INPUTS] = {p->logits,  p->boxes, t->counts, t->labels, t->boxes,
                                      p->spatial, p->query, p->bias,   t->masks};
    return hm_graph_apply(g, &hm_op_match_cost, &a, sizeof a, in, masks ? MC_INPUTS : MC_DETECTION_INPUTS);
}
