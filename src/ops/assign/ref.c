/* ref.c: assignment of every cost, image and group, one after the other. The solver is shared with cpu.c, so that equal
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
    const hm_node *const n = c->node;
    const hm_assign_attr *const a = n->attr;
    const int32_t *const counts = c->in[n->n_in - 1]; /* [B] */
    const int64_t B = hm_dim(n->in[0], 0), GQ = hm_dim(n->in[0], 1), T = hm_dim(n->in[0], 2), Q = GQ / a->groups;
    void *scratch = NULL;
    HM_TRY(hm_alloc(&scratch, hm_assign_scratch(Q, T), 1));
    hm_status st = HM_OK;
    for (int64_t b = 0; b < B && st == HM_OK; b++)
        if (counts[b] < 0 || counts[b] > T)
            st = hm_fail(HM_ERR_ARG, "image %lld has %d targets, but there is room for %lld", (long long)b, counts[b],
                         (long long)T);
    for (int i = 0; i < n->n_out; i++) {
        const double *const cost = c->in[i]; /* [B, G*Q, T] */
        int32_t *const match = c->out[i];    /* [B, G*Q] */
        for (int64_t row = 0; row < B * GQ && st == HM_OK; row += Q) {
            st = fill(hm_assign_costs(scratch), cost + row * T, Q, counts[row / GQ], T);
            if (st == HM_OK)
                hm_assign_run(scratch, Q, counts[row / GQ], match + row);
        }
    }
    free(scratch);
    return st;
}
