/* cast.h: a tensor stored in another floating-point type. */
#ifndef HM_OPS_CAST_H
#define HM_OPS_CAST_H

#include "graph/graph.h"

/* x rounded to `to` (HM_F32, HM_F16, HM_BF16), to nearest, ties to even. The gradient passes unchanged. */
hm_tensor *hm_cast(hm_graph *g, hm_tensor *x, hm_dtype to);

#endif
