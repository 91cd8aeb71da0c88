/* trace.c: looks at every tensor of a rehearsed run in the order in which they are made. */
#include "graph/trace.h"

#include <math.h>
#include <string.h>

hm_magnitudes hm_magnitudes_of(hm_exec *e, const hm_tensor *t) {
    const void *const data = hm_exec_data(e, t);
    const double normal = hm_dtype_min_normal(t->dtype);
    hm_magnitudes m = {.count = hm_count(t)};
    for (int64_t i = 0; i < m.count; i++) {
        const double x = fabs((double)hm_float_at(t->dtype, data, (size_t)i));
        if (!isfinite(x)) {
            m.not_finite++;
            continue;
        }
        m.largest = x > m.largest ? x : m.largest;
        m.zero += x == 0;
        m.subnormal += x > 0 && x < normal;
    }
    return m;
}

typedef struct search {
    hm_exec *e;
    hm_first_bad *out;
} search;

/* Inputs that the node has overwritten say nothing any more. */
static double largest_input(hm_exec *e, const hm_node *n) {
    double largest = 0;
    for (int i = 0; i < n->n_in; i++) {
        const hm_tensor *const t = n->in[i];
        bool gone = t == NULL || !hm_dtype_is_float(t->dtype);
        for (int o = 0; o < n->n_out && !gone; o++)
            gone = hm_exec_data(e, n->out[o]) == hm_exec_data(e, t);
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
        *s->out = (hm_first_bad){.node = n, .tensor = n->out[o], .made = m, .from = largest_input(s->e, n)};
        return true;
    }
    return false;
}

hm_status hm_trace(hm_exec *e, uint64_t seed, int64_t step, hm_first_bad *out) {
    memset(out, 0, sizeof *out);
    return hm_exec_rehearse(e, seed, step, look, &(search){e, out});
}
