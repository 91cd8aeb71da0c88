/* proposals.h: the grid of two-stage proposals (upstream transformer.gen_encoder_output_proposals). */
#ifndef HM_OPS_PROPOSALS_H
#define HM_OPS_PROPOSALS_H

#include "graph/graph.h"

typedef struct hm_levels {
    int n;              /* feature levels, finest first */
    int64_t h[4], w[4]; /* of each level's map */
    int power[4];       /* proposal size of a level: 0.05 * 2^power, power = its index in the list of levels */
} hm_levels;

typedef struct hm_proposals {
    hm_tensor *boxes;    /* [B, N, 4] cxcywh in units of the unpadded image; 0 where not valid */
    hm_tensor *valid;    /* U8 [B, N]: unpadded and all four numbers in (0.01, 0.99) exclusive */
    hm_tensor *unpadded; /* U8 [B, N]: the token is not padding */
    hm_tensor *ratios;   /* [B, L, 2]: valid share of width and height per level */
} hm_proposals;

/* padding U8 [B, H, W] (1 = padding; resized to the levels by nearest, index floor(i*H/h)) or NULL for none. N = sum of
 * h*w over the levels, in order. No gradient. Formula: cx = (x + .5) / validW, cy = (y + .5) / validH, w = h = 0.05 *
 * 2^power, where validW and validH count the unpadded entries of a level's first row and column. Needs B because
 * padding may be NULL. */
hm_proposals hm_make_proposals(hm_graph *g, hm_tensor *padding, int64_t B, hm_levels levels);

#endif
