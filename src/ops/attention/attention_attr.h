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

/* Numbers of a row of a block of tiles: whole vectors, of which the last may hold numbers that are not used. */
static inline int64_t hm_attention_padded(int64_t n) {
    return (n + 15) / 16 * 16;
}

/* How a node's products are made. */
typedef enum hm_attention_way {
    HM_ATTENTION_F32,     /* everything is fp32 and read and written in place */
    HM_ATTENTION_WIDENED, /* blocks of half tensors are widened, products are fp32's */
    HM_ATTENTION_WORDS,   /* bf16 by pairs (device/cpu/pairs.h) */
    HM_ATTENTION_TILES    /* bf16 by oneDNN, where that uses tiles (device/cpu/gemm_bf16.h) */
} hm_attention_way;
#define HM_ATTENTION_WAYS 4

/* Whether this way suits the node's types; WIDENED suits whatever F32 does not. */
static inline bool hm_attention_takes(const hm_node *n, hm_attention_way way) {
    bool f32 = true, bf16 = true;
    for (int i = 0; i < n->n_in; i++) {
        f32 = f32 && n->in[i]->dtype == HM_F32;
        bf16 = bf16 && (i == 3 || i == 4 || n->in[i]->dtype == HM_BF16); /* y and log-sum-exp are no operands */
    }
    for (int o = 0; o < n->n_out; o++)
        f32 = f32 && n->out[o]->dtype == HM_F32;
    return way == HM_ATTENTION_F32 ? f32 : way == HM_ATTENTION_WIDENED ? !f32 : bf16;
}

/* Where a thread's scratch has what, in floats; sizes Q queries, K keys in a block, d, or words and strides of
 * pairs.h. Tiles keep P and dS in bf16 as they are, in p and ds_sum, and take blocks of Q keys and K queries backward.
 */
typedef struct hm_attention_room {
    size_t max, sum;         /* [Q] running maximum and sum (forward) */
    size_t s, dp;            /* [Q, K] scores, then probabilities; their gradients (backward) */
    size_t dot;              /* [Nq] <dy, y> (backward) */
    size_t q, dy, k, v;      /* operands of a block: fp32, or words summed over d */
    size_t q_sum, dy_sum;    /* words of q, dy summed over queries (backward) */
    size_t k_sum, v_sum;     /* words of k (backward) and v (forward) summed over keys */
    size_t p, p_sum, ds_sum; /* words: rows of P (forward) or dS, summed over keys; P, dS summed over queries */
    size_t y, dk, dv, dq;    /* results in fp32: [Q, d], [K, d], [K, d], [Nq, d] */
    size_t lse, part;        /* tiles: [Nq] log-sum-exp (backward), what a block adds to a result */
    size_t floats;           /* all of it */
} hm_attention_room;

hm_attention_room hm_attention_room_of(const hm_attention_sizes *s, hm_attention_way way, bool back);

#endif
