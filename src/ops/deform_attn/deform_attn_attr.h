/* deform_attn_attr.h: attributes of the deform_attn ops. */
#ifndef HM_OPS_DEFORM_ATTN_ATTR_H
#define HM_OPS_DEFORM_ATTN_ATTR_H

#include "ops/proposals/proposals.h"

#define HM_DEFORM_MAX_SAMPLES 64 /* levels * points of a head */
#define HM_DEFORM_CUDA_LINE   64 /* bytes of deform_attn_back's workspace before the sums */

typedef struct hm_deform_attn_attr {
    hm_levels levels;
    int heads, points;
} hm_deform_attn_attr;

/* Numbers that a thread needs to hold one head's values and their gradient, every level within a border of one pixel;
 * a multiple of 16. */
static inline size_t hm_deform_head_floats(const hm_levels *levels, int64_t D) {
    int64_t tokens = 0;
    for (int l = 0; l < levels->n; l++)
        tokens += (levels->h[l] + 2) * (levels->w[l] + 2);
    return (size_t)((2 * tokens * D + 15) / 16 * 16);
}

#endif
