/* ref.c: assignment of every image and group, one after the other. The solver is shared with cpu.c, so that equal
 * costs give equal ties; its proof is tests/unit/test_assign.c (all permutations, recorded answers). */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "graph/op.h"
#include "ops/assign/assign_attr.h"
#include "ops/assign/solver.h"

static hm_status fill(double *to, const double *cost, int64_t rows, int64_t cols, int64_t T) {
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++) {
            to[i * cols + j] = cost[i * T + j];
            if (!isfinite(cost[i * T + j]))
                HM_FAIL(HM_ERR_ARG, "matching cost of query %lld and target %lld is not finite", (long long)i,
                        (long long)j);
        }
    return HM_OK;
}

hm_status assign_ref(const hm_call *c);
hm_status assign_ref(const hm_call *c) {
    const hm_assign_attr *const a = c->node->attr;
    const double *const cost = c->in[0];    /* [B, G*Q, T] */
    const int32_t *const counts = c->in[1]; /* [B] */
    int32_t *const match = c->out[0];       /* [B, G*Q] */
    const int64_t B = hm_dim(c->node->in[0], 0), GQ = hm_dim(c->node->in[0], 1), T = hm_dim(c->node->in[0], 2);
    const int64_t Q = GQ / a->groups;
    void *scratch = NULL;
    HM_TRY(hm_alloc(&scratch, hm_assign_scratch(Q, T), 1));
    hm_status st = HM_OK;
    for (int64_t b = 0; b < B && st == HM_OK; b++) {
        if (counts[b] < 0 || counts[b] > T)
            st = hm_fail(HM_ERR_ARG, "image %lld has %d targets, but there is room for %lld", (long long)b, counts[b],
                         (long long)T);
        for (int64_t q = 0; q < GQ && st == HM_OK; q += Q) {
            st = fill(hm_assign_costs(scratch), cost + (b * GQ + q) * T, Q, counts[b], T);
            if (st == HM_OK)
                hm_assign_run(scratch, Q, counts[b], match + b * GQ + q);
        }
    }
    free(scratch);
    return st;
}
