/* cpu.c: the problems of all costs, images and groups in parallel, each by one thread with its own scratch. */
#include <math.h>
#include <omp.h>

#include "graph/op.h"
#include "ops/assign/assign_attr.h"
#include "ops/assign/solver.h"

/* Copies the valid columns; false for a non-finite entry. */
static bool fill(double *restrict to, const float *restrict cost, int64_t rows, int64_t cols, int64_t T) {
    bool finite = true;
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++) {
            const float v = cost[i * T + j];
            finite &= isfinite(v) != 0;
            to[i * cols + j] = v;
        }
    return finite;
}

hm_status HM_CPU(assign)(const hm_call *c) {
    const hm_node *const n = c->node;
    const hm_assign_attr *const a = n->attr;
    const int32_t *const counts = c->in[n->n_in - 1]; /* [B] */
    const int64_t B = hm_dim(n->in[0], 0), G = a->groups, Q = hm_dim(n->in[0], 1) / G, T = hm_dim(n->in[0], 2);
    const size_t room = (hm_assign_scratch(Q, T) + 63) & ~(size_t)63;
    for (int64_t b = 0; b < B; b++)
        if (counts[b] < 0 || counts[b] > T)
            HM_FAIL(HM_ERR_ARG, "image %lld has %d targets, but there is room for %lld", (long long)b, counts[b],
                    (long long)T);
    int64_t bad = n->n_out * B * G; /* the first problem with a non-finite cost */
#pragma omp parallel for num_threads(c->run->threads) schedule(dynamic) reduction(min : bad)
    for (int64_t i = 0; i < n->n_out * B * G; i++) {
        const int64_t which = i / (B * G), k = i % (B * G);
        const float *const cost = c->in[which]; /* [B, G*Q, T] */
        int32_t *const match = c->out[which];   /* [B, G*Q] */
        void *const scratch = (char *)c->work + (size_t)omp_get_thread_num() * room;
        if (fill(hm_assign_costs(scratch), cost + k * Q * T, Q, counts[k / G], T))
            hm_assign_run(scratch, Q, counts[k / G], match + k * Q);
        else
            bad = i < bad ? i : bad;
    }
    if (bad < n->n_out * B * G)
        HM_FAIL(HM_ERR_ARG, "a matching cost of image %lld, group %lld is not finite", (long long)(bad / G % B),
                (long long)(bad % G));
    return HM_OK;
}
