/* cpu.c: sums of gradients in fp32. */
#include <omp.h>
#include <string.h>

#include "device/cpu/convert.h"
#include "graph/op.h"
#include "ops/accumulate/accumulate_attr.h"

hm_status HM_CPU(hm_accumulate)(const hm_call *c);

#define PIECE 4096 /* elements of one task */

static void add(float *sum, const float *grad, bool keep, int64_t n) {
    if (!keep) {
        memcpy(sum, grad, (size_t)n * sizeof(float));
        return;
    }
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        sum[i] += grad[i];
}

/* Pair i from element `first` on; its gradient is input `grad`. */
static void piece(const hm_call *c, int i, int grad, bool keep, int64_t first, int64_t n) {
    float room[PIECE];
    add((float *)c->out[i] + first, hm_row_in(c->node->in[grad]->dtype, c->in[grad], first, n, room), keep, n);
}

/* Every n_threads-th piece of all tensors, counted through. */
static void share(const hm_call *c, int n, bool keep, int64_t thread, int64_t n_threads) {
    int64_t number = 0;
    for (int i = 0; i < n; i++) {
        const int64_t count = hm_count(c->node->in[i]);
        for (int64_t at = 0; at < count; at += PIECE, number++)
            if (number % n_threads == thread)
                piece(c, i, n + i, keep, at, count - at < PIECE ? count - at : PIECE);
    }
}

hm_status HM_CPU(hm_accumulate)(const hm_call *c) {
    const int n = hm_accumulate_count(c->node->n_in);
    const bool keep = hm_float_at(c->node->in[2 * n]->dtype, c->in[2 * n], 0) != 0;
#pragma omp parallel num_threads(c->run->threads)
    share(c, n, keep, omp_get_thread_num(), omp_get_num_threads());
    return HM_OK;
}
