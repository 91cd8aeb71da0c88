/* ref.c: the definition of the sums of gradients. */
#include "graph/op.h"
#include "ops/accumulate/accumulate_attr.h"

hm_status hm_accumulate_ref(const hm_call *c);

hm_status hm_accumulate_ref(const hm_call *c) {
    const int n = hm_accumulate_count(c->node->n_in);
    const double keep = *(const double *)c->in[2 * n];
    for (int i = 0; i < n; i++) {
        const double *const grad = c->in[n + i];
        double *const sum = c->out[i];
        for (int64_t k = 0; k < hm_count(c->node->in[i]); k++)
            sum[k] = keep == 0 ? grad[k] : sum[k] + grad[k];
    }
    return HM_OK;
}
