/* select_attr.h: attributes of the ops that choose rows. */
#ifndef HM_OPS_SELECT_ATTR_H
#define HM_OPS_SELECT_ATTR_H

#include "graph/op.h"

typedef struct hm_topk_attr {
    int k;
} hm_topk_attr;

#define HM_TOPK_SHARED 4096 /* most keys that a block of the GPU sorts in shared memory */

/* Keys that the GPU sorts at once for rows of n: all of them, or the best so far and as many new ones as fit. */
static inline int64_t hm_topk_keys(int64_t n, int64_t k) {
    int64_t keys = 64;
    while (keys < n && (keys < HM_TOPK_SHARED || 2 * k > HM_TOPK_SHARED))
        keys *= 2;
    return keys;
}

typedef struct hm_gather_attr {
    int64_t rows; /* N of the tensor that was gathered from */
} hm_gather_attr;

/* Indices come from data: one outside of 0..rows-1 must not touch memory. index [count]. */
static inline hm_status hm_check_indices(const int32_t *index, int64_t count, int64_t rows) {
    for (int64_t i = 0; i < count; i++)
        if (index[i] < 0 || index[i] >= rows)
            HM_FAIL(HM_ERR_INTERNAL, "row index %d is outside of the %lld rows", (int)index[i], (long long)rows);
    return HM_OK;
}

#endif
