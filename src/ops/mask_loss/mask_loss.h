/* mask_loss.h: point-sampled mask losses (Kirillov et al. 2020; upstream loss_masks). */
#ifndef HM_OPS_MASK_LOSS_H
#define HM_OPS_MASK_LOSS_H

#include "graph/graph.h"

#include "ops/match_cost/match_cost.h"

/* Upstream's loss_masks. Pairs n are the matched queries in order of (image, query). P = max(mask_h,
 * mask_h*mask_w/point_ratio); 3P candidates from draw `draw` (value (n*3P + p)*2 + {0: x, 1: y}); the floor(0.75 P)
 * with the smallest |logit| are kept (ties: lower index), the other P - floor(.75P) points come from draw `draw + 1`.
 * Logits bilinear with border clamp, labels nearest. *ce = sum_n mean_p BCE / num_boxes, *dice = sum_n [1 - (2 sum s t
 * + 1)/(sum s + sum t + 1)] / num_boxes; 0 without pairs. Gradients to spatial, query, bias; none through the choice of
 * points. Never stores more than a block of pairs' maps. */
void hm_mask_loss(hm_graph *g, const hm_prediction *p, const hm_targets *t, hm_tensor *match, int groups,
                  int point_ratio, int draw, hm_tensor **ce, hm_tensor **dice);

#endif
