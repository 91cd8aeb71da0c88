/* box_loss.h: L1 and generalised IoU of matched boxes. */
#ifndef HM_OPS_BOX_LOSS_H
#define HM_OPS_BOX_LOSS_H

#include "graph/graph.h"

#include "ops/match_cost/match_cost.h"

/* *l1 = sum |pred - target| over matched pairs / num_boxes, *giou = sum (1 - giou) / num_boxes; scalars. Gradient to
 * boxes. xyxy conversion clamps w and h at >= 0; union and enclosing area at >= 1e-7 in the divisions (Rezatofighi et
 * al. 2019). */
void hm_box_loss(hm_graph *g, const hm_prediction *p, const hm_targets *t, hm_tensor *match, int groups, hm_tensor **l1,
                 hm_tensor **giou);

#endif
