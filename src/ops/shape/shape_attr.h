/* shape_attr.h: attributes of the shape ops. */
#ifndef HM_OPS_SHAPE_ATTR_H
#define HM_OPS_SHAPE_ATTR_H

#include "graph/graph.h"

typedef struct hm_permute_attr {
    int perm[HM_MAX_RANK]; /* out.dim[i] = x.dim[perm[i]] */
} hm_permute_attr;

typedef struct hm_concat_attr {
    int axis; /* from the front */
} hm_concat_attr;

/* slice and pad: where the small tensor begins in the large one, and the output's extent along `axis`. */
typedef struct hm_range_attr {
    int axis; /* from the front */
    int64_t start, extent;
} hm_range_attr;

/* Product of the dimensions from `axis` on. */
static inline int64_t hm_tail(hm_shape s, int axis) {
    int64_t n = 1;
    for (int i = axis; i < s.rank; i++)
        n *= s.dim[i];
    return n;
}

#endif
