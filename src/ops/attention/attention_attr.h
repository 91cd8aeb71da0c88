/* attention_attr.h: sizes of attention nodes, shared by builder and kernels.
 * attention: in q [B, Nq, C], k, v [B, Nk, C]; out y [B, Nq, C], log-sum-exp [B, heads, Nq].
 * attention_back: in q, k, v, y, log-sum-exp, dy; out dq, dk, dv. */
#ifndef HM_OPS_ATTENTION_ATTR_H
#define HM_OPS_ATTENTION_ATTR_H

#include "graph/op.h"

typedef struct hm_attention_attr {
    int heads;
} hm_attention_attr;

typedef struct hm_attention_sizes {
    int64_t batch, heads, nq, nk, c, d; /* d = c / heads */
} hm_attention_sizes;

static inline hm_attention_sizes hm_attention_sizes_of(const hm_node *n) {
    const int64_t heads = ((const hm_attention_attr *)n->attr)->heads;
    return (hm_attention_sizes){.batch = hm_dim(n->in[0], 0),
                                .heads = heads,
                                .nq = hm_dim(n->in[0], 1),
                                .nk = hm_dim(n->in[1], 1),
                                .c = hm_dim(n->in[0], 2),
                                .d = hm_dim(n->in[0], 2) / heads};
}

/* Scores are computed in blocks of at most this many queries and keys: one fits the second-level cache. */
#define HM_ATTENTION_Q 128
#define HM_ATTENTION_K 384

static inline int64_t hm_attention_min(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* Equal blocks of at most `most`; 1 for nothing. */
static inline int64_t hm_attention_block(int64_t n, int64_t most) {
    const int64_t blocks = (n + most - 1) / most;
    return blocks > 0 ? (n + blocks - 1) / blocks : 1;
}

/* Floats of scratch memory for one thread, a multiple of 16. */
static inline int64_t hm_attention_scratch(const hm_attention_sizes *s, bool back) {
    const int64_t block = hm_attention_min(s->nq, HM_ATTENTION_Q) * hm_attention_min(s->nk, HM_ATTENTION_K);
    const int64_t floats = back ? 2 * block + s->nq : block + 2 * hm_attention_min(s->nq, HM_ATTENTION_Q);
    return (floats + 15) / 16 * 16;
}

#endif
