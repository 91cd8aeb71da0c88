/* grid_mask_loss.h: losses of masks that are predicted on a small grid (RF-DETR-Mask's head; Dice: Milletari et al.
 * 2016, "V-Net"). */
#ifndef HM_OPS_GRID_MASK_LOSS_H
#define HM_OPS_GRID_MASK_LOSS_H

#include "ops/match_cost/match_cost.h"

/* Of the matched queries n: targets t are the true masks resized bilinearly to the grid (no antialiasing, align_corners
 * False) and thresholded at 0.5; s = sigmoid(logits). *ce = sum_n mean BCE(logits, t) / num_boxes, *dice = sum_n [1 -
 * (2 sum s t + 1)/(sum s + sum t + 1)] / num_boxes; 0 without pairs. p->grid [B, G*Q, mask_h * mask_w]; gradient to it.
 */
void hm_grid_mask_loss(hm_graph *g, const hm_prediction *p, const hm_targets *t, hm_tensor *match, int groups,
                       hm_tensor **ce, hm_tensor **dice);

#endif
