/* attention.h: multi-head softmax attention, never storing the score matrix. */
#ifndef HM_OPS_ATTENTION_H
#define HM_OPS_ATTENTION_H

#include "graph/graph.h"

/* softmax(q k^T / sqrt(C/heads)) v for each head (heads are consecutive channel blocks): q [B, Nq, C], k and v
 * [B, Nk, C] -> [B, Nq, C]. Keeps one log-sum-exp per row and head; the backward op recomputes the scores by blocks
 * (Dao et al. 2022). */
hm_tensor *hm_attention(hm_graph *g, hm_tensor *q, hm_tensor *k, hm_tensor *v, int heads);

#endif
