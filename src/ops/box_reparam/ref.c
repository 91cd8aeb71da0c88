/* ref.c: boxes from deltas, and the derivative. */
#include <math.h>

#include "graph/op.h"

hm_status box_reparam_ref(const hm_call *c);
hm_status box_reparam_ref(const hm_call *c) {
    const double *const delta = c->in[0], *const ref = c->in[1]; /* [n, 4] */
    double *const box = c->out[0];                               /* [n, 4] */
    for (int64_t i = 0; i < hm_count(c->node->in[0]); i++)
        box[i] = i % 4 < 2 ? delta[i] * ref[i + 2] + ref[i] : exp(delta[i]) * ref[i];
    return HM_OK;
}

hm_status box_reparam_back_ref(const hm_call *c);
hm_status box_reparam_back_ref(const hm_call *c) {
    const double *const dbox = c->in[0], *const delta = c->in[1], *const ref = c->in[2]; /* [n, 4] */
    double *const ddelta = c->out[0], *const dref = c->out[1];                           /* [n, 4] */
    for (int64_t i = 0; i < hm_count(c->node->in[0]); i++) {
        if (i % 4 < 2) {
            ddelta[i] = dbox[i] * ref[i + 2];
            dref[i] = dbox[i];
        } else {
            ddelta[i] = dbox[i] * exp(delta[i]) * ref[i];
            dref[i] = dbox[i] * exp(delta[i]) + dbox[i - 2] * delta[i - 2];
        }
    }
    return HM_OK;
}
