/* trace.c: looks at every tensor of a rehearsed run in the order in which they are made. */
#include "graph/trace.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "graph/op.h"

#define PIECE 16384 /* numbers looked at by one thread at a time */

static hm_magnitudes look_at(hm_dtype type, const void *data, int64_t first, int64_t n) {
    hm_magnitudes m = {.count = n};
    for (int64_t i = first; i < first + n; i++) {
        const double x = fabs((double)hm_float_at(type, data, (size_t)i));
        if (!isfinite(x)) {
            m.not_finite++;
            continue;
        }
        m.largest = x > m.largest ? x : m.largest;
        m.zero += x == 0;
        m.above += x >= 65520;            /* rounds to infinity */
        m.below += x > 0 && x <= 0x1p-25; /* rounds to zero */
        m.subnormal += x > 0x1p-25 && x < 0x1p-14;
    }
    return m;
}

void hm_magnitudes_join(hm_magnitudes *to, const hm_magnitudes *m) {
    to->largest = m->largest > to->largest ? m->largest : to->largest;
    to->count += m->count;
    to->not_finite += m->not_finite;
    to->zero += m->zero;
    to->above += m->above;
    to->below += m->below;
    to->subnormal += m->subnormal;
}

static hm_magnitudes look_at_all(hm_dtype type, const void *data, int64_t count) {
    hm_magnitudes all = {0};
#pragma omp parallel for schedule(static) if (count > 4 * PIECE)
    for (int64_t at = 0; at < count; at += PIECE) {
        const hm_magnitudes m = look_at(type, data, at, count - at < PIECE ? count - at : PIECE);
#pragma omp critical(hm_magnitudes)
        hm_magnitudes_join(&all, &m);
    }
    return all;
}

/* Where the tensor lies on the GPU it is counted there. */
static hm_magnitudes measure(const hm_exec *e, const hm_tensor *t, const void *data) {
    hm_cuda_measures m;
    hm_magnitudes out = {.count = hm_count(t)};
    if (hm_cuda_measure(hm_exec_cuda(e), t->dtype, data, hm_count(t), &m) != HM_OK)
        return out;
    float largest;
    memcpy(&largest, &m.largest_bits, sizeof largest);
    out.largest = (double)largest;
    out.not_finite = (int64_t)m.not_finite;
    out.zero = (int64_t)m.zero;
    out.above = (int64_t)m.above;
    out.below = (int64_t)m.below;
    out.subnormal = (int64_t)m.subnormal;
    return out;
}

hm_magnitudes hm_magnitudes_of(hm_exec *e, const hm_tensor *t) {
    const void *const data = hm_exec_data(e, t);
    return hm_exec_cuda(e) != NULL ? measure(e, t, data) : look_at_all(t->dtype, data, hm_count(t));
}

hm_magnitudes hm_magnitudes_made(hm_exec *e, const hm_node *n, int o) {
    const hm_tensor *const t = n->out[o];
    const float *const wide = hm_exec_unrounded(e, n, o);
    float *again = NULL;
    if (wide != NULL)
        return look_at_all(HM_F32, wide, hm_count(t));
    if (n->op == hm_ops_cast && t->dtype == HM_F16)
        return hm_magnitudes_of(e, n->in[o]);
    if (t->dtype != HM_F16 || n->op->view || hm_exec_widened(e, n, o, &again) != HM_OK || again == NULL)
        return hm_magnitudes_of(e, t); /* what bf16 holds shows what fp16 would not */
    const hm_magnitudes m = look_at_all(HM_F32, again, hm_count(t));
    free(again);
    return m;
}

typedef struct search {
    hm_exec *e;
    hm_first_bad *out;
} search;

/* Of what output o is made from. Inputs that the node has overwritten say nothing any more. */
static double largest_input(hm_exec *e, const hm_node *n, int o) {
    double largest = 0;
    for (int i = 0; i < n->n_in; i++) {
        const hm_tensor *const t = n->in[i];
        bool gone = t == NULL || !hm_dtype_is_float(t->dtype) || (n->op == hm_ops_cast && i != o);
        for (int k = 0; k < n->n_out && !gone; k++)
            gone = hm_exec_data(e, n->out[k]) == hm_exec_data(e, t);
        if (!gone)
            largest = fmax(largest, hm_magnitudes_of(e, t).largest);
    }
    return largest;
}

static bool look(void *user, const hm_node *n) {
    const search *const s = user;
    for (int o = 0; o < n->n_out && !n->op->view; o++) {
        if (!hm_dtype_is_float(n->out[o]->dtype))
            continue;
        const hm_magnitudes m = hm_magnitudes_of(s->e, n->out[o]);
        if (m.not_finite == 0)
            continue;
        *s->out = (hm_first_bad){.node = n, .tensor = n->out[o], .made = m, .from = largest_input(s->e, n, o)};
        return true;
    }
    return false;
}

hm_status hm_trace(hm_exec *e, int ago, uint64_t seed, int64_t step, hm_first_bad *out) {
    memset(out, 0, sizeof *out);
    return hm_exec_rehearse(e, ago, seed, step, look, &(search){e, out});
}
