/* cpu.c: exponential moving average in fp32. */
#include <omp.h>
#include <string.h>

#include "device/cpu/convert.h"
#include "graph/op.h"
#include "ops/ema/ema_attr.h"

hm_status HM_CPU(hm_ema)(const hm_call *c);

#define PIECE 4096 /* elements of one task */

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

static float scalar(const hm_call *c, int i) {
    return c->in[i] != NULL ? hm_float_at(c->node->in[i]->dtype, c->in[i], 0) : 0;
}

/* Pair i from element `first` on. */
static void piece(const hm_call *c, int i, int weights, float decay, int64_t first, int64_t n) {
    float room[PIECE];
    blend((float *)c->out[i] + first, hm_row_in(c->node->in[weights]->dtype, c->in[weights], first, n, room), decay, n);
}

/* Every n_threads-th piece of all tensors, counted through. */
static void share(const hm_call *c, int n, float decay, int64_t thread, int64_t n_threads) {
    int64_t number = 0;
    for (int i = 0; i < n; i++) {
        const int64_t count = hm_count(c->node->in[i]);
        for (int64_t at = 0; at < count; at += PIECE, number++)
            if (number % n_threads == thread)
                piece(c, i, n + i, decay, at, count - at < PIECE ? count - at : PIECE);
    }
}

hm_status HM_CPU(hm_ema)(const hm_call *c) {
    const int n = hm_ema_count(c->node->n_in);
    const float decay = scalar(c, 2 * n);
    if (scalar(c, 2 * n + 1) != 0)
        return HM_OK;
#pragma omp parallel num_threads(c->run->threads)
    share(c, n, decay, omp_get_thread_num(), omp_get_num_threads());
    return HM_OK;
}
