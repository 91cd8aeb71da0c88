/* bench_peak.h: how fast a plain product is, to which the steps of hm_bench are compared. */
#ifndef HM_TRAIN_BENCH_PEAK_H
#define HM_TRAIN_BENCH_PEAK_H

#include "graph/exec.h"
#include "graph/precision.h"

/* FLOP/s of the best of a few products of two 2048 x 2048 matrices, through the same library call as the model's. */
hm_status hm_bench_peak(double *flop_per_second, const hm_exec_options *options, hm_precision precision);

#endif
