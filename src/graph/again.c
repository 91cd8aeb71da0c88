/* again.c: makes results again in the backward pass that would otherwise be kept for it. A result lives between its
 * readers in the forward pass and those in the backward pass; where an op can make it once more from what its gradient
 * keeps anyway (hm_op.again), the backward readers get that instead and the memory in between is free. */
#include <stdlib.h>

#include "base/mem.h"
#include "graph/op.h"

hm_tensor *hm_graph_again(hm_graph *g, hm_tensor *t) {
    if (t == NULL || (size_t)t->id >= g->n_again || t->producer == NULL || t->producer->backward || t->keep ||
        t != t->producer->out[0] || t->producer->op->again == NULL)
        return t;
    hm_tensor **const made = &g->again[t->id];
    if (*made == NULL) {
        const char *const scope = g->scope;
        g->scope = t->producer->scope;
        *made = t->producer->op->again(g, t->producer);
        g->scope = scope;
        if (*made != NULL && *made != t)
            (*made)->again_of = t;
    }
    return *made;
}

static hm_status visit(void *ctx, hm_node *n) {
    hm_graph *const g = ctx;
    for (int i = 0; n->backward && i < n->n_in; i++)
        n->in[i] = hm_graph_again(g, n->in[i]);
    return hm_graph_status(g);
}

hm_status hm_graph_make_again(hm_graph *g) {
    HM_TRY(hm_graph_status(g));
    HM_TRY(hm_alloc(&g->again, g->n_tensors + 1, sizeof *g->again));
    g->n_again = g->n_tensors;
    g->in_backward = true;
    const hm_status st = hm_graph_rewrite(g, visit, g);
    g->in_backward = false;
    free(g->again);
    g->again = NULL;
    g->n_again = 0;
    return st;
}
