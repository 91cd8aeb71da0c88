/* bench.c: hm_bench: times training steps on a made-up batch: as they are trained with, then node by node for a table.
 * On the CPU that is one run; on the GPU the first is of captured graphs, and a second executor makes the table. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/mem.h"
#include "base/plain_numbers.h"
#include "base/progress.h"
#include "device/turn.h"
#include "train/bench_batch.h"
#include "train/bench_peak.h"
#include "train/bench_table.h"
#include "train/training.h"
#include "weights/weights.h"

#define WARM_GPU 4 /* runs that prepare, capture and fill the ring of inputs */
#define WARM_CPU 1

typedef struct bench {
    const hm_bench_options *o;
    FILE *to;
    hm_memory_request request;
    hm_memory memory;
    hm_step *step;
    hm_store *store;
    hm_batch batch;
    double *seconds; /* [steps] that were timed */
    double peak;     /* FLOP/s of a plain product */
    size_t taken;    /* bytes of the device */
} bench;

static bool on_gpu(const bench *k) {
    return k->request.device == HM_DEVICE_CUDA;
}

static hm_exec_options exec_options(const bench *k, bool profile) {
    hm_exec_options o = hm_exec_defaults();
    o.threads = k->o->threads > 0 ? k->o->threads : o.threads;
    o.device = k->request.device;
    o.deterministic = k->o->deterministic;
    o.tf32 = hm_precision_tf32(k->request.step.precision);
    o.profile = profile;
    return o;
}

/* ---- before the first step */

static hm_status make_request(bench *k) {
    const hm_bench_options *const o = k->o;
    hm_memory_request *const r = &k->request;
    HM_TRY(hm_device_choose(o->device, &r->device));
    HM_TRY(hm_model_config_named(o->model, &r->config));
    if (o->resolution > 0)
        r->config.resolution = o->resolution;
    HM_TRY(hm_model_check_size(&r->config, r->config.resolution, r->config.resolution));
    r->threads = o->threads;
    r->grad_accum_steps = 1;
    r->step = (hm_step_options){.model = {.batch = o->batch_size,
                                          .height = r->config.resolution,
                                          .width = r->config.resolution,
                                          .training = true},
                                .targets = o->objects,
                                .criterion = hm_criterion_defaults(),
                                .optim = hm_optim_defaults(),
                                .precision = hm_precision_resolve(o->precision, r->device)};
    r->step.optim.ema = false; /* as rfdetr's step is timed */
    return hm_precision_check(r->step.precision, r->device);
}

static hm_status prepare(bench *k) {
    const hm_bench_options *const o = k->o;
    char words[640];
    if (o->batch_size < 1 || o->steps < 1 || o->objects < 1)
        HM_FAIL(HM_ERR_ARG, "batch_size, steps and objects must be at least 1");
    HM_TRY(make_request(k));
    if (o->count && !on_gpu(k))
        HM_FAIL(HM_ERR_ARG, "count is of what a step does to the GPU: give device cuda");
    HM_TRY(hm_step_build(&k->step, &k->request.config, &k->request.step));
    HM_TRY(hm_memory_plan_built(&k->memory, &k->request, (const hm_step *const[]){k->step}, 1));
    HM_TRY(hm_memory_check(&k->memory, &k->request, 0, words, sizeof words));
    fprintf(k->to, "memory       %s\n", words);
    const hm_exec_options eo = exec_options(k, false);
    HM_TRY(hm_bench_peak(&k->peak, &eo, on_gpu(k) ? k->request.step.precision : HM_PRECISION_FP32));
    HM_TRY(hm_store_create(&k->store));
    HM_TRY(hm_store_add(k->store, k->step->graph));
    HM_TRY(hm_alloc(&k->seconds, (size_t)o->steps, sizeof *k->seconds));
    HM_TRY(hm_weights_start(k->store, &k->request.config, k->request.step.precision, 1, NULL, NULL));
    return hm_bench_batch_make(&k->batch, o->batch_size, o->objects, k->request.config.resolution,
                               k->step->criterion.targets.masks != NULL);
}

static hm_status give(const bench *k, hm_exec *e) {
    return hm_training_give(k->step, e, &k->batch, 1, false);
}

static hm_status open_exec(const bench *k, bool profile, hm_exec **out) {
    const hm_exec_options eo = exec_options(k, profile);
    const hm_tensor *watched[HM_WATCHED_MOST];
    HM_TRY(hm_exec_create(out, k->step->graph, k->store, &eo));
    HM_TRY(hm_exec_watch(*out, watched, hm_training_watched(k->step, k->step->graph, watched)));
    return give(k, *out);
}

static hm_status loss_of(hm_exec *e, int ago, float *loss) {
    return hm_exec_watched(e, ago, HM_WATCHED_LOSS, loss);
}

/* ---- steps as they are trained with on the GPU */

static hm_status step_on_gpu(const bench *k, hm_exec *e, int i) {
    float loss;
    HM_TRY(give(k, e));
    HM_TRY(hm_exec_run(e, 1, i));
    return loss_of(e, i > 0, &loss); /* the one before, as the trainer does */
}

/* Back to back: a step lasts from one outcome to the next. */
static hm_status time_gpu_steps(bench *k, hm_exec *e) {
    double last = 0;
    for (int i = 0; i < WARM_GPU; i++)
        HM_TRY(step_on_gpu(k, e, i));
    const hm_cuda_counts before = hm_cuda_count();
    last = hm_training_clock();
    for (int i = 0; i < k->o->steps; i++) {
        HM_TRY(step_on_gpu(k, e, WARM_GPU + i));
        const double now = hm_training_clock();
        k->seconds[i] = now - last;
        last = now;
    }
    const hm_cuda_counts after = hm_cuda_count();
    const double n = k->o->steps;
    fprintf(k->to,
            "a step       %.2f graphs, %.2f other launches, %.2f waits for all of the device's work, %.2f for earlier "
            "steps', %.2f allocations\n",
            (double)(after.graphs - before.graphs) / n, (double)(after.launches - before.launches) / n,
            (double)(after.waits - before.waits) / n, (double)(after.holds - before.holds) / n,
            (double)(after.allocations - before.allocations) / n);
    if (k->o->count && (after.waits != before.waits || after.allocations != before.allocations))
        HM_FAIL(HM_ERR_INTERNAL, "steps in steady state wait for the device or allocate memory of it");
    return HM_OK;
}

static hm_status time_on_gpu(bench *k) {
    hm_cuda_about empty, full;
    hm_exec *e = NULL;
    HM_TRY(hm_cuda_describe(&empty));
    hm_status st = open_exec(k, false, &e);
    if (st == HM_OK)
        st = time_gpu_steps(k, e);
    if (st == HM_OK)
        st = hm_cuda_describe(&full);
    if (st == HM_OK)
        k->taken = empty.free - full.free;
    hm_exec_free(e);
    return st;
}

/* ---- node by node */

typedef struct profile {
    double *first, *seconds; /* by node id: after the runs that prepare, of a step */
    int64_t *launches, seen; /* by node id of the last run; the counter after the node before */
} profile;

static void count_launches(void *user, hm_exec *e, const hm_node *n) {
    profile *const p = user;
    const int64_t now = hm_cuda_count().launches;
    (void)e;
    p->launches[n->id] = now - p->seen;
    p->seen = now;
}

static hm_status run_profiled(bench *k, hm_exec *e, profile *p) {
    const size_t nodes = k->step->graph->n_nodes;
    if (on_gpu(k))
        hm_exec_set_hook(e, count_launches, p);
    for (int i = 0; i < WARM_CPU + k->o->steps; i++) {
        float loss;
        const double begun = hm_training_clock();
        p->seen = hm_cuda_count().launches;
        HM_TRY(give(k, e));
        HM_TRY(hm_exec_run(e, 1, i));
        HM_TRY(loss_of(e, 0, &loss));
        if (i == 0)
            fprintf(k->to, "first loss   %.5f\n", (double)loss);
        for (size_t n = 0; i == WARM_CPU - 1 && n < nodes; n++)
            p->first[n] = hm_exec_seconds(e, n);
        if (i >= WARM_CPU && !on_gpu(k))
            k->seconds[i - WARM_CPU] = hm_training_clock() - begun;
    }
    for (size_t n = 0; n < nodes; n++)
        p->seconds[n] = (hm_exec_seconds(e, n) - p->first[n]) / k->o->steps;
    return HM_OK;
}

static hm_status print_profile(bench *k) {
    const size_t nodes = k->step->graph->n_nodes;
    profile p = {0};
    hm_exec *e = NULL;
    hm_status st;
    HM_TRY_TO(st, done, hm_alloc(&p.first, nodes, sizeof *p.first));
    HM_TRY_TO(st, done, hm_alloc(&p.seconds, nodes, sizeof *p.seconds));
    HM_TRY_TO(st, done, hm_alloc(&p.launches, nodes, sizeof *p.launches));
    HM_TRY_TO(st, done, open_exec(k, true, &e));
    HM_TRY_TO(st, done, run_profiled(k, e, &p));
    HM_TRY_TO(st, done, hm_bench_table_print(k->to, k->step->graph, p.seconds, on_gpu(k) ? p.launches : NULL, k->peak));
done:
    hm_exec_free(e);
    free(p.first);
    free(p.seconds);
    free(p.launches);
    return st;
}

/* ---- the end */

static int rising(const void *a, const void *b) {
    const double d = *(const double *)a - *(const double *)b;
    return d > 0 ? 1 : d < 0 ? -1 : 0;
}

/* The last line is what bench/side_by_side and side_by_side_cuda read. */
static void print_times(bench *k, size_t resident_before) {
    const hm_bench_options *const o = k->o;
    const size_t n = (size_t)o->steps;
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    const double resident = (double)usage.ru_maxrss * 1024;
    qsort(k->seconds, n, sizeof *k->seconds, rising);
    const double best = k->seconds[0], median = (k->seconds[(n - 1) / 2] + k->seconds[n / 2]) / 2;
    const double taken = on_gpu(k) ? (double)k->taken : resident - (double)resident_before;
    fprintf(k->to, "time         %.2f ms a step at best, %.2f median; %.1f images/s (median)\n", 1e3 * best,
            1e3 * median, o->batch_size / median);
    fprintf(k->to, "peak memory  %.1f MiB planned, %.1f taken\n", (double)hm_memory_total(&k->memory) / 0x1p20,
            taken / 0x1p20);
    fprintf(k->to,
            "%s batch %d %s: %.4f s a step (best), %.4f (median); peak resident %.1f MiB; device peak %.1f MiB\n",
            k->request.config.name, o->batch_size, hm_precision_name(k->request.step.precision), best, median,
            resident / 0x1p20, (double)k->taken / 0x1p20);
}

static hm_status run(bench *k) {
    const size_t resident = hm_progress_memory();
    HM_TRY(prepare(k));
    if (on_gpu(k))
        HM_TRY(time_on_gpu(k));
    HM_TRY(print_profile(k));
    print_times(k, resident);
    return HM_OK;
}

hm_status hm_bench(const hm_bench_options *options, FILE *to) {
    HM_PLAIN_NUMBERS;
    bench k = {.o = options, .to = to};
    HM_GPU_TURN(options->device);
    const hm_status st = run(&k);
    hm_batch_free(&k.batch);
    free(k.seconds);
    hm_store_free(k.store);
    hm_step_free(k.step);
    return st;
}
