/* exec_order.c: what each node of a run must wait for, found from the addresses that nodes read and write: of two nodes
 * that touch the same bytes, one of them writing, the later one follows the earlier. Everything else may run side by
 * side on the GPU; memory that the plan gives to one tensor after another is thereby safe too. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "graph/exec_inner.h"

/* Bytes [from, to) that a node reads or writes. */
typedef struct touch {
    uintptr_t from, to;
    int node;
    bool write;
} touch;

typedef struct finder {
    const hm_exec *e;
    const bool *products;
    touch *live; /* touches that later nodes can still meet */
    size_t n_live, cap_live;
    touch *own; /* of the node at hand */
    size_t n_own;
    size_t words;
    uint64_t *wanted; /* nodes that the one at hand must follow */
    uint64_t *behind; /* [n_nodes + 1, words]: nodes that each one follows, directly or not, and itself */
} finder;

static void set_bit(uint64_t *bits, int i) {
    bits[i / 64] |= (uint64_t)1 << i % 64;
}

static bool has_bit(const uint64_t *bits, int i) {
    return bits[i / 64] >> i % 64 & 1;
}

static void add_touch(finder *f, int node, const void *at, size_t bytes, bool write) {
    if (at != NULL && bytes > 0)
        f->own[f->n_own++] = (touch){(uintptr_t)at, (uintptr_t)at + bytes, node, write};
}

static void list_touches(finder *f, int k) {
    const hm_exec *const e = f->e;
    const hm_node *const n = e->g->nodes[k];
    f->n_own = 0;
    for (int i = 0; i < n->n_in; i++)
        if (n->in[i] != NULL)
            add_touch(f, k, e->calls[k].in[i], hm_exec_bytes(e, n->in[i]), false);
    for (int o = 0; o < n->n_out; o++)
        add_touch(f, k, e->calls[k].out[o], hm_exec_bytes(e, n->out[o]), true);
    add_touch(f, k, e->calls[k].work, hm_node_work(n, &e->opt), true);
    if (f->products[k]) /* the room of its products, as if it were a byte at an address that nothing has */
        add_touch(f, k, (const void *)(uintptr_t)(1 + n->op->aside), 1, true);
}

/* Marks the nodes that this one must follow, and forgets touches that it covers. */
static void meet(finder *f) {
    size_t kept = 0;
    for (size_t i = 0; i < f->n_live; i++) {
        const touch t = f->live[i];
        bool covered = false;
        for (size_t k = 0; k < f->n_own; k++) {
            const touch *const o = &f->own[k];
            if (o->from >= t.to || t.from >= o->to || !(o->write || t.write))
                continue;
            set_bit(f->wanted, t.node);
            covered |= o->write && o->from <= t.from && t.to <= o->to;
        }
        if (!covered)
            f->live[kept++] = t;
    }
    f->n_live = kept;
}

static hm_status remember(finder *f) {
    HM_TRY(hm_grow(&f->live, &f->cap_live, f->n_live + f->n_own, sizeof *f->live));
    memcpy(f->live + f->n_live, f->own, f->n_own * sizeof *f->own);
    f->n_live += f->n_own;
    return HM_OK;
}

/* Of the marked nodes those that no other marked one follows, the latest first, become node k's `before`. */
static hm_status settle(finder *f, hm_order *out, size_t *cap, int k) {
    uint64_t *const behind = f->behind + (size_t)k * f->words;
    for (int j = k - 1; j >= 0; j--) {
        if (!has_bit(f->wanted, j) || has_bit(behind, j))
            continue;
        HM_TRY(hm_grow(&out->before, cap, (size_t)out->first[k + 1] + 1, sizeof *out->before));
        out->before[out->first[k + 1]++] = j;
        for (size_t w = 0; w < f->words; w++)
            behind[w] |= f->behind[(size_t)j * f->words + w];
    }
    set_bit(behind, k);
    memset(f->wanted, 0, f->words * sizeof *f->wanted);
    return HM_OK;
}

static hm_status find(finder *f, hm_order *out) {
    const int n = (int)f->e->g->n_nodes;
    size_t cap = 0;
    for (int k = 0; k <= n; k++) {
        out->first[k + 1] = out->first[k];
        if (k == n) /* the end follows all */
            memset(f->wanted, 0xFF, f->words * sizeof *f->wanted);
        else if (f->e->g->nodes[k]->op->view)
            f->n_own = 0;
        else
            list_touches(f, k);
        if (k < n)
            meet(f);
        HM_TRY(settle(f, out, &cap, k));
        HM_TRY(remember(f));
    }
    return HM_OK;
}

/* Touches of the node that has the most. */
static size_t most_touches(const hm_graph *g) {
    size_t most = 0;
    for (size_t k = 0; k < g->n_nodes; k++) {
        const size_t n = (size_t)(g->nodes[k]->n_in + g->nodes[k]->n_out) + 2;
        most = n > most ? n : most;
    }
    return most;
}

hm_status hm_exec_order(hm_order *out, const hm_exec *e, const bool *products) {
    const size_t n = e->g->n_nodes;
    finder f = {.e = e, .products = products, .words = n / 64 + 1};
    hm_status st;
    *out = (hm_order){0};
    HM_TRY_TO(st, done, hm_alloc(&out->first, n + 2, sizeof *out->first));
    HM_TRY_TO(st, done, hm_alloc(&f.own, most_touches(e->g), sizeof *f.own));
    HM_TRY_TO(st, done, hm_alloc(&f.wanted, f.words, sizeof *f.wanted));
    HM_TRY_TO(st, done, hm_alloc(&f.behind, (n + 1) * f.words, sizeof *f.behind));
    st = find(&f, out);
done:
    free(f.live);
    free(f.own);
    free(f.wanted);
    free(f.behind);
    if (st != HM_OK)
        hm_order_free(out);
    return st;
}

void hm_order_free(hm_order *o) {
    free(o->first);
    free(o->before);
    *o = (hm_order){0};
}
