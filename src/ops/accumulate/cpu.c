/* cpu.c: sum of gradients in fp32. */
#include <string.h>

#include "graph/op.h"

hm_status HM_CPU(hm_accumulate)(const hm_call *c);

#define PIECE 16384 /* elements of one task */

static void add(float *sum, const float *grad, int64_t n) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        sum[i] += grad[i];
}

hm_status HM_CPU(hm_accumulate)(const hm_call *c) {
    const int64_t count = hm_count(c->node->in[0]);
    const float *const grad = c->in[1], keep = *(const float *)c->in[2];
    float *const sum = c->out[0];
#pragma omp parallel for schedule(static) num_threads(count > 2 * PIECE ? c->run->threads : 1)
    for (int64_t at = 0; at < count; at += PIECE) {
        const int64_t n = count - at < PIECE ? count - at : PIECE;
        if (keep == 0.0f)
            memcpy(sum + at, grad + at, (size_t)n * sizeof(float));
        else
            add(sum + at, grad + at, n);
    }
    return HM_OK;
}
