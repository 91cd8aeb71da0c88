/* deform_attn.h: multi-scale deformable attention (Zhu et al. 2021). */
#ifndef HM_OPS_DEFORM_ATTN_H
#define HM_OPS_DEFORM_ATTN_H

#include "graph/graph.h"

#include "ops/proposals/proposals.h"

/* value [B, N, C] (N over all levels, head m owns channels m*C/M..), offsets [B, Q, M*L*P*2] (x, y), logits [B, Q,
 * M*L*P] (softmax over the L*P numbers of a head inside), ref [B, Q, 4] cxcywh, ratios [B, L, 2] -> [B, Q, C]. Position
 * in level l: ref_xy * ratios_l + offset / P * (ref_wh * ratios_l) * 0.5; bilinear, zero outside, pixel = x * W - 0.5.
 * Gradients to value, offsets, logits, ref. */
hm_tensor *hm_deform_attn(hm_graph *g, hm_tensor *value, hm_tensor *offsets, hm_tensor *logits, hm_tensor *ref,
                          hm_tensor *ratios, hm_levels levels, int heads, int points);

#endif
