/* cpu.c: change of type. */
#include <omp.h>

#include "device/cpu/convert.h"
#include "graph/op.h"

HM_CPU_DECLARE(hm_cast);

#define PIECE 4096 /* elements of one task */

/* Elements first .. first + n - 1 of tensor i. */
static void piece(const hm_call *c, int i, int64_t first, int64_t n) {
    float room[PIECE];
    const float *const wide = hm_row_in(c->node->in[i]->dtype, c->in[i], first, n, room);
    hm_narrow(c->node->out[i]->dtype, wide, c->out[i], first, n);
}

/* Every n_threads-th piece of all tensors, counted through. */
static void share(const hm_call *c, int64_t thread, int64_t n_threads) {
    int64_t number = 0;
    for (int i = 0; i < c->node->n_in; i++) {
        const int64_t count = hm_count(c->node->in[i]);
        for (int64_t at = 0; at < count; at += PIECE, number++)
            if (number % n_threads == thread)
                piece(c, i, at, count - at < PIECE ? count - at : PIECE);
    }
}

hm_status HM_CPU(hm_cast)(const hm_call *c) {
    int64_t count = 0;
    for (int i = 0; i < c->node->n_in; i++)
        count += hm_count(c->node->in[i]);
#pragma omp parallel num_threads(count > 8 * PIECE ? c->run->threads : 1)
    share(c, omp_get_thread_num(), omp_get_num_threads());
    return HM_OK;
}
