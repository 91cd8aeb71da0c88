/* plan.c: lifetimes to offsets. Tensors that share memory (views, in-place results) form one block; blocks that live at
 * the same time never overlap; large blocks are placed first, each at the lowest offset where it fits. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "graph/exec.h"

#define ALIGN ((size_t)64)
/* Nodes for which the memory of an op that runs aside stays its own, so that nothing waits for it. */
#define LINGER 8

typedef struct block {
    int first, last; /* node ids between which it lives */
    int tensor;      /* root tensor id, or -1 - node id for a workspace */
    size_t bytes, offset;
} block;

static size_t tensor_bytes(const hm_tensor *t, const hm_exec_options *opt) {
    const size_t item =
        opt->reference && t->dtype != HM_I32 && t->dtype != HM_U8 ? sizeof(double) : hm_dtype_size(t->dtype);
    return hm_align_up((size_t)hm_count(t) * item + (opt->guard ? ALIGN : 0));
}

bool hm_node_staged(const hm_node *n) {
    bool half = false;
    for (int i = 0; i < n->n_in; i++)
        half |= n->in[i] != NULL && hm_dtype_is_half(n->in[i]->dtype);
    for (int o = 0; o < n->n_out; o++)
        half |= hm_dtype_is_half(n->out[o]->dtype);
    return half && !n->op->view && !(n->op->native != NULL && n->op->native(n));
}

static size_t copy_bytes(const hm_tensor *t) {
    return t != NULL && hm_dtype_is_half(t->dtype) ? hm_align_up((size_t)hm_count(t) * sizeof(float)) : 0;
}

size_t hm_node_work(const hm_node *n, const hm_exec_options *opt) {
    if (opt->device == HM_DEVICE_CUDA)
        return n->op->cuda_workspace != NULL ? n->op->cuda_workspace(n) : 0;
    size_t bytes = n->op->workspace != NULL ? n->op->workspace(n, opt->threads) : 0;
    if (!hm_node_staged(n))
        return bytes;
    bytes = hm_align_up(bytes);
    for (int i = 0; i < n->n_in; i++)
        bytes += copy_bytes(n->in[i]);
    for (int o = 0; o < n->n_out; o++)
        bytes += copy_bytes(n->out[o]);
    return bytes;
}

static bool in_arena(const hm_tensor *t) {
    return t->storage == HM_TEMP || t->storage == HM_INPUT;
}

/* The node up to which memory that node n uses stays its own, wherever else it ends. */
static int released(const hm_node *n, const hm_exec_options *opt) {
    return n->id + (n->op->aside && opt->device == HM_DEVICE_CUDA ? LINGER : 0);
}

/* last[t] = last node that needs tensor t through any of its views. */
static void find_lifetimes(const hm_graph *g, const hm_exec_options *opt, const int *root, int *first, int *last) {
    const int end = (int)g->n_nodes;
    for (size_t i = 0; i < g->n_tensors; i++) {
        first[i] = end;
        last[i] = -1;
    }
    for (size_t i = 0; i < g->n_tensors; i++) {
        const hm_tensor *const t = g->tensors[i];
        const int r = root[i];
        const bool made = t->storage != HM_INPUT && t->producer != NULL;
        const int born = made ? t->producer->id : 0, least = made ? released(t->producer, opt) : 0;
        first[r] = born < first[r] ? born : first[r];
        last[r] = least > last[r] ? least : last[r];
        if (t->keep || t->storage == HM_INPUT)
            last[r] = end;
    }
    for (int k = 0; k < end; k++)
        for (int i = 0; i < g->nodes[k]->n_in; i++)
            if (g->nodes[k]->in[i] != NULL) {
                const int r = root[g->nodes[k]->in[i]->id], needed = released(g->nodes[k], opt);
                last[r] = needed > last[r] ? needed : last[r];
            }
}

/* An in-place op takes over its input's memory when nothing else needs that memory from here on. */
static void merge_in_place(const hm_graph *g, int *root, int *last) {
    for (size_t k = 0; k < g->n_nodes; k++) {
        const hm_node *const n = g->nodes[k];
        if (!n->op->in_place || n->in[0] == NULL)
            continue;
        const int from = root[n->in[0]->id], to = root[n->out[0]->id];
        const bool dies = g->tensors[from]->storage == HM_TEMP && last[from] == n->id && from != to;
        const bool fits =
            g->tensors[from]->dtype == n->out[0]->dtype && hm_count(g->tensors[from]) == hm_count(n->out[0]);
        bool read_elsewhere = false; /* as another input of this very node */
        for (int i = 1; i < n->n_in; i++)
            read_elsewhere |= n->in[i] != NULL && root[n->in[i]->id] == from;
        if (!dies || !fits || read_elsewhere || g->tensors[to]->storage != HM_TEMP)
            continue;
        for (size_t i = 0; i < g->n_tensors; i++)
            if (root[i] == to)
                root[i] = from;
        last[from] = last[to] > last[from] ? last[to] : last[from];
    }
}

static int larger_first(const void *a, const void *b) {
    const block *const x = a, *const y = b;
    if (x->bytes != y->bytes)
        return x->bytes < y->bytes ? 1 : -1;
    return x->first != y->first ? x->first - y->first : x->tensor - y->tensor;
}

static int lower_first(const void *a, const void *b) {
    const block *const x = *(block *const *)a, *const y = *(block *const *)b;
    return x->offset < y->offset ? -1 : x->offset > y->offset;
}

/* Gives every block an offset; returns the arena's size. `near` is scratch for n pointers. */
static size_t place(block *blocks, size_t n, block **near, bool share) {
    size_t peak = 0;
    qsort(blocks, n, sizeof *blocks, larger_first);
    for (size_t i = 0; i < n; i++) {
        block *const b = &blocks[i];
        size_t m = 0, at = share ? 0 : peak;
        for (size_t j = 0; j < i && share; j++)
            if (blocks[j].first <= b->last && b->first <= blocks[j].last)
                near[m++] = &blocks[j];
        qsort(near, m, sizeof(block *), lower_first);
        for (size_t j = 0; j < m && near[j]->offset < at + b->bytes; j++)
            if (near[j]->offset + near[j]->bytes > at)
                at = near[j]->offset + near[j]->bytes;
        b->offset = at;
        peak = at + b->bytes > peak ? at + b->bytes : peak;
    }
    return peak;
}

static size_t collect(const hm_graph *g, const hm_plan *p, const int *first, const int *last,
                      const hm_exec_options *opt, block *blocks) {
    size_t n = 0;
    for (size_t i = 0; i < g->n_tensors; i++)
        if (p->root[i] == (int)i && in_arena(g->tensors[i]))
            blocks[n++] = (block){first[i], last[i], (int)i, tensor_bytes(g->tensors[i], opt), 0};
    for (size_t k = 0; k < g->n_nodes && !opt->reference; k++) {
        const hm_node *const node = g->nodes[k];
        const size_t bytes = hm_align_up(hm_node_work(node, opt));
        if (bytes > 0)
            blocks[n++] = (block){(int)k, released(node, opt), -1 - (int)k, bytes + (opt->guard ? ALIGN : 0), 0};
    }
    return n;
}

static void record(hm_plan *p, const hm_graph *g, const block *blocks, size_t n) {
    for (size_t i = 0; i < g->n_tensors; i++)
        p->offset[i] = SIZE_MAX;
    for (size_t i = 0; i < n; i++) {
        p->unshared += blocks[i].bytes;
        if (blocks[i].tensor < 0)
            p->work_offset[-1 - blocks[i].tensor] = blocks[i].offset;
        else
            p->offset[blocks[i].tensor] = blocks[i].offset;
    }
    for (size_t i = 0; i < g->n_tensors; i++)
        p->offset[i] = p->offset[p->root[i]];
}

static size_t input_bytes(const hm_graph *g) {
    size_t bytes = hm_align_up(sizeof(hm_cuda_draw));
    for (size_t i = 0; i < g->n_tensors; i++)
        if (g->tensors[i]->storage == HM_INPUT && g->tensors[i]->base == NULL)
            bytes += hm_align_up((size_t)hm_count(g->tensors[i]) * hm_dtype_size(g->tensors[i]->dtype));
    return bytes;
}

hm_status hm_plan_make(hm_plan *out, const hm_graph *g, const hm_exec_options *opt) {
    hm_plan p = {0};
    hm_status st;
    int *first = NULL, *last = NULL;
    block *blocks = NULL, **near = NULL;
    const size_t most = g->n_tensors + g->n_nodes;
    HM_TRY_TO(st, done, hm_alloc(&p.root, g->n_tensors, sizeof(int)));
    HM_TRY_TO(st, done, hm_alloc(&p.offset, g->n_tensors, sizeof(size_t)));
    HM_TRY_TO(st, done, hm_alloc(&p.work_offset, g->n_nodes, sizeof(size_t)));
    HM_TRY_TO(st, done, hm_alloc(&first, g->n_tensors, sizeof(int)));
    HM_TRY_TO(st, done, hm_alloc(&last, g->n_tensors, sizeof(int)));
    HM_TRY_TO(st, done, hm_alloc(&blocks, most, sizeof(block)));
    HM_TRY_TO(st, done, hm_alloc(&near, most, sizeof(block *)));
    for (size_t i = 0; i < g->n_tensors; i++)
        p.root[i] = g->tensors[i]->base != NULL ? g->tensors[i]->base->id : (int)i;
    find_lifetimes(g, opt, p.root, first, last);
    if (!opt->guard)
        merge_in_place(g, p.root, last);
    const size_t n = collect(g, &p, first, last, opt, blocks);
    p.bytes = place(blocks, n, near, !opt->guard);
    p.inputs = input_bytes(g);
    record(&p, g, blocks, n);
    *out = p;
    p = (hm_plan){0};
done:
    hm_plan_free(&p);
    free(first);
    free(last);
    free(blocks);
    free(near);
    return st;
}

void hm_plan_free(hm_plan *p) {
    if (p == NULL)
        return;
    free(p->root);
    free(p->offset);
    free(p->work_offset);
    *p = (hm_plan){0};
}
