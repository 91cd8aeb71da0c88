/* bench_table.h: a step's time by operation. */
#ifndef HM_TRAIN_BENCH_TABLE_H
#define HM_TRAIN_BENCH_TABLE_H

#include <stdio.h>

#include "graph/graph.h"

/* A line for every op in each direction, the slowest first: `seconds` and, if not NULL, `launches` of a step by node
 * id. peak: FLOP/s of a plain product, for comparison. */
hm_status hm_bench_table_print(FILE *to, const hm_graph *g, const double *seconds, const int64_t *launches,
                               double peak);

#endif
