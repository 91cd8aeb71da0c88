/* layer_norm_attr.h: attributes of the layer normalisation ops. */
#ifndef HM_OPS_LAYER_NORM_ATTR_H
#define HM_OPS_LAYER_NORM_ATTR_H

#include "graph/graph.h"

typedef struct hm_layer_norm_attr {
    float eps;
} hm_layer_norm_attr;

/* Outputs of layer_norm_back, in this order, as far as wanted: dx; dgain and dbias. */
typedef struct hm_layer_norm_back_attr {
    bool want_x, want_affine;
} hm_layer_norm_back_attr;

/* The sums over rows are taken in this many parts, a number that depends on the shape alone. */
static inline int64_t hm_layer_norm_parts(int64_t rows) {
    return rows < 64 ? 1 : rows > 1024 ? 16 : rows / 64;
}

#endif
