/* product.h: what a product on the GPU needs besides its operands and its result. lt_gemm multiplies operands of one
 * type into that type or fp32. Nodes where types differ otherwise are rare (half parameters in a layer that stays in
 * fp32); they get fp32 copies in the workspace, and their result is rounded once, from fp32. */
#ifndef HM_OPS_PRODUCT_H
#define HM_OPS_PRODUCT_H

#include "graph/graph.h"
#include "ops/carve.h"

typedef struct hm_product_room {
    hm_dtype type, out;            /* of the product */
    bool widen_a, widen_b, narrow; /* through copies */
    size_t a, b, c, floats;        /* where the copies are in the workspace, in floats; and how many there are */
} hm_product_room;

/* sums: the product is added up in c, which must be fp32 for that. */
static inline hm_product_room hm_product_room_of(const hm_tensor *a, const hm_tensor *b, const hm_tensor *c,
                                                 bool sums) {
    hm_carve k = {0};
    hm_product_room r;
    r.type = a->dtype == b->dtype ? a->dtype : HM_F32;
    r.widen_a = a->dtype != r.type;
    r.widen_b = b->dtype != r.type;
    r.narrow = c->dtype != HM_F32 && (sums || c->dtype != r.type);
    r.out = r.narrow ? HM_F32 : c->dtype;
    r.a = hm_carve_take(&k, r.widen_a ? hm_count(a) : 0);
    r.b = hm_carve_take(&k, r.widen_b ? hm_count(b) : 0);
    r.c = hm_carve_take(&k, r.narrow ? hm_count(c) : 0);
    r.floats = k.floats;
    return r;
}

#endif
