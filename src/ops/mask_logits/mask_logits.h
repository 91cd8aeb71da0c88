/* mask_logits.h: dense mask logits for evaluation. */
#ifndef HM_OPS_MASK_LOGITS_H
#define HM_OPS_MASK_LOGITS_H

#include "graph/graph.h"

/* S [B, HW, C] and query features [B, Q, C], bias [1] -> [B, Q, HW] = <query, S> + bias. Gradients to all three. */
hm_tensor *hm_mask_logits(hm_graph *g, hm_tensor *spatial, hm_tensor *query, hm_tensor *bias);

#endif
