/* bench_peak.c: a graph of one linear layer. */
#include "train/bench_peak.h"

#include <math.h>

#include "ops/linear/linear.h"
#include "train/training.h"

#define SIDE 2048
#define RUNS 8

static hm_status time_product(hm_exec *e, double *flop_per_second) {
    double best = INFINITY;
    for (int i = 0; i < RUNS; i++) {
        const double t = hm_training_clock();
        HM_TRY(hm_exec_run(e, 0, i));
        if (hm_exec_cuda(e) != NULL)
            HM_TRY(hm_cuda_wait(hm_exec_cuda(e)));
        best = fmin(best, hm_training_clock() - t);
    }
    *flop_per_second = 2.0 * SIDE * SIDE * SIDE / best;
    return HM_OK;
}

hm_status hm_bench_peak(double *flop_per_second, const hm_exec_options *options, hm_precision precision) {
    hm_graph *g = NULL;
    hm_store *store = NULL;
    hm_exec *e = NULL;
    hm_status st;
    HM_TRY(hm_graph_create(&g));
    hm_tensor *const x = hm_graph_input(g, "x", HM_F32, HM_SHAPE(SIDE, SIDE));
    hm_tensor *const w = hm_graph_param(g, "w", HM_SHAPE(SIDE, SIDE));
    hm_graph_output(g, hm_linear(g, x, w, NULL, HM_ACT_NONE), "y");
    HM_TRY_TO(st, done, hm_store_create(&store));
    HM_TRY_TO(st, done, hm_store_add(store, g));
    HM_TRY_TO(st, done, hm_graph_precision(g, precision, NULL));
    HM_TRY_TO(st, done, hm_exec_create(&e, g, store, options));
    HM_TRY_TO(st, done, time_product(e, flop_per_second));
done:
    hm_exec_free(e);
    hm_store_free(store);
    hm_graph_free(g);
    return st;
}
