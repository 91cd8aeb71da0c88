/* cpu.c: change of type. */
#include "device/cpu/convert.h"
#include "graph/op.h"

HM_CPU_DECLARE(hm_cast);

#define PIECE 4096 /* elements of one task */

static void piece(hm_dtype from, const void *x, hm_dtype to, void *y, int64_t first, int64_t n) {
    float room[PIECE];
    const float *const wide = hm_row_in(from, x, first, n, room);
    hm_narrow(to, wide, y, first, n);
}

hm_status HM_CPU(hm_cast)(const hm_call *c) {
    const hm_tensor *const x = c->node->in[0], *const y = c->node->out[0];
    const int64_t count = hm_count(x);
#pragma omp parallel for schedule(static) num_threads(count > 8 * PIECE ? c->run->threads : 1)
    for (int64_t at = 0; at < count; at += PIECE)
        piece(x->dtype, c->in[0], y->dtype, c->out[0], at, count - at < PIECE ? count - at : PIECE);
    return HM_OK;
}
