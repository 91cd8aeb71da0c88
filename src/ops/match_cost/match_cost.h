/* match_cost.h: the matcher's cost matrix, one fused pass (upstream HungarianMatcher). */
#ifndef HM_OPS_MATCH_COST_H
#define HM_OPS_MATCH_COST_H

#include "graph/graph.h"

/* What the criterion knows of a batch. T = capacity per image; rows past counts[b] are ignored. */
typedef struct hm_targets {
    hm_tensor *counts;      /* I32 [B] */
    hm_tensor *labels;      /* I32 [B, T] */
    hm_tensor *boxes;       /* [B, T, 4] cxcywh relative to the image */
    hm_tensor *masks;       /* U8 [B, T, ceil(H*W/8)] row-major bits, most significant first; NULL in detection */
    int64_t mask_h, mask_w; /* pixels of the masks */
} hm_targets;

/* Predictions of one output (a decoder layer, or the proposals). */
typedef struct hm_prediction {
    hm_tensor *logits;      /* [B, G*Q, K] */
    hm_tensor *boxes;       /* [B, G*Q, 4] cxcywh */
    hm_tensor *spatial;     /* [B, h*w, C] channels-last mask features, or NULL */
    hm_tensor *query;       /* [B, G*Q, C] */
    hm_tensor *bias;        /* [1] */
    hm_tensor *grid;        /* instead of spatial and query: mask logits [B, G*Q, h*w], or NULL */
    int64_t mask_h, mask_w; /* of spatial or grid */
} hm_prediction;

typedef struct hm_cost_weights {
    float bbox, cls, giou, mask_ce, mask_dice; /* 5, 2, 2, 5, 5 */
} hm_cost_weights;

/* cost [B, G*Q, T]; columns past counts[b] are 0. Masks are compared at P = mask_h*mask_w / point_ratio points, draw
 * number `draw` of the step: stream "rand.<step>.<draw as %03d>" (base/rng.h, hm_rng_key(seed, …)), value 2p is x, 2p+1
 * is y of point p (shape [1, P, 2]), shared by all images. A non-finite entry is replaced by (largest finite) +
 * max|finite| + 1 of its image (1 if none is finite). No gradient. */
hm_tensor *hm_match_cost(hm_graph *g, const hm_prediction *p, const hm_targets *t, hm_cost_weights weights,
                         int point_ratio, int draw);

#endif
