/* cpu.c: exponential moving average in fp32. */
#include <string.h>

#include "graph/op.h"

hm_status HM_CPU(hm_ema)(const hm_call *c);

#define PIECE 16384 /* elements of one task */

static void blend(float *average, const float *p, float decay, int64_t n) {
    const float rest = (float)(1 - (double)decay);
    if (decay == 0.0f) {
        memcpy(average, p, (size_t)n * sizeof(float));
        return;
    }
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        average[i] = average[i] * decay + p[i] * rest;
}

hm_status HM_CPU(hm_ema)(const hm_call *c) {
    const int64_t count = hm_count(c->node->in[0]);
    const float *const p = c->in[1], decay = *(const float *)c->in[2];
    float *const average = c->out[0];
    if (c->in[3] != NULL && *(const float *)c->in[3] != 0)
        return HM_OK;
#pragma omp parallel for schedule(static) num_threads(count > 2 * PIECE ? c->run->threads : 1)
    for (int64_t at = 0; at < count; at += PIECE)
        blend(average + at, p + at, decay, count - at < PIECE ? count - at : PIECE);
    return HM_OK;
}
