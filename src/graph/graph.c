/* graph.c: recording of tensors and nodes. */
#include "graph/graph.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "graph/op.h"

/* Everything a graph owns comes from these blocks and goes with them. */
struct hm_block {
    struct hm_block *next;
    size_t used, size;
    _Alignas(16) unsigned char bytes[];
};

hm_status hm_graph_create(hm_graph **out) {
    HM_TRY(hm_alloc(out, 1, sizeof **out));
    (*out)->scope = "";
    return HM_OK;
}

void hm_graph_free(hm_graph *g) {
    if (g == NULL)
        return;
    for (struct hm_block *b = g->blocks, *next; b != NULL; b = next) {
        next = b->next;
        free(b);
    }
    free(g->tensors);
    free(g->nodes);
    free(g->grads);
    free(g->error);
    free(g);
}

hm_status hm_graph_status(hm_graph *g) {
    return g->status == HM_OK ? HM_OK : hm_fail(g->status, "%s", g->error != NULL ? g->error : "out of memory");
}

/* Keeps the calling thread's message as the graph's first failure. */
static void *keep_failure(hm_graph *g, hm_status code) {
    if (g->status == HM_OK) {
        g->status = code;
        g->error = strdup(hm_error_message());
    }
    return NULL;
}

void *hm_graph_fail(hm_graph *g, hm_status code, const char *fmt, ...) {
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return keep_failure(g, hm_fail(code, "%s", text));
}

void *hm_graph_alloc(hm_graph *g, size_t bytes) {
    bytes = (bytes + 15) & ~(size_t)15;
    struct hm_block *b = g->blocks;
    if (b == NULL || b->size - b->used < bytes) {
        const size_t size = bytes > 65536 ? bytes : 65536;
        b = calloc(1, sizeof *b + size);
        if (b == NULL)
            return hm_graph_fail(g, HM_ERR_MEMORY, "cannot allocate %zu bytes for the graph: out of memory", size);
        b->size = size;
        b->next = g->blocks;
        g->blocks = b;
    }
    void *const p = b->bytes + b->used;
    b->used += bytes;
    return p;
}

static const char *keep_text(hm_graph *g, const char *fmt, va_list ap) {
    va_list again;
    va_copy(again, ap);
    const int n = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    char *const s = hm_graph_alloc(g, (size_t)n + 1);
    if (s != NULL)
        vsnprintf(s, (size_t)n + 1, fmt, ap);
    return s != NULL ? s : "";
}

const char *hm_graph_text(hm_graph *g, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    const char *const s = keep_text(g, fmt, ap);
    va_end(ap);
    return s;
}

void hm_graph_scope(hm_graph *g, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    g->scope = keep_text(g, fmt, ap);
    va_end(ap);
}

static hm_tensor *new_tensor(hm_graph *g, const char *name, hm_dtype dtype, hm_shape shape, hm_storage storage) {
    if (g->status != HM_OK)
        return NULL;
    hm_tensor *const t = hm_graph_alloc(g, sizeof *t);
    const hm_status st = hm_grow(&g->tensors, &g->cap_tensors, g->n_tensors + 1, sizeof *g->tensors);
    if (t == NULL || st != HM_OK)
        return keep_failure(g, HM_ERR_MEMORY);
    *t = (hm_tensor){.id = (int)g->n_tensors, .name = name, .dtype = dtype, .shape = shape, .storage = storage};
    g->tensors[g->n_tensors++] = t;
    return t;
}

hm_tensor *hm_graph_input(hm_graph *g, const char *name, hm_dtype dtype, hm_shape shape) {
    return new_tensor(g, hm_graph_text(g, "%s", name), dtype, shape, HM_INPUT);
}

static hm_tensor *find_stored(hm_graph *g, const char *name) {
    for (size_t i = 0; i < g->n_tensors; i++) {
        hm_tensor *const t = g->tensors[i];
        if (hm_is_stored(t) && strcmp(t->name, name) == 0)
            return t;
    }
    return NULL;
}

static hm_tensor *stored(hm_graph *g, const char *name, hm_shape shape, hm_storage storage) {
    if (g->status != HM_OK)
        return NULL;
    hm_tensor *t = find_stored(g, name);
    if (t != NULL && (t->storage != storage || !hm_shape_equal(t->shape, shape)))
        return hm_graph_fail(g, HM_ERR_INTERNAL, "tensor %s is used with two shapes", name);
    if (t == NULL) {
        t = new_tensor(g, hm_graph_text(g, "%s", name), HM_F32, shape, storage);
        if (t != NULL)
            t->needs_grad = storage == HM_PARAM;
    }
    return t;
}

hm_tensor *hm_graph_param(hm_graph *g, const char *name, hm_shape shape) {
    return stored(g, name, shape, HM_PARAM);
}

hm_tensor *hm_graph_state(hm_graph *g, const char *name, hm_shape shape) {
    return stored(g, name, shape, HM_STATE);
}

hm_status hm_node_output(hm_graph *g, hm_node *n, hm_dtype dtype, hm_shape shape) {
    const hm_op *const op = n->op;
    const int o = n->n_out;
    const char *const name = hm_graph_text(g, o == 0 ? "%s/%s#%d" : "%s/%s#%d.%d", n->scope, op->name, n->id, o);
    hm_tensor *const t = new_tensor(g, name, dtype, shape, HM_TEMP);
    hm_tensor **const outs = hm_graph_alloc(g, ((size_t)o + 1) * sizeof *outs);
    if (t == NULL || outs == NULL)
        return g->status;
    if (o > 0)
        memcpy(outs, n->out, (size_t)o * sizeof *outs);
    outs[o] = t;
    n->out = outs;
    n->n_out = o + 1;
    t->producer = n;
    if (op->updates || (op->view && o == 0)) {
        t->base = n->in[o]->base != NULL ? n->in[o]->base : n->in[o];
        t->storage = n->in[o]->storage;
        if (op->updates)
            t->name = n->in[o]->name;
    }
    return HM_OK;
}

hm_status hm_node_fail(const hm_node *n, const char *fmt, ...) {
    char reason[256], shapes[400] = "", buf[96];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(reason, sizeof reason, fmt, ap);
    va_end(ap);
    for (int i = 0, at = 0; i < n->n_in && at < 300; i++)
        at += snprintf(shapes + at, sizeof shapes - (size_t)at, "%s%s", i ? " " : "",
                       n->in[i] != NULL ? hm_shape_text(n->in[i]->shape, buf) : "-");
    return hm_fail(HM_ERR_ARG, "%s in \"%s\": %s (inputs: %s)", n->op->name, n->scope, reason, shapes);
}

/* Output carries a gradient when some float input does and the op lets it through. */
static void mark_gradients(hm_node *n) {
    bool any = false;
    for (int i = 0; i < n->n_in; i++)
        any |= n->in[i] != NULL && n->in[i]->needs_grad;
    for (int o = 0; o < n->n_out; o++)
        n->out[o]->needs_grad = any && !n->op->no_grad && n->out[o]->dtype != HM_I32 && n->out[o]->dtype != HM_U8;
}

hm_node *hm_graph_node(hm_graph *g, const hm_op *op, const void *attr, size_t attr_size, hm_tensor *const *in,
                       int n_in) {
    if (g->status != HM_OK)
        return NULL;
    hm_node *const n = hm_graph_alloc(g, sizeof *n);
    void *const a = attr_size ? hm_graph_alloc(g, attr_size) : NULL;
    hm_tensor **const ins = hm_graph_alloc(g, ((size_t)n_in + 1) * sizeof *ins);
    if (n == NULL || ins == NULL || (attr_size && a == NULL))
        return NULL;
    if (attr_size)
        memcpy(a, attr, attr_size);
    if (n_in > 0)
        memcpy(ins, in, (size_t)n_in * sizeof *ins);
    *n = (hm_node){.id = (int)g->n_nodes,
                   .op = op,
                   .scope = g->scope,
                   .backward = g->in_backward,
                   .in = ins,
                   .n_in = n_in,
                   .attr = a};
    hm_status st = op->infer(g, n);
    if (st == HM_OK)
        st = hm_grow(&g->nodes, &g->cap_nodes, g->n_nodes + 1, sizeof *g->nodes);
    if (st != HM_OK)
        return keep_failure(g, st);
    g->nodes[g->n_nodes++] = n;
    mark_gradients(n);
    return n;
}

hm_tensor *hm_graph_apply(hm_graph *g, const hm_op *op, const void *attr, size_t attr_size, hm_tensor *const *in,
                          int n_in) {
    const hm_node *const n = hm_graph_node(g, op, attr, attr_size, in, n_in);
    return n != NULL ? n->out[0] : NULL;
}

hm_tensor *hm_graph_output(hm_graph *g, hm_tensor *t, const char *fmt, ...) {
    if (t == NULL || g->status != HM_OK)
        return NULL;
    va_list ap;
    va_start(ap, fmt);
    const char *const name = keep_text(g, fmt, ap);
    va_end(ap);
    t->keep = true;
    if (t->storage == HM_TEMP)
        t->name = name;
    return t;
}

/* ---- shapes and dtypes */

hm_shape hm_shape_of(int rank, const int64_t *dim) {
    hm_shape s = {.rank = rank};
    for (int i = 0; i < rank && i < HM_MAX_RANK; i++)
        s.dim[i] = dim[i];
    return s;
}

int64_t hm_shape_count(hm_shape s) {
    int64_t n = 1;
    for (int i = 0; i < s.rank; i++)
        n *= s.dim[i];
    return n;
}

bool hm_shape_equal(hm_shape a, hm_shape b) {
    if (a.rank != b.rank)
        return false;
    for (int i = 0; i < a.rank; i++)
        if (a.dim[i] != b.dim[i])
            return false;
    return true;
}

const char *hm_shape_text(hm_shape s, char *buf) {
    int at = snprintf(buf, 96, "[");
    for (int i = 0; i < s.rank && at < 80; i++)
        at += snprintf(buf + at, 96 - (size_t)at, "%s%lld", i ? "," : "", (long long)s.dim[i]);
    snprintf(buf + at, 96 - (size_t)at, "]");
    return buf;
}

size_t hm_dtype_size(hm_dtype d) {
    static const size_t size[] = {[HM_F32] = 4, [HM_F16] = 2, [HM_BF16] = 2, [HM_I32] = 4, [HM_U8] = 1};
    return size[d];
}

const char *hm_dtype_name(hm_dtype d) {
    static const char *const name[] = {
        [HM_F32] = "fp32", [HM_F16] = "fp16", [HM_BF16] = "bf16", [HM_I32] = "i32", [HM_U8] = "u8"};
    return name[d];
}
