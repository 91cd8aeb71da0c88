/* prune.c: removes the nodes that no output of the graph depends on, so that a model is built in one way and every
 * program pays only for the outputs it takes. */
#include <stdlib.h>

#include "base/mem.h"
#include "graph/op.h"

/* Whether the node writes something that outlives the run: an output, or what it updates in place. */
static bool is_root(const hm_node *n) {
    bool kept = n->op->updates;
    for (int i = 0; i < n->n_out; i++)
        kept |= n->out[i]->keep;
    return kept;
}

/* needed[i] = whether node i leads to a root. A view of a needed tensor is read through its base, so marking the
 * producers of inputs suffices; nodes are in execution order, so one sweep backwards does. */
static void mark(const hm_graph *g, bool *needed) {
    for (size_t i = g->n_nodes; i-- > 0;) {
        const hm_node *const n = g->nodes[i];
        needed[i] |= is_root(n);
        for (int k = 0; needed[i] && k < n->n_in; k++)
            if (n->in[k] != NULL && n->in[k]->producer != NULL)
                needed[n->in[k]->producer->id] = true;
    }
}

hm_status hm_graph_prune(hm_graph *g) {
    bool *needed;
    HM_TRY(hm_graph_status(g));
    if (g->n_grads > 0)
        HM_FAIL(HM_ERR_INTERNAL, "a graph is pruned before its backward nodes are made, not after");
    HM_TRY(hm_alloc(&needed, g->n_nodes + 1, sizeof *needed));
    mark(g, needed);
    size_t tensors = 0, nodes = 0;
    for (size_t i = 0; i < g->n_tensors; i++) {
        hm_tensor *const t = g->tensors[i];
        if (t->producer != NULL && !needed[t->producer->id])
            continue;
        t->id = (int)tensors;
        g->tensors[tensors++] = t;
    }
    for (size_t i = 0; i < g->n_nodes; i++)
        if (needed[i]) /* ids of tensors, above, still needed the old numbers of nodes */
            g->nodes[nodes++] = g->nodes[i];
    for (size_t i = 0; i < nodes; i++)
        g->nodes[i]->id = (int)i;
    g->n_tensors = tensors;
    g->n_nodes = nodes;
    free(needed);
    return HM_OK;
}
