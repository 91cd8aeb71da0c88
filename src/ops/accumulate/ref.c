/* ref.c: the definition of the sum of gradients. */
#include "graph/op.h"

hm_status hm_accumulate_ref(const hm_call *c);

hm_status hm_accumulate_ref(const hm_call *c) {
    const double *const grad = c->in[1], keep = *(const double *)c->in[2];
    double *const sum = c->out[0];
    for (int64_t i = 0; i < hm_count(c->node->in[0]); i++)
        sum[i] = keep == 0 ? grad[i] : sum[i] + grad[i];
    return HM_OK;
}
