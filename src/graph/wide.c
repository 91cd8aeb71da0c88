/* wide.c: a node once more, on fp32 copies of what it read and with results that are not rounded. The copies are the
 * caller's own memory, not the plan's: this is for the few steps that are audited. */
#include <stdlib.h>

#include "base/mem.h"
#include "device/cpu/convert.h"
#include "graph/exec.h"

typedef struct wide {
    hm_node node; /* n with fp32 in place of half */
    hm_tensor *tensors;
    hm_tensor **list; /* node.in, then node.out */
    void **data;      /* the same order */
    void **made;      /* what to free */
    void *work, *slot;
} wide;

static void wide_free(wide *w) {
    for (int i = 0; w->made != NULL && i < w->node.n_in + w->node.n_out; i++)
        free(w->made[i]);
    if (w->slot != NULL && w->node.op->release != NULL)
        w->node.op->release(w->slot);
    free(w->tensors);
    free(w->list);
    free(w->data);
    free(w->made);
    free(w->work);
}

static hm_status widen(wide *w, hm_exec *e, const hm_node *n, int i, const hm_exec_options *opt) {
    const bool input = i < n->n_in;
    hm_tensor *const t = input ? n->in[i] : n->out[i - n->n_in];
    w->list[i] = t;
    if (t == NULL)
        return HM_OK;
    w->data[i] = hm_exec_data(e, t);
    if (input && !hm_dtype_is_half(t->dtype))
        return HM_OK;
    w->tensors[i] = *t;
    w->list[i] = &w->tensors[i];
    w->tensors[i].dtype = hm_dtype_is_half(t->dtype) ? HM_F32 : t->dtype;
    HM_TRY(hm_alloc(&w->made[i], (size_t)hm_count(t) + 1, sizeof(float)));
    if (input)
        hm_convert(t->dtype, w->data[i], HM_F32, w->made[i], hm_count(t), opt->isa, opt->threads);
    w->data[i] = w->made[i];
    return HM_OK;
}

static hm_status prepare(wide *w, hm_exec *e, const hm_node *n, const hm_exec_options *opt) {
    const int all = n->n_in + n->n_out;
    w->node = *n;
    HM_TRY(hm_alloc(&w->tensors, (size_t)all, sizeof *w->tensors));
    HM_TRY(hm_alloc(&w->list, (size_t)all, sizeof *w->list));
    HM_TRY(hm_alloc(&w->data, (size_t)all, sizeof *w->data));
    HM_TRY(hm_alloc(&w->made, (size_t)all, sizeof *w->made));
    for (int i = 0; i < all; i++)
        HM_TRY(widen(w, e, n, i, opt));
    w->node.in = w->list;
    w->node.out = w->list + n->n_in;
    const size_t bytes = hm_node_work(&w->node, opt);
    return hm_alloc(&w->work, bytes, 1);
}

/* Nothing can be said about a node that wrote over what it read. */
static bool intact(hm_exec *e, const hm_node *n) {
    bool same = n->op->updates;
    for (int i = 0; i < n->n_in; i++)
        for (int o = 0; o < n->n_out; o++)
            same |= n->in[i] != NULL && hm_exec_data(e, n->in[i]) == hm_exec_data(e, n->out[o]);
    return !same;
}

hm_status hm_exec_widened(hm_exec *e, const hm_node *n, int o, float **out) {
    const hm_exec_options *const opt = hm_exec_options_of(e);
    *out = NULL;
    if (hm_exec_cuda(e) != NULL)
        return HM_OK;
    const hm_run run = {.threads = opt->threads};
    wide w = {0};
    *out = NULL;
    if (opt->reference || !intact(e, n))
        return HM_OK;
    hm_status st = prepare(&w, e, n, opt);
    if (st == HM_OK)
        st = n->op->cpu[opt->isa](&(hm_call){
            .node = &w.node, .in = w.data, .out = w.data + n->n_in, .work = w.work, .slot = &w.slot, .run = &run});
    if (st == HM_OK) {
        *out = w.made[n->n_in + o];
        w.made[n->n_in + o] = NULL;
    }
    wide_free(&w);
    return st;
}
