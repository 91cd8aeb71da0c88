/* rewrite.c: the walk of passes that add nodes to a finished graph. */
#include <stdlib.h>

#include "base/mem.h"
#include "graph/graph.h"

typedef struct walk {
    hm_node **sorted;
    size_t n, cap;
} walk;

static hm_status take(walk *w, hm_node *n) {
    HM_TRY(hm_grow(&w->sorted, &w->cap, w->n + 1, sizeof *w->sorted));
    w->sorted[w->n++] = n;
    return HM_OK;
}

static hm_status go(walk *w, hm_graph *g, hm_status (*visit)(void *ctx, hm_node *n), void *ctx) {
    const size_t before = g->n_nodes;
    for (size_t k = 0, added = before; k < before; k++) {
        HM_TRY(visit(ctx, g->nodes[k]));
        for (; added < g->n_nodes; added++)
            HM_TRY(take(w, g->nodes[added]));
        HM_TRY(take(w, g->nodes[k]));
    }
    return HM_OK;
}

hm_status hm_graph_rewrite(hm_graph *g, hm_status (*visit)(void *ctx, hm_node *n), void *ctx) {
    walk w = {0};
    const char *const scope = g->scope;
    const hm_status st = go(&w, g, visit, ctx);
    g->scope = scope;
    if (st != HM_OK || w.n == 0) {
        free(w.sorted);
        return st;
    }
    free(g->nodes);
    g->nodes = w.sorted;
    g->cap_nodes = w.cap;
    for (size_t k = 0; k < g->n_nodes; k++)
        g->nodes[k]->id = (int)k;
    return HM_OK;
}
