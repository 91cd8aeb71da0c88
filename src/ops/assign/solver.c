/* solver.c: exact rectangular assignment by shortest augmenting paths, O(n^3), in double.
 * Jonker & Volgenant, "A shortest augmenting path algorithm for dense and sparse linear assignment problems" (1987), in
 * the rectangular form of Crouse, "On implementing 2D rectangular assignment algorithms" (2016). The shorter side is
 * assigned row by row: Dijkstra over reduced costs finds the cheapest path to a free column, then the dual prices are
 * raised so that all reduced costs stay non-negative. */
#include "ops/assign/solver.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "ops/assign/assign.h"

/* n rows, m columns, n <= m. */
typedef struct problem {
    int64_t n, m;
    const double *cost;   /* [n, m] */
    double *u, *v;        /* [n], [m] dual prices */
    double *dist;         /* [m] length of the shortest path to a column */
    int64_t *from;        /* [m] the row before a column on its path */
    int64_t *col4row;     /* [n] */
    int64_t *row4col;     /* [m] */
    int64_t *open;        /* [m] columns not yet reached for good; the first n_open count */
    int64_t *closed_rows; /* [n] rows on the search tree beyond its root, in order */
    int64_t n_open, n_closed;
} problem;

static int64_t shorter(int64_t rows, int64_t cols) {
    return rows < cols ? rows : cols;
}

static int64_t longer(int64_t rows, int64_t cols) {
    return rows < cols ? cols : rows;
}

size_t hm_assign_scratch(int64_t rows, int64_t cols) {
    const size_t n = (size_t)shorter(rows, cols), m = (size_t)longer(rows, cols);
    return 8 * (2 * n * m + 3 * n + 5 * m) + 64;
}

double *hm_assign_costs(void *scratch) {
    return scratch;
}

/* One relaxation from row i at path length `base`; the nearest open column's place in `open`. */
static int64_t relax(problem *p, int64_t i, double base) {
    const double *const cost = p->cost + i * p->m;
    double best = INFINITY;
    int64_t at = 0;
    for (int64_t k = 0; k < p->n_open; k++) {
        const int64_t j = p->open[k];
        const double d = base + cost[j] - p->u[i] - p->v[j];
        if (d < p->dist[j]) {
            p->dist[j] = d;
            p->from[j] = i;
        }
        /* among equals a free column ends the search at once */
        if (p->dist[j] < best || (p->dist[j] == best && p->row4col[j] < 0)) {
            best = p->dist[j];
            at = k;
        }
    }
    return at;
}

/* Shortest path from `row` to a free column, which is returned. Columns taken off `open` lie behind n_open. */
static int64_t search(problem *p, int64_t row) {
    p->n_open = p->m;
    p->n_closed = 0;
    for (int64_t j = 0; j < p->m; j++) {
        p->open[j] = p->m - 1 - j;
        p->dist[j] = INFINITY;
    }
    int64_t i = row;
    double length = 0;
    for (;;) {
        const int64_t k = relax(p, i, length), j = p->open[k];
        length = p->dist[j];
        p->open[k] = p->open[--p->n_open];
        p->open[p->n_open] = j;
        if (p->row4col[j] < 0)
            return j;
        i = p->row4col[j];
        p->closed_rows[p->n_closed++] = i;
    }
}

static void raise_prices(problem *p, int64_t row, double length) {
    p->u[row] += length;
    for (int64_t k = 0; k < p->n_closed; k++) {
        const int64_t i = p->closed_rows[k];
        p->u[i] += length - p->dist[p->col4row[i]];
    }
    for (int64_t k = p->n_open; k < p->m; k++) {
        const int64_t j = p->open[k];
        p->v[j] -= length - p->dist[j];
    }
}

/* Flips the path that ends in column j. */
static void augment(problem *p, int64_t row, int64_t j) {
    for (int64_t i = -1; i != row;) {
        i = p->from[j];
        p->row4col[j] = i;
        const int64_t next = p->col4row[i];
        p->col4row[i] = j;
        j = next;
    }
}

static void solve(problem *p) {
    for (int64_t i = 0; i < p->n; i++)
        p->col4row[i] = -1;
    for (int64_t j = 0; j < p->m; j++)
        p->row4col[j] = -1;
    memset(p->u, 0, (size_t)p->n * sizeof *p->u);
    memset(p->v, 0, (size_t)p->m * sizeof *p->v);
    for (int64_t i = 0; i < p->n; i++) {
        const int64_t j = search(p, i);
        raise_prices(p, i, p->dist[j]);
        augment(p, i, j);
    }
}

void hm_assign_run(void *scratch, int64_t rows, int64_t cols, int32_t *col4row) {
    const bool turned = rows > cols;
    const int64_t n = shorter(rows, cols), m = longer(rows, cols);
    double *const given = scratch, *const turn = given + n * m, *const prices = turn + n * m;
    int64_t *const links = (int64_t *)(prices + n + 2 * m);
    if (turned)
        for (int64_t i = 0; i < rows; i++)
            for (int64_t j = 0; j < cols; j++)
                turn[j * rows + i] = given[i * cols + j];
    problem p = {.n = n, .m = m, .cost = turned ? turn : given};
    p.u = prices;
    p.v = p.u + n;
    p.dist = p.v + m;
    p.from = links;
    p.row4col = p.from + m;
    p.open = p.row4col + m;
    p.col4row = p.open + m;
    p.closed_rows = p.col4row + n;
    solve(&p);
    for (int64_t i = 0; i < rows; i++)
        col4row[i] = (int32_t)(turned ? p.row4col[i] : p.col4row[i]);
}

hm_status hm_assign_solve(const float *cost, int64_t rows, int64_t cols, int64_t ld, int32_t *col4row) {
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++)
            if (!isfinite(cost[i * ld + j]))
                HM_FAIL(HM_ERR_ARG, "the assignment cost of row %lld, column %lld is not finite; give finite costs",
                        (long long)i, (long long)j);
    void *scratch = NULL;
    HM_TRY(hm_alloc(&scratch, hm_assign_scratch(rows, cols), 1));
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++)
            hm_assign_costs(scratch)[i * cols + j] = cost[i * ld + j];
    hm_assign_run(scratch, rows, cols, col4row);
    free(scratch);
    return HM_OK;
}
