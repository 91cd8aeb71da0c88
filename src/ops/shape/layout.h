/* layout.h: a permutation as few dimensions as possible. */
#ifndef HM_OPS_SHAPE_LAYOUT_H
#define HM_OPS_SHAPE_LAYOUT_H

#include <string.h>

#include "ops/shape/shape_attr.h"

/* Output dimensions with their strides in the input; neighbours that stay together are joined, those of 1 are gone. */
typedef struct hm_layout {
    int rank; /* at least 1 */
    int64_t dim[HM_MAX_RANK], in[HM_MAX_RANK], out[HM_MAX_RANK];
} hm_layout;

static inline hm_layout hm_layout_of(hm_shape from, hm_shape to, const int *perm) {
    hm_layout l;
    memset(&l, 0, sizeof l);
    for (int i = 0; i < to.rank; i++) {
        const int64_t stride = hm_tail(from, perm[i] + 1);
        if (to.dim[i] == 1)
            continue;
        if (l.rank > 0 && l.in[l.rank - 1] == stride * to.dim[i]) {
            l.dim[l.rank - 1] *= to.dim[i];
            l.in[l.rank - 1] = stride;
        } else {
            l.dim[l.rank] = to.dim[i];
            l.in[l.rank++] = stride;
        }
    }
    if (l.rank == 0) {
        l.rank = 1;
        l.dim[0] = 1;
        l.in[0] = 1;
    }
    int64_t stride = 1;
    for (int i = l.rank - 1; i >= 0; i--) {
        l.out[i] = stride;
        stride *= l.dim[i];
    }
    return l;
}

/* The output dimension that is contiguous in the input. */
static inline int hm_layout_contiguous(const hm_layout *l) {
    int found = l->rank - 1;
    for (int i = 0; i < l->rank; i++)
        found = l->in[i] == 1 ? i : found;
    return found;
}

#endif
