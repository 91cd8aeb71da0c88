/* sine_embed.h: sine embedding of reference boxes (upstream gen_sineembed_for_position). */
#ifndef HM_OPS_SINE_EMBED_H
#define HM_OPS_SINE_EMBED_H

#include "graph/graph.h"

/* ref [B, Q, 4] cxcywh times the ratios [B, L, 2] of level 0 (w, h, w, h), then for each coordinate v dim/2 numbers
 * e_i: a = v * 2pi / 10000^(2*floor(i/2)/(dim/2)), sin for even i and cos for odd; joined in the order (y, x, w, h):
 * [B, Q, 2*dim] (dim = hidden size d, so dim/2 numbers per coordinate). Gradient to ref. */
hm_tensor *hm_sine_embed(hm_graph *g, hm_tensor *ref, hm_tensor *ratios, int dim);

#endif
