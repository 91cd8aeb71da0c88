/* step.c: times a training step of a model on a synthetic batch and prints a
 * table: seconds and share of every op, forward and backward apart, GFLOP of the matrix work, and the fraction of the
 * machine's matrix peak as a plain 2048^3 product reaches it in the same run.
 *
 *     step [--model seg-nano] [--batch 2] [--steps 5] [--objects 7] [--precision fp32] */
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

/* GFLOP/s of a 2048^3 product through the same library call as the model's. */
static double matrix_peak(void) {
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
    const hm_exec_options eo = hm_exec_defaults();
    CHECK(hm_exec_create(&e, g, store, &eo));
    double best = 1e9;
    for (int i = 0; i < 8; i++) {
        const double t = now();
        CHECK(hm_exec_run(e, 0, i));
        best = now() - t < best ? now() - t : best;
    }
    hm_exec_free(e);
    hm_store_free(store);
    hm_graph_free(g);
    return 2.0 * 2048 * 2048 * 2048 / best * 1e-9;
}

/* Boxes and masks of random rectangles. */
static void fill_batch(hm_exec *e, const hm_step *s, const settings *o, int64_t H, int64_t W) {
    const hm_targets *const t = &s->criterion.targets;
    float *const images = hm_exec_data(e, s->model->images), *const boxes = hm_exec_data(e, t->boxes);
    int32_t *const counts = hm_exec_data(e, t->counts), *const labels = hm_exec_data(e, t->labels);
    uint8_t *const masks = t->masks == NULL ? NULL : hm_exec_data(e, t->masks);
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
        printf("%-22s %-8s %6d %9.2f %6.1f%% %9.2f %9.1f\n", lines[k].op, lines[k].backward ? "backward" : "forward",
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

static void bench(const settings *o) {
    hm_model_config c;
    hm_step *s = NULL;
    hm_store *store = NULL;
    hm_exec *e = NULL;
    CHECK(hm_model_config_named(o->model, &c));
    hm_optim_options optim = hm_optim_defaults();
    optim.ema = false; /* as rfdetr's step is timed */
    const hm_step_options so = {
        .model = {.batch = o->batch, .height = c.resolution, .width = c.resolution, .training = true},
        .targets = o->objects,
        .criterion = hm_criterion_defaults(),
        .optim = optim,
        .precision = o->precision};
    const double peak = matrix_peak();
    CHECK(hm_step_build(&s, &c, &so));
    CHECK(hm_store_create(&store));
    CHECK(hm_store_add(store, s->graph));
    fill_weights(store, &c);
    hm_exec_options eo = hm_exec_defaults();
    eo.profile = true;
    CHECK(hm_exec_create(&e, s->graph, store, &eo));
    fill_batch(e, s, o, c.resolution, c.resolution);
    *(float *)hm_exec_data(e, s->seed) = 1;
    double best = 1e9, sum = 0, *const first = calloc(s->graph->n_nodes, sizeof *first);
    for (int i = 0; i <= o->steps; i++) { /* the first makes the library's primitives and is not counted */
        const double t = now();
        CHECK(hm_exec_run(e, 1, i));
        const double seconds = now() - t;
        printf("step %d: %.3f s, loss %.5f\n", i, seconds, *(float *)hm_exec_data(e, s->criterion.total));
        for (size_t k = 0; i == 0 && k < s->graph->n_nodes; k++)
            first[k] = hm_exec_seconds(e, k);
        best = i > 0 && seconds < best ? seconds : best;
        sum += i > 0 ? seconds : 0;
    }
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    print_table(s->graph, e, first, o->steps, peak);
    free(first);
    printf(
        "%s batch %d %s: %.3f s a step (best), %.3f (mean); arena %.1f MiB planned, %.1f used; weights and states %.1f "
        "MiB; peak resident %.1f MiB\n",
        o->model, o->batch, hm_precision_name(o->precision), best, sum / o->steps,
        (double)hm_exec_plan(e)->bytes / 1048576.0, (double)hm_exec_used(e) / 1048576.0,
        (double)hm_store_bytes(store) / 1048576.0, (double)usage.ru_maxrss / 1024.0);
    hm_exec_free(e);
    hm_store_free(store);
    hm_step_free(s);
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
            o.precision = hm_precision_resolve(o.precision);
        else
            argc = 2;
    }
    if (argc % 2 == 0 || o.batch < 1 || o.steps < 1 || o.objects < 1) {
        fprintf(stderr, "usage: step [--model seg-nano] [--batch 2] [--steps 5] [--objects 7] [--precision fp32]\n");
        return 2;
    }
    bench(&o);
    return 0;
}
