/* weighted_sum.h: the total loss. */
#ifndef HM_OPS_WEIGHTED_SUM_H
#define HM_OPS_WEIGHTED_SUM_H

#include "graph/graph.h"

/* sum_i weights[i] * terms[i], scalars. */
hm_tensor *hm_weighted_sum(hm_graph *g, hm_tensor *const *terms, const float *weights, int n);

#endif
