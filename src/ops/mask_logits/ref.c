/* ref.c: the definition of mask logits. */
#include "graph/op.h"

hm_status hm_mask_logits_ref(const hm_call *c);

hm_status hm_mask_logits_ref(const hm_call *c) {
    const int64_t hw = hm_dim(c->node->in[0], 1), q = hm_dim(c->node->in[1], 1), width = hm_dim(c->node->in[0], 2);
    const double *const s = c->in[0], *const query = c->in[1], *const bias = c->in[2];
    double *const y = c->out[0];
    for (int64_t b = 0; b < hm_dim(c->node->in[0], 0); b++)
        for (int64_t i = 0; i < q; i++)
            for (int64_t p = 0; p < hw; p++) {
                double sum = bias[0];
                for (int64_t l = 0; l < width; l++)
                    sum += query[(b * q + i) * width + l] * s[(b * hw + p) * width + l];
                y[(b * q + i) * hw + p] = sum;
            }
    return HM_OK;
}
