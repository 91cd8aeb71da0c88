/* accumulate.h: gradients of several batches added up. */
#ifndef HM_OPS_ACCUMULATE_H
#define HM_OPS_ACCUMULATE_H

#include "graph/graph.h"

/* sum = grad where `keep` (a scalar tensor) is 0, else sum + grad; in place on `sum` (storage STATE). */
void hm_accumulate(hm_graph *g, hm_tensor *sum, hm_tensor *grad, hm_tensor *keep);

#endif
