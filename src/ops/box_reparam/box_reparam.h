/* box_reparam.h: boxes from deltas against reference boxes (upstream bbox_reparam). */
#ifndef HM_OPS_BOX_REPARAM_H
#define HM_OPS_BOX_REPARAM_H

#include "graph/graph.h"

/* delta, ref [..., 4] cxcywh -> (d_xy * ref_wh + ref_xy, exp(d_wh) * ref_wh). ref may have fewer leading dimensions of
 * equal count only through hm_broadcast/hm_reshape: shapes must be equal. Gradients to both. */
hm_tensor *hm_box_reparam(hm_graph *g, hm_tensor *delta, hm_tensor *ref);

#endif
