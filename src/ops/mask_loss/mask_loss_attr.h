/* mask_loss_attr.h: attributes and inputs of mask_loss and its gradient. */
#ifndef HM_OPS_MASK_LOSS_ATTR_H
#define HM_OPS_MASK_LOSS_ATTR_H

#include "graph/graph.h"

typedef struct hm_mask_loss_attr {
    int groups, draw;
    int64_t map_h, map_w;   /* of the mask features */
    int64_t mask_h, mask_w; /* of the targets' masks */
    int64_t points;         /* P: kept for each pair */
    int64_t chosen;         /* floor(0.75 P): of them, picked among 3P by uncertainty; the others are new draws */
} hm_mask_loss_attr;

/* spatial [B, h*w, C], query [B, G*Q, C], bias [1], counts I32 [B], masks U8 [B, T, bytes], match I32 [B, G*Q];
 * backward also the forward pass's points and the losses' gradients (each of these may be absent) */
enum { ML_SPATIAL, ML_QUERY, ML_BIAS, ML_COUNTS, ML_MASKS, ML_MATCH, ML_FORWARD_INPUTS };
enum { ML_PICKED = ML_FORWARD_INPUTS, ML_DCE, ML_DDICE, ML_BACKWARD_INPUTS };

/* Forward: both losses and what the gradient needs of the points, I32 [B, most, words + P] by an image's n-th pair:
 * bit i % 32 of word i / 32 is set where candidate i was chosen, then the logits (as floats) at the points, chosen
 * ones first. */
enum { ML_CE, ML_DICE, ML_PICK };

static inline int64_t hm_mask_loss_words(const hm_mask_loss_attr *a) {
    return (3 * a->points + 31) / 32;
}

/* Pairs that an image can have. */
static inline int64_t hm_mask_loss_most(const hm_node *n) {
    const hm_mask_loss_attr *const a = (const hm_mask_loss_attr *)n->attr;
    const int64_t queries = hm_dim(n->in[ML_QUERY], 1), targets = a->groups * hm_dim(n->in[ML_MASKS], 1);
    return queries < targets ? queries : targets;
}

/* Whether products take half operands as they are. */
static inline bool hm_mask_loss_half(const hm_node *n) {
    const hm_dtype type = n->in[ML_QUERY]->dtype;
    return hm_dtype_is_half(type) && type == n->in[ML_SPATIAL]->dtype;
}

/* Room for one image of spatial features, query features and their gradients (0 to 3), where they are stored in half:
 * numbers. */
static inline int64_t hm_mask_loss_room(const hm_node *n, int which) {
    if (which >= 2 && n->n_in == ML_FORWARD_INPUTS)
        return 0;
    const hm_tensor *const t = which < 2 ? n->in[which] : n->out[which - 2];
    return hm_dtype_is_half(t->dtype) && hm_dim(t, 0) > 0 ? hm_count(t) / hm_dim(t, 0) : 0;
}

#endif
