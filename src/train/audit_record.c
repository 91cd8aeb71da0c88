/* audit_record.c: one entry for each layer, operation and direction, in the order of execution. */
#include "train/audit_record.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "graph/op.h"
#include "graph/trace.h"
#include "train/csv_text.h"

typedef struct entry {
    const char *layer, *op;
    bool backward;
    hm_dtype stored;
    hm_magnitudes m;
} entry;

/* A graph's tensors among the entries. */
typedef struct view {
    const hm_graph *g;
    int *entry_of; /* by tensor id; -1: not looked at */
} view;

struct hm_audit_recorder {
    FILE *file;
    char *path;
    entry *entries;
    size_t n;
    view *views;
    int n_views;
};

/* Output o's. A half copy of a weight belongs to the weight. */
static const char *layer_of(const hm_node *n, int o) {
    const bool copy = n->op == hm_ops_cast && n->in[o]->storage == HM_PARAM;
    return copy ? n->in[o]->name : n->scope;
}

static bool is_looked_at(const hm_node *n) {
    return !n->op->view && !n->op->updates && n->n_out > 0 && hm_dtype_is_float(n->out[0]->dtype);
}

static int find_or_add(hm_audit_recorder *r, const hm_node *n, int o) {
    const char *const layer = layer_of(n, o);
    for (size_t i = 0; i < r->n; i++)
        if (r->entries[i].backward == n->backward && strcmp(r->entries[i].op, n->op->name) == 0 &&
            strcmp(r->entries[i].layer, layer) == 0)
            return (int)i;
    r->entries[r->n] = (entry){.layer = layer, .op = n->op->name, .backward = n->backward, .stored = n->out[0]->dtype};
    return (int)r->n++;
}

static hm_status add_view(hm_audit_recorder *r, const hm_graph *g) {
    view *const v = &r->views[r->n_views++];
    v->g = g;
    HM_TRY(hm_alloc(&v->entry_of, g->n_tensors + 1, sizeof *v->entry_of));
    for (size_t k = 0; k < g->n_nodes; k++) {
        const hm_node *const n = g->nodes[k];
        for (int o = 0; o < n->n_out; o++)
            v->entry_of[n->out[o]->id] =
                is_looked_at(n) && hm_dtype_is_float(n->out[o]->dtype) ? find_or_add(r, n, o) : -1;
    }
    return HM_OK;
}

static hm_status prepare(hm_audit_recorder *r, const char *path, const hm_graph *const *graphs, int n) {
    size_t most = 1;
    for (int i = 0; i < n; i++)
        most += graphs[i]->n_tensors;
    HM_TRY(hm_strdup(&r->path, path));
    HM_TRY(hm_alloc(&r->entries, most, sizeof *r->entries));
    HM_TRY(hm_alloc(&r->views, (size_t)n, sizeof *r->views));
    for (int i = 0; i < n; i++)
        HM_TRY(add_view(r, graphs[i]));
    r->file = fopen(path, "w");
    if (r->file == NULL)
        HM_FAIL(HM_ERR_IO, "cannot create %s: %s", path, strerror(errno));
    fputs("step,loss_scale,pass,layer,op,stored,count,largest,not_finite,zero,above,below,subnormal\n", r->file);
    return HM_OK;
}

hm_status hm_audit_begin(hm_audit_recorder **out, const char *path, const hm_graph *const *graphs, int n) {
    hm_audit_recorder *r = NULL;
    HM_TRY(hm_alloc(&r, 1, sizeof *r));
    const hm_status st = prepare(r, path, graphs, n);
    if (st != HM_OK) {
        hm_audit_end(r);
        return st;
    }
    *out = r;
    return HM_OK;
}

static const int *entries_of(const hm_audit_recorder *r, const hm_node *n) {
    int i = 0;
    while ((size_t)n->id >= r->views[i].g->n_nodes || r->views[i].g->nodes[n->id] != n)
        i++;
    return r->views[i].entry_of;
}

void hm_audit_hook(void *recorder, hm_exec *e, const hm_node *n) {
    hm_audit_recorder *const r = recorder;
    const int *const entry_of = entries_of(r, n);
    for (int o = 0; o < n->n_out; o++) {
        const int at = entry_of[n->out[o]->id];
        if (at < 0)
            continue;
        const hm_magnitudes m = hm_magnitudes_made(e, n, o);
        hm_magnitudes_join(&r->entries[at].m, &m);
    }
}

static void write_row(FILE *to, int64_t step, double scale, const entry *e) {
    char layer[512];
    layer[hm_csv_quote(layer, strlen(e->layer) < sizeof layer / 2 - 2 ? e->layer : "?")] = '\0';
    fprintf(to, "%lld,%.9g,%s,%s,%s,%s,%lld,%.9g,%lld,%lld,%lld,%lld,%lld\n", (long long)step, scale,
            e->backward ? "backward" : "forward", layer, e->op, hm_dtype_name(e->stored), (long long)e->m.count,
            e->m.largest, (long long)e->m.not_finite, (long long)e->m.zero, (long long)e->m.above,
            (long long)e->m.below, (long long)e->m.subnormal);
}

hm_status hm_audit_write(hm_audit_recorder *r, int64_t step, double loss_scale) {
    for (size_t i = 0; i < r->n; i++) {
        write_row(r->file, step, loss_scale, &r->entries[i]);
        r->entries[i].m = (hm_magnitudes){0};
    }
    if (fflush(r->file) != 0 || ferror(r->file))
        HM_FAIL(HM_ERR_IO, "cannot write %s: %s", r->path, strerror(errno));
    return HM_OK;
}

void hm_audit_end(hm_audit_recorder *r) {
    if (r == NULL)
        return;
    if (r->file != NULL)
        fclose(r->file);
    free(r->path);
    free(r->entries);
    for (int i = 0; i < r->n_views; i++)
        free(r->views[i].entry_of);
    free(r->views);
    free(r);
}
