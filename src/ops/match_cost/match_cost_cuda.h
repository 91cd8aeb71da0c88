/* match_cost_cuda.h: the workspace of the GPU's kernels. */
#ifndef HM_OPS_MATCH_COST_CUDA_H
#define HM_OPS_MATCH_COST_CUDA_H

#include "graph/op.h"
#include "ops/match_cost/match_cost_attr.h"

#define HM_MC_LANE 12                /* points of a lane at a time */
#define HM_MC_STEP (32 * HM_MC_LANE) /* points of a warp at a time */

/* Offsets in bytes. */
typedef struct hm_match_cost_room {
    int64_t words;  /* of 32 points' labels for each target: whole steps of a warp */
    int64_t stride; /* of the logits of a query */
    int64_t images; /* whose logits are made at a time: they should stay in the second-level cache */
    size_t bad;     /* int [B]: the image has a cost that is not finite */
    size_t sampled; /* [B, P, C] features at the points, in the type of the query features */
    size_t bits;    /* uint32 [B, T, words] labels */
    size_t sizes;   /* int [B, T] points inside the target */
    size_t logits;  /* float [images, Q, stride] */
    size_t bytes;
} hm_match_cost_room;

static inline size_t hm_mc_take(hm_match_cost_room *r, int64_t bytes) {
    const size_t at = r->bytes;
    r->bytes += ((size_t)bytes + 255) / 256 * 256;
    return at;
}

static inline hm_match_cost_room hm_match_cost_layout(const hm_node *n) {
    const hm_match_cost_attr *const a = (const hm_match_cost_attr *)n->attr;
    const int64_t B = hm_dim(n->in[MC_LOGITS], 0), Q = hm_dim(n->in[MC_LOGITS], 1), T = hm_dim(n->in[MC_LABELS], 1);
    hm_match_cost_room r = {0, 0, 0, 0, 0, 0, 0, 0, 0};
    r.bad = hm_mc_take(&r, B * 4);
    if (n->n_in != MC_INPUTS)
        return r;
    r.words = (a->points + HM_MC_STEP - 1) / HM_MC_STEP * HM_MC_LANE;
    r.stride = (a->points + 31) / 32 * 32;
    const int64_t one = Q * r.stride * 4, fit = one > 0 ? ((int64_t)32 << 20) / one : B;
    r.images = fit < 1 ? 1 : fit < B ? fit : B;
    r.sampled =
        hm_mc_take(&r, B * a->points * hm_dim(n->in[MC_QUERY], 2) * (int64_t)hm_dtype_size(n->in[MC_QUERY]->dtype));
    r.bits = hm_mc_take(&r, B * T * r.words * 4);
    r.sizes = hm_mc_take(&r, B * T * 4);
    r.logits = hm_mc_take(&r, r.images * one);
    return r;
}

#endif
