/* accumulate.h: gradients of several batches added up. */
#ifndef HM_OPS_ACCUMULATE_H
#define HM_OPS_ACCUMULATE_H

#include "graph/graph.h"

/* sum = grad where `keep` (a scalar tensor) is 0, else sum + grad, for n pairs; in place on sums[i] (storage STATE). */
void hm_accumulate(hm_graph *g, hm_tensor *const *sums, hm_tensor *const *grads, int n, hm_tensor *keep);

#endif
