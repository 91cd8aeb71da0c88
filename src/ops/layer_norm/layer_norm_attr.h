/* layer_norm_attr.h: attributes of the layer normalisation ops. */
#ifndef HM_OPS_LAYER_NORM_ATTR_H
#define HM_OPS_LAYER_NORM_ATTR_H

#include "graph/graph.h"

typedef struct hm_layer_norm_attr {
    float eps;
} hm_layer_norm_attr;

/* Inputs of layer_norm_back: dout, x, mean, 1/std, gain, and what is added to dx (or none). Outputs: dx; if
 * wanted, sums over parts of the rows [parts, 2, C], which layer_norm_affine adds up to dgain and dbias. */
typedef struct hm_layer_norm_back_attr {
    bool want_affine;
} hm_layer_norm_back_attr;
enum { LNB_DOUT, LNB_X, LNB_MEAN, LNB_SCALE, LNB_GAIN, LNB_PLUS, LNB_INPUTS };

/* The sums over rows are taken in this many parts, a number that depends on the shape alone; on the GPU each is a
 * block's: about four for each of a large chip's multiprocessors. */
static inline int64_t hm_layer_norm_parts(int64_t rows) {
    const int64_t parts = (rows + 15) / 16;
    return parts > 512 ? 512 : parts > 0 ? parts : 1;
}

#define HM_LAYER_NORM_ROW 2048 /* most channels that a kernel widens a row at a time */

/* Kernels take half rows as they are: some tensor is half, the statistics are not, and a row fits. */
static inline bool hm_layer_norm_native(const hm_node *n) {
    const bool back = n->n_in == LNB_INPUTS;
    bool half = false, statistics = false;
    for (int i = 0; i < n->n_in; i++)
        if (n->in[i] == NULL)
            continue;
        else if (back && (i == LNB_MEAN || i == LNB_SCALE))
            statistics |= hm_dtype_is_half(n->in[i]->dtype);
        else
            half |= hm_dtype_is_half(n->in[i]->dtype);
    for (int o = 0; o < n->n_out; o++)
        if (o > 0)
            statistics |= hm_dtype_is_half(n->out[o]->dtype);
        else
            half |= hm_dtype_is_half(n->out[o]->dtype);
    return half && !statistics && hm_dim(n->in[0], -1) <= HM_LAYER_NORM_ROW;
}

#endif
