/* autodiff.c: appends the backward nodes, one gradient rule per forward node, in reverse order. Where a tensor has
 * several users their contributions are added here, and only here. */
#include <stdlib.h>

#include "base/mem.h"
#include "graph/op.h"

#define SMALL ((int64_t)1 << 20) /* numbers of a tensor whose terms wait */
#define NEAR  3                  /* nodes back to the next reader that larger ones wait for */

hm_tensor *hm_graph_grad(const hm_graph *g, const hm_tensor *t) {
    return (size_t)t->id < g->n_grads ? g->grads[t->id] : NULL;
}

/* What has been found of a tensor's gradient and is not added up yet. */
typedef struct terms {
    hm_tensor *of[HM_ADD_MOST];
    int n;
    const char *scope; /* of the last one */
} terms;

typedef struct walk {
    hm_graph *g;
    terms *found; /* by tensor id */
    int *first;   /* by tensor id: its first reader, the last one to find a term */
} walk;

/* Where the later of two terms comes from an op that adds one to its result, it gets the other. */
static bool add_within(terms *f) {
    const hm_tensor *const early = f->of[0], *const late = f->of[1];
    hm_node *const n = late->producer;
    if (f->n != 2 || n == NULL || n->op->plus == 0 || n->in[n->op->plus] != NULL || n->out[0] != late)
        return false;
    if (early == late || (early->producer != NULL && early->producer->id >= n->id))
        return false;
    n->in[n->op->plus] = f->of[0];
    f->of[0] = f->of[1];
    f->n = 1;
    return true;
}

static hm_status add_up(walk *w, const hm_tensor *t) {
    hm_graph *const g = w->g;
    terms *const f = &w->found[t->id];
    const char *const scope = g->scope;
    if (f->n > 1 && !add_within(f)) {
        g->scope = f->scope;
        f->of[0] = hm_graph_apply(g, hm_ops_add, NULL, 0, f->of, f->n);
        f->n = 1;
        g->scope = scope;
    }
    g->grads[t->id] = f->n > 0 ? f->of[0] : NULL;
    return g->status;
}

static hm_status accumulate(walk *w, const hm_tensor *t, hm_tensor *d) {
    if (!hm_shape_equal(t->shape, d->shape)) {
        char a[96], b[96];
        HM_FAIL(HM_ERR_INTERNAL, "gradient of %s has shape %s, not %s", t->name, hm_shape_text(d->shape, a),
                hm_shape_text(t->shape, b));
    }
    terms *const f = &w->found[t->id];
    if (f->n == HM_ADD_MOST)
        HM_TRY(add_up(w, t));
    f->of[f->n++] = d;
    f->scope = w->g->scope;
    return HM_OK;
}

static bool reads(const hm_node *n, const hm_tensor *t) {
    for (int i = 0; i < n->n_in; i++)
        if (n->in[i] == t)
            return true;
    return false;
}

/* Whether t's terms should wait for the next one: adding many at once is quicker, but terms take memory until then.
 * Small ones always wait, others when the next reader is at hand. */
static bool may_wait(const walk *w, const hm_node *n, const hm_tensor *t) {
    if (n->id <= w->first[t->id])
        return false;
    bool near = hm_count(t) <= SMALL;
    for (int k = n->id - 1; k >= 0 && k >= n->id - NEAR && !near; k--)
        near = reads(w->g->nodes[k], t);
    return near;
}

static hm_status find_terms(walk *w, hm_node *n, hm_tensor *const *dout) {
    hm_tensor *din[n->n_in + 1];
    for (int i = 0; i < n->n_in; i++)
        din[i] = NULL;
    HM_TRY(n->op->grad(w->g, n, dout, din));
    HM_TRY(w->g->status);
    for (int i = 0; i < n->n_in; i++)
        if (hm_wants_grad(n, i) && din[i] != NULL)
            HM_TRY(accumulate(w, n->in[i], din[i]));
    return HM_OK;
}

static hm_status node_backward(walk *w, hm_node *n) {
    hm_tensor *dout[n->n_out];
    bool any = false;
    w->g->scope = n->scope;
    for (int o = 0; o < n->n_out; o++) {
        HM_TRY(add_up(w, n->out[o]));
        dout[o] = n->out[o]->needs_grad ? w->g->grads[n->out[o]->id] : NULL;
        any |= dout[o] != NULL;
    }
    if (any && n->op->grad == NULL)
        HM_FAIL(HM_ERR_INTERNAL, "op %s has no gradient rule, but tensor %s needs one", n->op->name, n->out[0]->name);
    if (any)
        HM_TRY(find_terms(w, n, dout));
    for (int i = 0; i < n->n_in; i++)
        if (n->in[i] != NULL && !may_wait(w, n, n->in[i]))
            HM_TRY(add_up(w, n->in[i]));
    return HM_OK;
}

static hm_status go_back(walk *w, size_t n_forward, hm_tensor *const *of, hm_tensor *const *seed, int n) {
    hm_graph *const g = w->g;
    for (size_t k = n_forward; k-- > 0;)
        for (int i = 0; i < g->nodes[k]->n_in; i++)
            if (g->nodes[k]->in[i] != NULL)
                w->first[g->nodes[k]->in[i]->id] = (int)k;
    for (int i = 0; i < n; i++)
        if (of[i]->needs_grad)
            HM_TRY(accumulate(w, of[i], seed[i]));
    for (size_t k = n_forward; k-- > 0;)
        HM_TRY(node_backward(w, g->nodes[k]));
    for (size_t i = 0; i < g->n_grads; i++)
        HM_TRY(add_up(w, g->tensors[i])); /* what nothing reads may still be seeded */
    return HM_OK;
}

static hm_status run_backward(hm_graph *g, hm_tensor *const *of, hm_tensor *const *seed, int n) {
    walk w = {.g = g};
    hm_status st;
    free(g->grads);
    g->n_grads = 0;
    HM_TRY(hm_alloc(&g->grads, g->n_tensors, sizeof *g->grads));
    g->n_grads = g->n_tensors;
    HM_TRY_TO(st, done, hm_alloc(&w.found, g->n_tensors, sizeof *w.found));
    HM_TRY_TO(st, done, hm_alloc(&w.first, g->n_tensors, sizeof *w.first));
    st = go_back(&w, g->n_nodes, of, seed, n);
done:
    free(w.found);
    free(w.first);
    return st;
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
