/* resize_attr.h: attributes of the resize ops, and the weights of one axis as a sparse matrix. */
#ifndef HM_OPS_RESIZE_ATTR_H
#define HM_OPS_RESIZE_ATTR_H

#include "ops/resize/resize.h"

typedef struct hm_resize_attr {
    int64_t in[2], out[2]; /* height and width of the forward input and output */
    hm_resize_mode mode;
} hm_resize_attr;

/* Row i combines the entries first[i]..first[i+1]-1: weight[e] times row at[e] of the source. */
typedef struct hm_taps {
    int64_t *first; /* [rows + 1] */
    int64_t *at;    /* [entries] */
    float *weight;  /* [entries] */
} hm_taps;

/* Bytes of memory for the taps of one axis (the same either way round). */
size_t hm_taps_bytes(hm_resize_mode mode, int64_t in, int64_t out);
/* The outputs as sums over the inputs, laid out in `memory`. */
hm_taps hm_taps_make(void *memory, hm_resize_mode mode, int64_t in, int64_t out);
/* The transposed matrix, for the gradient: the inputs as sums over the outputs. */
hm_taps hm_taps_turn(void *memory, const hm_taps *t, int64_t in, int64_t out);

#endif
