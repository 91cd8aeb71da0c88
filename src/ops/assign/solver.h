/* solver.h: the assignment solver on caller-supplied scratch, for the op's kernels (assign.h has the public form). */
#ifndef HM_OPS_ASSIGN_SOLVER_H
#define HM_OPS_ASSIGN_SOLVER_H

#include <stddef.h>
#include <stdint.h>

/* Bytes of scratch for a problem of this size. */
size_t hm_assign_scratch(int64_t rows, int64_t cols);

/* Where the problem's costs go before solving: row-major doubles [rows, cols], filled by the caller. */
double *hm_assign_costs(void *scratch);

/* Solves the problem in `scratch` (all costs finite): col4row[rows] receives the column or -1. */
void hm_assign_run(void *scratch, int64_t rows, int64_t cols, int32_t *col4row);

#endif
