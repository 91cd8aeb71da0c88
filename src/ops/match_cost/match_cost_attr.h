/* match_cost_attr.h: attributes, inputs and workspace of match_cost. */
#ifndef HM_OPS_MATCH_COST_ATTR_H
#define HM_OPS_MATCH_COST_ATTR_H

#include "ops/match_cost/match_cost.h"

typedef struct hm_match_cost_attr {
    hm_cost_weights weight;
    int64_t map_h, map_w;   /* of the mask features */
    int64_t mask_h, mask_w; /* of the targets' masks */
    int64_t points;         /* at which masks are compared; 0 without masks */
    int draw;
} hm_match_cost_attr;

/* logits [B, G*Q, K], boxes [B, G*Q, 4], counts I32 [B], labels I32 [B, T], target boxes [B, T, 4]; with masks also
 * spatial [B, h*w, C], query [B, G*Q, C], bias [1], masks U8 [B, T, bytes] */
enum { MC_LOGITS, MC_BOXES, MC_COUNTS, MC_LABELS, MC_TARGETS, MC_DETECTION_INPUTS };
enum { MC_SPATIAL = MC_DETECTION_INPUTS, MC_QUERY, MC_BIAS, MC_MASKS, MC_INPUTS };

#endif
