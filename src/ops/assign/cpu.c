/* cpu.c: the problems of all images and groups in parallel, each by one thread with its own scratch. */
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
    const hm_assign_attr *const a = c->node->attr;
    const float *const cost = c->in[0];     /* [B, G*Q, T] */
    const int32_t *const counts = c->in[1]; /* [B] */
    int32_t *const match = c->out[0];       /* [B, G*Q] */
    const int64_t B = hm_dim(c->node->in[0], 0), GQ = hm_dim(c->node->in[0], 1), T = hm_dim(c->node->in[0], 2);
    const int64_t G = a->groups, Q = GQ / G;
    const size_t room = (hm_assign_scratch(Q, T) + 63) & ~(size_t)63;
    for (int64_t b = 0; b < B; b++)
        if (counts[b] < 0 || counts[b] > T)
            HM_FAIL(HM_ERR_ARG, "image %lld has %d targets, but there is room for %lld", (long long)b, counts[b],
                    (long long)T);
    int64_t bad = B * G; /* the first problem with a non-finite cost */
#pragma omp parallel for num_threads(c->run->threads) schedule(dynamic) reduction(min : bad)
    for (int64_t k = 0; k < B * G; k++) {
        void *const scratch = (char *)c->work + (size_t)omp_get_thread_num() * room;
        if (fill(hm_assign_costs(scratch), cost + k * Q * T, Q, counts[k / G], T))
            hm_assign_run(scratch, Q, counts[k / G], match + k * Q);
        else
            bad = k < bad ? k : bad;
    }
    if (bad < B * G)
        HM_FAIL(HM_ERR_ARG, "a matching cost of image %lld, group %lld is not finite", (long long)(bad / G),
                (long long)(bad % G));
    return HM_OK;
}
