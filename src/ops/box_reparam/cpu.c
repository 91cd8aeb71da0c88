/* cpu.c: boxes from deltas. Some ten thousand numbers: the library's expf is fast enough. */
#include <math.h>

#include "graph/op.h"

hm_status HM_CPU(box_reparam)(const hm_call *c) {
    const float *restrict const delta = c->in[0], *restrict const ref = c->in[1]; /* [n, 4] */
    float *restrict const box = c->out[0];                                        /* [n, 4] */
    const int64_t n = hm_rows(c->node->in[0], 1);
#pragma omp parallel for num_threads(c->run->threads) if (n > 2048)
    for (int64_t i = 0; i < 4 * n; i += 4)
        for (int64_t k = i; k < i + 2; k++) {
            box[k] = delta[k] * ref[k + 2] + ref[k];
            box[k + 2] = expf(delta[k + 2]) * ref[k + 2];
        }
    return HM_OK;
}

hm_status HM_CPU(box_reparam_back)(const hm_call *c) {
    const float *restrict const dbox = c->in[0], *restrict const delta = c->in[1]; /* [n, 4] */
    const float *restrict const ref = c->in[2];                                    /* [n, 4] */
    float *restrict const ddelta = c->out[0], *restrict const dref = c->out[1];    /* [n, 4] */
    const int64_t n = hm_rows(c->node->in[0], 1);
#pragma omp parallel for num_threads(c->run->threads) if (n > 2048)
    for (int64_t i = 0; i < 4 * n; i += 4)
        for (int64_t k = i; k < i + 2; k++) {
            const float scaled = dbox[k + 2] * expf(delta[k + 2]);
            ddelta[k] = dbox[k] * ref[k + 2];
            ddelta[k + 2] = scaled * ref[k + 2];
            dref[k] = dbox[k];
            dref[k + 2] = scaled + dbox[k] * delta[k];
        }
    return HM_OK;
}
