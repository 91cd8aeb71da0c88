/* nodes.c: halfmask-nodes MODEL [--precision P] [--batch-size N] [--objects N]: one training step of a model at its
 * real size on the CPU and on the GPU, node by node: each node of the GPU reads what the CPU's nodes made, so that only
 * its own rounding and its own mistakes show. Prints a line for each op and direction with its worst output; exit
 * status 0 only when all are within their tolerance, 77 without a GPU. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "graph/op.h"
#include "train/bench_batch.h"
#include "train/training.h"
#include "weights/weights.h"

#define OPS_MOST 512

/* An op in one direction. */
typedef struct line {
    const hm_op *op;
    bool backward;
    int nodes, bad;
    double worst, tolerance; /* where the error is the largest part of what is allowed */
    const char *name;        /* of that output */
} line;

typedef struct check {
    hm_precision precision;
    hm_step *step;
    hm_batch batch;
    hm_store *stores[2];
    hm_exec *execs[2]; /* CPU, GPU */
    void **made;       /* by tensor id: what the CPU's nodes made */
    line lines[OPS_MOST];
    int n_lines;
    hm_status st; /* of the hooks */
} check;

static size_t bytes_of(const hm_tensor *t) {
    return (size_t)hm_count(t) * hm_dtype_size(t->dtype);
}

/* ---- numbers */

static double number(const void *p, hm_dtype type, size_t i) {
    return hm_dtype_is_float(type) ? (double)hm_float_at(type, p, i)
           : type == HM_I32        ? ((const int32_t *)p)[i]
                                   : ((const uint8_t *)p)[i];
}

static double norm_of(const hm_tensor *t, const void *numbers) {
    double sum = 0;
    for (size_t i = 0; i < (size_t)hm_count(t); i++) {
        const double x = number(numbers, t->dtype, i);
        sum += isfinite(x) ? x * x : 0;
    }
    return sqrt(sum);
}

/* The part of integers that differ. */
static double part_that_differs(const hm_tensor *t, const void *expected, const void *found) {
    size_t differ = 0;
    for (size_t i = 0; i < (size_t)hm_count(t); i++)
        differ += number(expected, t->dtype, i) != number(found, t->dtype, i);
    return hm_count(t) > 0 ? (double)differ / (double)hm_count(t) : 0;
}

/* The L2 norm of the difference to that of what is expected or, where terms cancel out, of numbers of `size`. */
static double error_of(const hm_tensor *t, const void *expected, const void *found, double size) {
    double difference = 0;
    if (!hm_dtype_is_float(t->dtype))
        return part_that_differs(t, expected, found);
    for (size_t i = 0; i < (size_t)hm_count(t); i++) {
        const double a = number(expected, t->dtype, i), b = number(found, t->dtype, i);
        difference += a == b ? 0 : (a - b) * (a - b); /* infinities may be equal */
    }
    return difference == 0 ? 0 : sqrt(difference) / fmax(norm_of(t, expected), size * sqrt((double)hm_count(t)));
}

/* What rounding may do to an output. */
static double tolerance_of(const check *k, const hm_tensor *t) {
    return t->dtype == HM_BF16 ? 0x1p-8 : t->dtype == HM_F16 ? 0x1p-10 : hm_precision_tf32(k->precision) ? 2e-3 : 1e-4;
}

/* ---- the two runs */

static line *line_of(check *k, const hm_node *n) {
    for (int i = 0; i < k->n_lines; i++)
        if (k->lines[i].op == n->op && k->lines[i].backward == n->backward)
            return &k->lines[i];
    k->lines[k->n_lines] = (line){.op = n->op, .backward = n->backward, .tolerance = 1, .name = ""};
    return &k->lines[k->n_lines++];
}

/* Whether an output is not a result but what a kernel hands to the one that goes on with it, arranged as suits the
 * device: that one's outputs are compared. */
static bool handed_on(const hm_node *n, int o) {
    return (strcmp(n->op->name, "layer_norm_back") == 0 && o == 1) || (strcmp(n->op->name, "mask_loss") == 0 && o == 2);
}

/* Root of the mean square of the node's first input as the CPU had it, where output `o` is its sums, in which terms may
 * cancel out: a bias' gradient, a mean. Else 0. */
static double size_of_terms(const check *k, const hm_node *n, int o) {
    const bool sums = o == 1 && (strcmp(n->op->name, "linear_dw") == 0 || strcmp(n->op->name, "layer_norm") == 0);
    const hm_tensor *x = sums ? n->in[0] : NULL;
    while (x != NULL && x->base != NULL) /* what is seen through a view is as large */
        x = x->base;
    const void *const numbers = x != NULL ? k->made[x->id] : NULL;
    return numbers != NULL && hm_count(x) > 0 ? norm_of(x, numbers) / sqrt((double)hm_count(x)) : 0;
}

static hm_status keep_outputs(check *k, hm_exec *e, const hm_node *n) {
    for (int o = 0; o < n->n_out; o++) {
        const hm_tensor *const t = n->out[o];
        HM_TRY(hm_alloc((unsigned char **)&k->made[t->id], bytes_of(t) + 8, 1));
        HM_TRY(hm_exec_read(e, t, k->made[t->id]));
    }
    return HM_OK;
}

static void note(check *k, const hm_node *n, const hm_tensor *t, double error) {
    line *const l = line_of(k, n);
    const double allowed = tolerance_of(k, t);
    l->bad += !(error <= allowed);
    if (!(error / allowed < l->worst / l->tolerance) && error > 0) {
        l->worst = error;
        l->tolerance = allowed;
        l->name = t->name;
    }
}

/* And puts the CPU's numbers in their place. */
static hm_status compare_outputs(check *k, hm_exec *e, const hm_node *n) {
    line_of(k, n)->nodes++;
    for (int o = 0; o < n->n_out; o++) {
        const hm_tensor *const t = n->out[o];
        unsigned char *found;
        if (handed_on(n, o))
            continue;
        HM_TRY(hm_alloc(&found, bytes_of(t) + 8, 1));
        hm_status st = hm_exec_read(e, t, found);
        if (st == HM_OK) {
            note(k, n, t, error_of(t, k->made[t->id], found, size_of_terms(k, n, o)));
            st = hm_exec_write(e, t, k->made[t->id]);
        }
        free(found);
        HM_TRY(st);
    }
    return HM_OK;
}

static void after_node(void *user, hm_exec *e, const hm_node *n) {
    check *const k = user;
    if (k->st == HM_OK)
        k->st = hm_exec_cuda(e) == NULL ? keep_outputs(k, e, n) : compare_outputs(k, e, n);
}

static hm_status run(check *k, int which, const hm_model_config *c) {
    hm_exec_options o = hm_exec_defaults();
    o.device = which == 0 ? HM_DEVICE_CPU : HM_DEVICE_CUDA;
    o.deterministic = true;
    o.tf32 = hm_precision_tf32(k->precision);
    HM_TRY(hm_store_create(&k->stores[which]));
    HM_TRY(hm_store_add(k->stores[which], k->step->graph));
    HM_TRY(hm_weights_start(k->stores[which], c, k->precision, 1, NULL, NULL));
    HM_TRY(hm_exec_create(&k->execs[which], k->step->graph, k->stores[which], &o));
    hm_exec_set_hook(k->execs[which], after_node, k);
    HM_TRY(hm_training_give(k->step, k->execs[which], &k->batch, 1, false));
    HM_TRY(hm_exec_run(k->execs[which], 1, 0));
    return k->st;
}

static hm_status run_both(check *k, const char *model, int batch, int objects) {
    hm_model_config c;
    HM_TRY(hm_model_config_named(model, &c));
    const hm_step_options o = {
        .model = {.batch = batch, .height = c.resolution, .width = c.resolution, .training = true},
        .targets = objects,
        .criterion = hm_criterion_defaults(),
        .optim = hm_optim_defaults(),
        .precision = k->precision};
    HM_TRY(hm_precision_check(k->precision, HM_DEVICE_CUDA));
    HM_TRY(hm_step_build(&k->step, &c, &o));
    HM_TRY(hm_bench_batch_make(&k->batch, batch, objects, c.resolution, k->step->criterion.targets.masks != NULL));
    HM_TRY(hm_alloc(&k->made, k->step->graph->n_tensors, sizeof *k->made));
    HM_TRY(run(k, 0, &c));
    return run(k, 1, &c);
}

/* ---- the program */

static int print_lines(const check *k) {
    int bad = 0;
    printf("%-24s %-8s %6s %10s %10s\n", "op", "pass", "nodes", "error", "allowed");
    for (int i = 0; i < k->n_lines; i++) {
        const line *const l = &k->lines[i];
        bad += l->bad;
        printf("%-24s %-8s %6d %10.1e %10.1e %s %s\n", l->op->name, l->backward ? "backward" : "forward", l->nodes,
               l->worst, l->tolerance, l->bad > 0 ? "FAILED" : "ok", l->name);
    }
    return bad;
}

static void end(check *k) {
    for (int i = 0; i < 2; i++) {
        hm_exec_free(k->execs[i]);
        hm_store_free(k->stores[i]);
    }
    for (size_t i = 0; k->made != NULL && i < k->step->graph->n_tensors; i++)
        free(k->made[i]);
    free(k->made);
    hm_batch_free(&k->batch);
    hm_step_free(k->step);
}

static int usage(void) {
    fprintf(stderr, "usage: halfmask-nodes MODEL [--precision P] [--batch-size N] [--objects N]\n");
    return 2;
}

int main(int argc, char **argv) {
    check k = {.precision = HM_PRECISION_FP32};
    int batch = 1, objects = 7;
    for (int i = 2; i < argc; i += 2) {
        const char *const value = i + 1 < argc ? argv[i + 1] : "";
        if (strcmp(argv[i], "--precision") == 0 && hm_precision_named(value, &k.precision) &&
            k.precision < HM_PRECISION_AUTO)
            continue;
        int *const to = strcmp(argv[i], "--batch-size") == 0 ? &batch
                        : strcmp(argv[i], "--objects") == 0  ? &objects
                                                             : NULL;
        if (to == NULL || (*to = atoi(value)) < 1)
            return usage();
    }
    if (argc < 2)
        return usage();
    if (!hm_cuda_available()) {
        printf("nodes: skipped: %s\n", hm_error_message());
        return 77;
    }
    const hm_status st = run_both(&k, argv[1], batch, objects);
    const int bad = print_lines(&k);
    if (st != HM_OK)
        fprintf(stderr, "halfmask-nodes: %s\n", hm_error_message());
    printf("nodes: %s, batch %d, %s: %d outputs beyond what is allowed\n", argv[1], batch,
           hm_precision_name(k.precision), bad);
    end(&k);
    return st == HM_OK && bad == 0 ? 0 : 1;
}
