/* class_loss.h: IoU-aware binary cross-entropy (upstream ia_bce_loss). */
#ifndef HM_OPS_CLASS_LOSS_H
#define HM_OPS_CLASS_LOSS_H

#include "graph/graph.h"

#include "ops/match_cost/match_cost.h"

/* Upstream's ia_bce_loss: with p = sigmoid(x); for a matched pair u = IoU(predicted box, target), t = max(0.01, p^0.25
 * u^0.75), both constants; positive weight t and negative weight 1 - t there, 0 and p^2 elsewhere (p^2 with its
 * gradient). sum(w- x + softplus(-x)(w+ + w-)) / num_boxes, num_boxes = max(1, G * sum(counts)). -> scalar. Gradient to
 * logits only. */
hm_tensor *hm_class_loss(hm_graph *g, const hm_prediction *p, const hm_targets *t, hm_tensor *match, int groups);

#endif
