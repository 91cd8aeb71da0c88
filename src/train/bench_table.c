/* bench_table.c: nodes with the same op and direction added up; floating-point operations of matrix work by shapes. */
#include "train/bench_table.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "graph/op.h"

typedef struct line {
    const char *op;
    bool backward;
    double seconds, flop;
    int64_t calls, launches;
} line;

static double attention_pairs(const hm_node *n) {
    return (double)hm_rows(n->in[0], 2) * (double)hm_dim(n->in[0], -2) * (double)hm_count(n->in[1]) /
           (double)hm_rows(n->in[1], 2);
}

/* Multiply-adds of products counted twice; ops without products are 0. */
static double flops(const hm_node *n) {
    const char *const op = n->op->name;
    const hm_tensor *const out = n->out[0];
    if (strcmp(op, "linear") == 0 || strcmp(op, "matmul") == 0 || strcmp(op, "linear_dx") == 0)
        return 2.0 * (double)hm_count(out) * (double)hm_dim(n->in[0], -1);
    if (strcmp(op, "linear_dw") == 0)
        return 2.0 * (double)hm_count(out) * (double)hm_rows(n->in[0], 1);
    if (strcmp(op, "conv2d") == 0)
        return 2.0 * (double)hm_count(out) * (double)hm_count(n->in[1]) / (double)hm_dim(n->in[1], 0);
    if (strcmp(op, "conv2d_dx") == 0)
        return 2.0 * (double)hm_rows(n->in[0], 1) * (double)hm_count(n->in[1]);
    if (strcmp(op, "conv2d_dw") == 0)
        return 2.0 * (double)hm_rows(n->in[1], 1) * (double)hm_count(out);
    if (strcmp(op, "attention") == 0)
        return 4.0 * attention_pairs(n);
    if (strcmp(op, "attention_back") == 0)
        return 10.0 * attention_pairs(n);
    return 0;
}

static int by_seconds(const void *a, const void *b) {
    const double d = ((const line *)b)->seconds - ((const line *)a)->seconds;
    return d > 0 ? 1 : d < 0 ? -1 : 0;
}

static line *line_of(line *lines, size_t *n, const hm_node *node) {
    for (size_t k = 0; k < *n; k++)
        if (lines[k].backward == node->backward && strcmp(lines[k].op, node->op->name) == 0)
            return &lines[k];
    lines[*n] = (line){.op = node->op->name, .backward = node->backward};
    return &lines[(*n)++];
}

static size_t add_up(line *lines, line *all, const hm_graph *g, const double *seconds, const int64_t *launches) {
    size_t n = 0;
    for (size_t i = 0; i < g->n_nodes; i++) {
        line *const both[] = {line_of(lines, &n, g->nodes[i]), all};
        for (int k = 0; k < 2; k++) {
            both[k]->seconds += seconds[i];
            both[k]->flop += flops(g->nodes[i]);
            both[k]->launches += launches != NULL ? launches[i] : 0;
            both[k]->calls++;
        }
    }
    qsort(lines, n, sizeof *lines, by_seconds);
    return n;
}

static void print_line(FILE *to, const line *l, double all, bool launches) {
    fprintf(to, "%-22s %-8s %6lld %9.3f %6.1f%% %9.2f %9.1f", l->op, l->backward ? "backward" : "forward",
            (long long)l->calls, 1e3 * l->seconds, 100 * l->seconds / all, 1e-9 * l->flop,
            l->flop > 0 ? 1e-9 * l->flop / l->seconds : 0.0);
    if (launches)
        fprintf(to, " %8lld", (long long)l->launches);
    fputc('\n', to);
}

hm_status hm_bench_table_print(FILE *to, const hm_graph *g, const double *seconds, const int64_t *launches,
                               double peak) {
    line *lines, all = {0};
    HM_TRY(hm_alloc(&lines, g->n_nodes + 1, sizeof *lines));
    const size_t n = add_up(lines, &all, g, seconds, launches);
    fprintf(to, "%-22s %-8s %6s %9s %7s %9s %9s%s\n", "op", "pass", "calls", "ms", "share", "GFLOP", "GFLOP/s",
            launches != NULL ? " launches" : "");
    for (size_t k = 0; k < n; k++)
        print_line(to, &lines[k], all.seconds, launches != NULL);
    fprintf(to,
            "matrix work %.1f GFLOP; %.1f GFLOP/s over the whole step = %.1f %% of a 2048^3 product's %.1f GFLOP/s\n",
            1e-9 * all.flop, 1e-9 * all.flop / all.seconds, 100 * all.flop / all.seconds / peak, 1e-9 * peak);
    free(lines);
    return HM_OK;
}
