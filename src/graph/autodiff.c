/* autodiff.c: appends the backward nodes, one gradient rule per forward node, in reverse order. Where a tensor has
 * several users their contributions are added here, and only here. */
#include <stdlib.h>

#include "base/mem.h"
#include "graph/op.h"

hm_tensor *hm_graph_grad(const hm_graph *g, const hm_tensor *t) {
    return (size_t)t->id < g->n_grads ? g->grads[t->id] : NULL;
}

static hm_tensor *sum(hm_graph *g, hm_tensor *a, hm_tensor *b) {
    return hm_graph_apply(g, hm_ops_add, NULL, 0, (hm_tensor *[]){a, b}, 2);
}

static hm_status accumulate(hm_graph *g, const hm_tensor *t, hm_tensor *d) {
    if (!hm_shape_equal(t->shape, d->shape)) {
        char a[96], b[96];
        HM_FAIL(HM_ERR_INTERNAL, "gradient of %s has shape %s, not %s", t->name, hm_shape_text(d->shape, a),
                hm_shape_text(t->shape, b));
    }
    hm_tensor **const slot = &g->grads[t->id];
    *slot = *slot == NULL ? d : sum(g, *slot, d);
    return g->status;
}

static hm_status node_backward(hm_graph *g, hm_node *n) {
    hm_tensor *dout[n->n_out], *din[n->n_in + 1];
    bool any = false;
    for (int o = 0; o < n->n_out; o++) {
        dout[o] = n->out[o]->needs_grad ? g->grads[n->out[o]->id] : NULL;
        any |= dout[o] != NULL;
    }
    if (!any)
        return HM_OK;
    if (n->op->grad == NULL)
        HM_FAIL(HM_ERR_INTERNAL, "op %s has no gradient rule, but tensor %s needs one", n->op->name, n->out[0]->name);
    for (int i = 0; i < n->n_in; i++)
        din[i] = NULL;
    g->scope = n->scope;
    HM_TRY(n->op->grad(g, n, dout, din));
    HM_TRY(g->status);
    for (int i = 0; i < n->n_in; i++)
        if (hm_wants_grad(n, i) && din[i] != NULL)
            HM_TRY(accumulate(g, n->in[i], din[i]));
    return HM_OK;
}

static hm_status run_backward(hm_graph *g, hm_tensor *const *of, hm_tensor *const *seed, int n) {
    const size_t n_forward = g->n_nodes, count = g->n_tensors;
    free(g->grads);
    g->n_grads = 0;
    HM_TRY(hm_alloc(&g->grads, count, sizeof *g->grads));
    g->n_grads = count;
    for (int i = 0; i < n; i++)
        if (of[i]->needs_grad)
            HM_TRY(accumulate(g, of[i], seed[i]));
    for (size_t k = n_forward; k-- > 0;)
        HM_TRY(node_backward(g, g->nodes[k]));
    return HM_OK;
}

hm_status hm_graph_backward(hm_graph *g, hm_tensor *const *of, hm_tensor *const *seed, int n) {
    HM_TRY(hm_graph_status(g));
    g->in_backward = true;
    hm_status st = run_backward(g, of, seed, n);
    g->in_backward = false;
    g->scope = "";
    if (st != HM_OK && g->status == HM_OK)
        hm_graph_fail(g, st, "%s", hm_error_message());
    return hm_graph_status(g);
}
