/* assign.h: exact rectangular assignment of every image and group. */
#ifndef HM_OPS_ASSIGN_H
#define HM_OPS_ASSIGN_H

#include "graph/graph.h"

/* cost [B, G*Q, T], counts I32 [B] -> I32 [B, G*Q]: the target matched to each query, or -1. Each group of Q rows is
 * solved on its own against the first counts[b] columns (shortest augmenting paths in double: Jonker & Volgenant 1987,
 * Crouse 2016, as scipy.optimize.linear_sum_assignment); more targets than queries: Q pairs. No gradient. */
hm_tensor *hm_assign(hm_graph *g, hm_tensor *cost, hm_tensor *counts, int groups);

/* The same for n costs of one shape, all solved side by side: match[i] belongs to cost[i]; 1 <= n <= HM_ASSIGN_MOST. */
#define HM_ASSIGN_MOST 16
void hm_assign_all(hm_graph *g, hm_tensor **match, hm_tensor *const *cost, int n, hm_tensor *counts, int groups);

/* The solver itself: cost [rows, cols] row-major with row stride `ld`; col4row[rows] receives the column or -1. Total
 * cost is minimal. HM_ERR_ARG for a non-finite entry. */
hm_status hm_assign_solve(const float *cost, int64_t rows, int64_t cols, int64_t ld, int32_t *col4row);

#endif
