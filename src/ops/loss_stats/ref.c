/* ref.c: class error and cardinality error, defined. */
#include <math.h>

#include "graph/op.h"

hm_status loss_stats_ref(const hm_call *c);
hm_status loss_stats_ref(const hm_call *c) {
    const double *const logits = c->in[0];  /* [B, G*Q, K] */
    const int32_t *const match = c->in[1];  /* [B, G*Q] */
    const int32_t *const labels = c->in[2]; /* [B, T] */
    const int32_t *const counts = c->in[3]; /* [B] */
    double *const class_error = c->out[0], *const cardinality_error = c->out[1];
    const int64_t B = hm_dim(c->node->in[0], 0), GQ = hm_dim(c->node->in[0], 1), K = hm_dim(c->node->in[0], 2);
    const int64_t T = hm_dim(c->node->in[2], 1);
    double pairs = 0, right = 0, off = 0;
    for (int64_t b = 0; b < B; b++) {
        double confident = 0;
        for (int64_t q = 0; q < GQ; q++) {
            const double *const x = logits + (b * GQ + q) * K;
            int64_t best = 0;
            bool is_nan = false;
            for (int64_t k = 0; k < K; k++) {
                is_nan |= isnan(x[k]);
                best = x[k] > x[best] ? k : best;
            }
            confident += !is_nan && x[best] > 0;
            const int32_t t = match[b * GQ + q];
            pairs += t >= 0;
            right += t >= 0 && !is_nan && best == labels[b * T + t];
        }
        off += fabs(confident - counts[b]);
    }
    *class_error = pairs > 0 ? 100 - 100 * right / pairs : 100;
    *cardinality_error = off / (double)B;
    return HM_OK;
}
