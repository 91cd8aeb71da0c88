/* step.c: times a training step of a model on a synthetic batch and prints a
 * table: seconds and share of every op, forward and backward apart, GFLOP of the matrix work, and the fraction of the
 * machine's matrix peak as a plain 2048^3 product reaches it in the same run.
 *
 *     step [--model seg-nano] [--batch 2] [--steps 5] [--objects 7] [--precision fp32] [--device cpu] [--count 0]
 *
 * On the GPU the steps are timed as they are trained with (one captured graph each), and the table is made by a second
 * executor that runs node by node. --count 1 prints how often a step in steady state makes the host wait, allocates and
 * launches, and fails unless it neither waits nor allocates. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "base/rng.h"
#include "graph/exec.h"
#include "ops/linear/linear.h"
#include "train/step.h"
#include "weights/weights.h"

typedef struct settings {
    const char *model;
    int batch, steps, objects;
    hm_precision precision;
    hm_device device;
    int count;
} settings;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void fail(void) {
    fprintf(stderr, "step: %s\n", hm_error_message());
    exit(1);
}

#define CHECK(expr)                                                                                                    \
    do {                                                                                                               \
        if ((expr) != HM_OK)                                                                                           \
            fail();                                                                                                    \
    } while (0)

/* Multiply-adds of a matrix product counted twice; ops without products are 0. */
static double flops(const hm_node *n) {
    const char *const op = n->op->name;
    const hm_tensor *const out = n->out[0];
    if (strcmp(op, "linear") == 0 || strcmp(op, "matmul") == 0)
        return 2.0 * (double)hm_count(out) * (double)hm_dim(n->in[0], -1);
    if (strcmp(op, "linear_dx") == 0)
        return 2.0 * (double)hm_count(out) * (double)hm_dim(n->in[0], -1);
    if (strcmp(op, "linear_dw") == 0)
        return 2.0 * (double)hm_count(out) * (double)hm_rows(n->in[0], 1);
    if (strcmp(op, "conv2d") == 0)
        return 2.0 * (double)hm_count(out) * (double)hm_count(n->in[1]) / (double)hm_dim(n->in[1], 0);
    if (strcmp(op, "conv2d_dx") == 0 || strcmp(op, "conv2d_dw") == 0) {
        const hm_tensor *const w = strcmp(op, "conv2d_dw") == 0 ? out : n->in[1];
        const hm_tensor *const dy = strcmp(op, "conv2d_dw") == 0 ? n->in[1] : n->in[0];
        return 2.0 * (double)hm_rows(dy, 1) * (double)hm_count(w);
    }
    if (strcmp(op, "attention") == 0)
        return 4.0 * (double)hm_rows(n->in[0], 2) * (double)hm_dim(n->in[0], -2) * (double)hm_count(n->in[1]) /
               (double)hm_rows(n->in[1], 2);
    if (strcmp(op, "attention_back") == 0)
        return 10.0 * (double)hm_rows(n->in[0], 2) * (double)hm_dim(n->in[0], -2) * (double)hm_count(n->in[1]) /
               (double)hm_rows(n->in[1], 2);
    return 0;
}

static hm_exec_options exec_options(const settings *o, bool profile) {
    hm_exec_options eo = hm_exec_defaults();
    eo.device = o->device;
    eo.tf32 = hm_precision_half(o->precision) != HM_F32;
    eo.profile = profile;
    return eo;
}

static void wait_for(const hm_exec *e) {
    if (hm_exec_cuda(e) != NULL)
        CHECK(hm_cuda_wait(hm_exec_cuda(e)));
}

/* GFLOP/s of a 2048^3 product through the same library call as the model's. */
static double matrix_peak(const settings *o) {
    hm_graph *g = NULL;
    hm_store *store = NULL;
    hm_exec *e = NULL;
    CHECK(hm_graph_create(&g));
    hm_tensor *const x = hm_graph_input(g, "x", HM_F32, HM_SHAPE(2048, 2048));
    hm_tensor *const w = hm_graph_param(g, "w", HM_SHAPE(2048, 2048));
    hm_graph_output(g, hm_linear(g, x, w, NULL, HM_ACT_NONE), "y");
    CHECK(hm_graph_status(g));
    CHECK(hm_store_create(&store));
    CHECK(hm_store_add(store, g));
    CHECK(hm_graph_precision(g, o->device == HM_DEVICE_CUDA ? o->precision : HM_PRECISION_FP32, NULL));
    const hm_exec_options eo = exec_options(o, false);
    CHECK(hm_exec_create(&e, g, store, &eo));
    double best = 1e9;
    for (int i = 0; i < 8; i++) {
        const double t = now();
        CHECK(hm_exec_run(e, 0, i));
        wait_for(e);
        best = now() - t < best ? now() - t : best;
    }
    hm_exec_free(e);
    hm_store_free(store);
    hm_graph_free(g);
    return 2.0 * 2048 * 2048 * 2048 / best * 1e-9;
}

static void *zeroed(const hm_tensor *t) {
    void *const p = calloc((size_t)hm_count(t) + 1, hm_dtype_size(t->dtype));
    if (p == NULL)
        exit(1);
    return p;
}

static void give(hm_exec *e, const hm_tensor *t, void *numbers) {
    CHECK(hm_exec_write(e, t, numbers));
    free(numbers);
}

/* Boxes and masks of random rectangles. */
static void fill_batch(hm_exec *e, const hm_step *s, const settings *o, int64_t H, int64_t W) {
    const hm_targets *const t = &s->criterion.targets;
    float *const images = zeroed(s->model->images), *const boxes = zeroed(t->boxes);
    int32_t *const counts = zeroed(t->counts), *const labels = zeroed(t->labels);
    uint8_t *const masks = t->masks == NULL ? NULL : zeroed(t->masks);
    const uint64_t key = hm_rng_key(1, "bench");
    for (int64_t i = 0; i < hm_count(s->model->images); i++)
        images[i] = 4 * hm_rng_uniform(key, (uint64_t)i) - 2;
    for (int b = 0; b < o->batch; b++)
        counts[b] = o->objects;
    for (int64_t k = 0; k < (int64_t)o->batch * o->objects; k++) {
        const float w = 0.1f + 0.3f * hm_rng_uniform(key, 7 * (uint64_t)k), h = w;
        const float x = w / 2 + (1 - w) * hm_rng_uniform(key, 7 * (uint64_t)k + 1);
        const float y = h / 2 + (1 - h) * hm_rng_uniform(key, 7 * (uint64_t)k + 2);
        labels[k] = (int32_t)(hm_rng_bits(key, (uint64_t)k) % 3);
        memcpy(boxes + 4 * k, (const float[]){x, y, w, h}, 16);
        for (int64_t r = (int64_t)((y - h / 2) * (float)H); masks != NULL && r < (int64_t)((y + h / 2) * (float)H); r++)
            for (int64_t c = (int64_t)((x - w / 2) * (float)W); c < (int64_t)((x + w / 2) * (float)W); c++)
                masks[k * hm_dim(t->masks, 2) + (r * W + c) / 8] |= (uint8_t)(0x80 >> (r * W + c) % 8);
    }
    give(e, s->model->images, images);
    give(e, t->boxes, boxes);
    give(e, t->counts, counts);
    give(e, t->labels, labels);
    if (masks != NULL)
        give(e, t->masks, masks);
    CHECK(hm_exec_write(e, s->seed, &(float){1}));
}

typedef struct line {
    const char *op;
    bool backward;
    double seconds, flop;
    int calls;
} line;

static int by_seconds(const void *a, const void *b) {
    const double d = ((const line *)b)->seconds - ((const line *)a)->seconds;
    return d > 0 ? 1 : d < 0 ? -1 : 0;
}

static void print_table(const hm_graph *g, const hm_exec *e, const double *first, int steps, double peak) {
    line lines[256];
    size_t n = 0;
    double seconds = 0, flop = 0;
    for (size_t i = 0; i < g->n_nodes; i++) {
        const hm_node *const node = g->nodes[i];
        size_t k = 0;
        while (k < n && (strcmp(lines[k].op, node->op->name) != 0 || lines[k].backward != node->backward))
            k++;
        if (k == n)
            lines[n++] = (line){.op = node->op->name, .backward = node->backward};
        const double each = (hm_exec_seconds(e, i) - first[i]) / steps;
        lines[k].seconds += each;
        lines[k].flop += flops(node);
        lines[k].calls++;
        seconds += each;
        flop += flops(node);
    }
    qsort(lines, n, sizeof lines[0], by_seconds);
    printf("%-22s %-8s %6s %9s %7s %9s %9s\n", "op", "pass", "calls", "ms", "share", "GFLOP", "GFLOP/s");
    for (size_t k = 0; k < n; k++)
        printf("%-22s %-8s %6d %9.3f %6.1f%% %9.2f %9.1f\n", lines[k].op, lines[k].backward ? "backward" : "forward",
               lines[k].calls, 1e3 * lines[k].seconds, 100 * lines[k].seconds / seconds, 1e-9 * lines[k].flop,
               lines[k].flop > 0 ? 1e-9 * lines[k].flop / lines[k].seconds : 0.0);
    printf("matrix work %.1f GFLOP; %.1f GFLOP/s over the whole step = %.1f %% of a 2048^3 product's %.1f GFLOP/s\n",
           1e-9 * flop, 1e-9 * flop / seconds, 100 * 1e-9 * flop / seconds / peak, peak);
}

/* True modes store half weights: those are made in fp32 and rounded. */
static void fill_weights(hm_store *store, const hm_model_config *c) {
    hm_store *full = NULL;
    CHECK(hm_weights_store(&full, c));
    CHECK(hm_model_init(c, full, 1));
    CHECK(hm_store_copy(store, full));
    hm_store_free(full);
}

typedef struct bench {
    const settings *o;
    hm_model_config config;
    hm_step *step;
    hm_store *store;
} bench;

static hm_exec *start(const bench *k, bool profile) {
    hm_exec *e = NULL;
    const hm_exec_options eo = exec_options(k->o, profile);
    const hm_tensor *const watched[] = {k->step->criterion.total};
    CHECK(hm_exec_create(&e, k->step->graph, k->store, &eo));
    CHECK(hm_exec_watch(e, watched, 1));
    fill_batch(e, k->step, k->o, k->config.resolution, k->config.resolution);
    return e;
}

/* The first run prepares (and the GPU's second captures); what they take is not counted. */
static void profile(const bench *k, hm_exec *e, double peak, double *best, double *mean) {
    const hm_graph *const g = k->step->graph;
    double sum = 0, *const first = calloc(g->n_nodes, sizeof *first);
    *best = 1e9;
    for (int i = 0; i <= k->o->steps; i++) {
        float loss;
        const double t = now();
        CHECK(hm_exec_run(e, 1, i));
        CHECK(hm_exec_watched(e, 0, 0, &loss));
        const double seconds = now() - t;
        printf("step %d: %.4f s, loss %.5f\n", i, seconds, (double)loss);
        for (size_t n = 0; i == 0 && n < g->n_nodes; n++)
            first[n] = hm_exec_seconds(e, n);
        *best = i > 0 && seconds < *best ? seconds : *best;
        sum += i > 0 ? seconds : 0;
    }
    print_table(g, e, first, k->o->steps, peak);
    *mean = sum / k->o->steps;
    free(first);
}

/* Steps back to back, each with its batch sent again, losses looked at one step late, as the trainer does. */
static void time_captured(const bench *k, double *best, double *mean, size_t *device_bytes) {
    hm_cuda_about empty, full;
    CHECK(hm_cuda_describe(&empty));
    hm_exec *const e = start(k, false);
    float *const images = zeroed(k->step->model->images);
    for (int64_t i = 0; i < hm_count(k->step->model->images); i++)
        images[i] = 4 * hm_rng_uniform(1, (uint64_t)i) - 2;
    hm_cuda_counts before = {0};
    double begun = 0, last = 0;
    *best = 1e9;
    for (int i = 0; i < k->o->steps + 4; i++) {
        float loss;
        if (i == 4) {
            before = hm_cuda_count();
            begun = last = now();
        }
        CHECK(hm_exec_write(e, k->step->model->images, images));
        CHECK(hm_exec_run(e, 1, i));
        CHECK(hm_exec_watched(e, i > 0, 0, &loss));
        if (i > 4) {
            *best = now() - last < *best ? now() - last : *best;
            last = now();
        }
    }
    const hm_cuda_counts after = hm_cuda_count();
    wait_for(e);
    *mean = (now() - begun) / k->o->steps;
    CHECK(hm_cuda_describe(&full));
    *device_bytes = empty.free - full.free;
    const double n = k->o->steps;
    printf("a step: %.2f graphs, %.2f other launches, %.2f waits for all of the device's work, %.2f for earlier "
           "steps', %.2f allocations\n",
           (double)(after.graphs - before.graphs) / n, (double)(after.launches - before.launches) / n,
           (double)(after.waits - before.waits) / n, (double)(after.holds - before.holds) / n,
           (double)(after.allocations - before.allocations) / n);
    hm_exec_free(e);
    free(images);
    if (k->o->count && (after.waits != before.waits || after.allocations != before.allocations)) {
        fprintf(stderr, "step: steps in steady state wait or allocate\n");
        exit(1);
    }
}

static void run(const settings *o) {
    bench k = {.o = o};
    double best = 0, mean = 0;
    size_t device_bytes = 0;
    CHECK(hm_model_config_named(o->model, &k.config));
    hm_optim_options optim = hm_optim_defaults();
    optim.ema = false; /* as rfdetr's step is timed */
    const hm_step_options so = {
        .model = {.batch = o->batch, .height = k.config.resolution, .width = k.config.resolution, .training = true},
        .targets = o->objects,
        .criterion = hm_criterion_defaults(),
        .optim = optim,
        .precision = o->precision};
    const double peak = matrix_peak(o);
    CHECK(hm_step_build(&k.step, &k.config, &so));
    CHECK(hm_store_create(&k.store));
    CHECK(hm_store_add(k.store, k.step->graph));
    fill_weights(k.store, &k.config);
    if (o->device == HM_DEVICE_CUDA)
        time_captured(&k, &best, &mean, &device_bytes);
    hm_exec *const e = start(&k, true);
    double table_best, table_mean;
    profile(&k, e, peak, &table_best, &table_mean);
    if (o->device == HM_DEVICE_CPU) {
        best = table_best;
        mean = table_mean;
    }
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("%s batch %d %s: %.4f s a step (best), %.4f (mean); arena %.1f MiB planned, %.1f used; weights and states "
           "%.1f MiB; peak resident %.1f MiB; device peak %.1f MiB\n",
           o->model, o->batch, hm_precision_name(o->precision), best, mean, (double)hm_exec_plan(e)->bytes / 1048576.0,
           (double)hm_exec_used(e) / 1048576.0, (double)hm_store_bytes(k.store) / 1048576.0,
           (double)usage.ru_maxrss / 1024.0, (double)device_bytes / 1048576.0);
    hm_exec_free(e);
    hm_store_free(k.store);
    hm_step_free(k.step);
}

int main(int argc, char **argv) {
    settings o = {.model = "seg-nano", .batch = 2, .steps = 5, .objects = 7};
    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--model") == 0)
            o.model = argv[i + 1];
        else if (strcmp(argv[i], "--batch") == 0)
            o.batch = atoi(argv[i + 1]);
        else if (strcmp(argv[i], "--steps") == 0)
            o.steps = atoi(argv[i + 1]);
        else if (strcmp(argv[i], "--objects") == 0)
            o.objects = atoi(argv[i + 1]);
        else if (strcmp(argv[i], "--precision") == 0 && hm_precision_named(argv[i + 1], &o.precision))
            o.precision = hm_precision_resolve(o.precision, o.device);
        else if (strcmp(argv[i], "--device") == 0)
            o.device = strcmp(argv[i + 1], "cuda") == 0 ? HM_DEVICE_CUDA : HM_DEVICE_CPU;
        else if (strcmp(argv[i], "--count") == 0)
            o.count = atoi(argv[i + 1]);
        else
            argc = 2;
    }
    if (argc % 2 == 0 || o.batch < 1 || o.steps < 1 || o.objects < 1) {
        fprintf(stderr,
                "usage: step [--model seg-nano] [--batch 2] [--steps 5] [--objects 7] [--precision fp32] [--device "
                "cpu|cuda] [--count 0|1]\n");
        return 2;
    }
    run(&o);
    return 0;
}
