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

/* The same on the GPU, where each part is a block's: about four for each of a large chip's multiprocessors. */
static inline int hm_layer_norm_cuda_parts(int64_t rows) {
    const int64_t blocks = (rows + 15) / 16;
    return blocks > 512 ? 512 : blocks > 0 ? (int)blocks : 1;
}

#define HM_LAYER_NORM_ROW 2048 /* most channels that a kernel widens a row at a time */

/* Kernels take half rows as they are: some tensor is half, the statistics are not, and a row fits. */
static inline bool hm_layer_norm_native(const hm_node *n) {
    const bool back = n->n_in == 5;
    bool half = false, statistics = false;
    for (int i = 0; i < n->n_in; i++)
        if (back && (i == 2 || i == 3))
            statistics |= hm_dtype_is_half(n->in[i]->dtype);
        else
            half |= hm_dtype_is_half(n->in[i]->dtype);
    for (int o = 0; o < n->n_out; o++)
        if (!back && o > 0)
            statistics |= hm_dtype_is_half(n->out[o]->dtype);
        else
            half |= hm_dtype_is_half(n->out[o]->dtype);
    return half && !statistics && hm_dim(n->in[0], -1) <= HM_LAYER_NORM_ROW;
}

#endif
