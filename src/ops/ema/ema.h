/* ema.h: exponential moving average of weights. */
#ifndef HM_OPS_EMA_H
#define HM_OPS_EMA_H

#include "graph/graph.h"

/* average = average * decay + p * (1 - decay) for n pairs, in place on averages[i] (storage STATE); decay is a scalar
 * tensor (0 copies). skip: scalar, not 0 when nothing may move; NULL: never. Must be appended after the update of the
 * weights. */
void hm_ema(hm_graph *g, hm_tensor *const *averages, hm_tensor *const *p, int n, hm_tensor *decay, hm_tensor *skip);

#endif
