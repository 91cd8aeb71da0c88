/* cpu.c: weighted sum of fp32 scalars, added in double. */
#include "graph/op.h"

hm_status HM_CPU(hm_weighted_sum)(const hm_call *c);

hm_status HM_CPU(hm_weighted_sum)(const hm_call *c) {
    const float *const weights = c->node->attr;
    double total = 0;
    for (int i = 0; i < c->node->n_in; i++)
        total += (double)weights[i] * (double)*(const float *)c->in[i];
    *(float *)c->out[0] = (float)total;
    return HM_OK;
}
