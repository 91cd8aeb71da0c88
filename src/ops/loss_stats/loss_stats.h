/* loss_stats.h: what upstream logs beside the losses. */
#ifndef HM_OPS_LOSS_STATS_H
#define HM_OPS_LOSS_STATS_H

#include "graph/graph.h"

#include "ops/match_cost/match_cost.h"

/* match I32 [B, G*Q] as from hm_assign. *class_error = 100 - 100 * share of matched pairs whose largest logit (the
 * first of equals) is the target's class (100 with no pair); *cardinality_error = mean over images of |number of
 * queries whose largest logit is positive (score above 0.5) - counts[b]|; all G*Q queries are counted, as upstream
 * does. A query with a NaN logit counts as wrong and as not confident. Scalars; no gradient. */
void hm_loss_stats(hm_graph *g, const hm_prediction *p, const hm_targets *t, hm_tensor *match, hm_tensor **class_error,
                   hm_tensor **cardinality_error);

#endif
