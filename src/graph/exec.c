/* exec.c: one arena, nodes in order. Reference runs hold every float tensor as double; runs on the GPU continue in
 * exec_cuda.c. */
#include "graph/exec_inner.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <omp.h>

#include "base/mem.h"
#include "device/cpu/convert.h"

hm_exec_options hm_exec_defaults(void) {
    return (hm_exec_options){.isa = hm_isa_best(), .threads = omp_get_max_threads()};
}

size_t hm_exec_bytes(const hm_exec *e, const hm_tensor *t) {
    return (size_t)hm_count(t) *
           (e->opt.reference && hm_dtype_is_float(t->dtype) ? sizeof(double) : hm_dtype_size(t->dtype));
}

/* Parameters live in the store, or for a reference run in doubles of its own. */
static hm_status bind_stored(hm_exec *e, hm_store *store, const hm_tensor *t) {
    const hm_tensor *const root = t->base != NULL ? t->base : t;
    if (root != t) {
        e->data[t->id] = e->data[root->id];
        return HM_OK;
    }
    hm_shape shape;
    hm_dtype dtype;
    void *const p = store != NULL ? hm_store_data(store, t->name, &shape, &dtype) : NULL;
    if (p == NULL || !hm_shape_equal(shape, t->shape) || dtype != t->dtype)
        HM_FAIL(HM_ERR_INTERNAL, "the store has no tensor %s of the graph's shape and type", t->name);
    e->data[t->id] = e->gpu != NULL ? hm_store_device_data(store, t->name) : p;
    if (e->opt.reference) {
        const size_t n = (size_t)hm_count(t);
        HM_TRY(hm_alloc(&e->params[t->id], n ? n : 1, sizeof(double)));
        for (size_t i = 0; i < n; i++)
            e->params[t->id][i] = (double)hm_float_at(dtype, p, i);
        e->data[t->id] = e->params[t->id];
    }
    return HM_OK;
}

static hm_status bind(hm_exec *e, hm_store *store) {
    const hm_graph *const g = e->g;
    for (size_t i = 0; i < g->n_tensors; i++) {
        const hm_tensor *const t = g->tensors[i];
        if (t->storage == HM_PARAM || t->storage == HM_STATE) {
            HM_TRY(bind_stored(e, store, t));
            continue;
        }
        e->data[i] = e->arena->memory + e->plan.offset[i];
        const size_t end = e->plan.offset[i] + hm_exec_bytes(e, t);
        e->used = end > e->used ? end : e->used;
    }
    return HM_OK;
}

/* The fp32 copy of a tensor stored in half, in the node's workspace; any other tensor where it lies. */
static void *stage(const hm_exec *e, const hm_tensor *t, unsigned char **copies) {
    if (t == NULL || !hm_dtype_is_half(t->dtype))
        return t != NULL ? e->data[t->id] : NULL;
    void *const p = *copies;
    *copies += hm_align_up((size_t)hm_count(t) * sizeof(float));
    return p;
}

static void point(hm_exec *e, hm_call *c, void **at) {
    const hm_node *const n = c->node;
    const size_t own = n->op->workspace != NULL ? n->op->workspace(n, e->opt.threads) : 0;
    const bool staged = e->staged[n->id];
    unsigned char *copies = (unsigned char *)c->work + hm_align_up(own);
    for (int i = 0; i < n->n_in + n->n_out; i++) {
        const hm_tensor *const t = i < n->n_in ? n->in[i] : n->out[i - n->n_in];
        at[i] = staged ? stage(e, t, &copies) : t != NULL ? e->data[t->id] : NULL;
    }
}

static hm_status make_calls(hm_exec *e) {
    const hm_graph *const g = e->g;
    size_t n = 0;
    for (size_t k = 0; k < g->n_nodes; k++)
        n += (size_t)(g->nodes[k]->n_in + g->nodes[k]->n_out);
    HM_TRY(hm_alloc(&e->pointers, n, sizeof(void *)));
    void **at = e->pointers;
    for (size_t k = 0; k < g->n_nodes; k++) {
        const hm_node *const node = g->nodes[k];
        hm_call *const c = &e->calls[k];
        *c = (hm_call){.node = node, .in = at, .out = at + node->n_in, .slot = &e->slots[k], .run = &e->run};
        const size_t bytes = e->opt.reference ? 0 : hm_node_work(node, &e->opt);
        if (bytes > 0) {
            c->work = e->arena->memory + e->plan.work_offset[k];
            e->used = e->plan.work_offset[k] + bytes > e->used ? e->plan.work_offset[k] + bytes : e->used;
        }
        e->staged[k] = !e->opt.reference && e->gpu == NULL && hm_node_staged(node);
        e->updates |= node->op->updates;
        point(e, c, at);
        at += node->n_in + node->n_out;
    }
    return HM_OK;
}

/* The one that is lent, or one that is made for this plan. */
static hm_status take_arena(hm_exec *e) {
    e->arena = e->opt.arena;
    if (e->arena == NULL) {
        HM_TRY(hm_arena_create(&e->own, e->opt.device, e->plan.bytes, e->plan.inputs));
        e->arena = e->own;
    }
    if (e->plan.bytes > e->arena->bytes || e->plan.inputs > e->arena->inputs)
        HM_FAIL(HM_ERR_INTERNAL, "the arena has %zu bytes and the plan needs %zu", e->arena->bytes, e->plan.bytes);
    return e->opt.device == HM_DEVICE_CUDA ? hm_exec_gpu_open(e) : HM_OK;
}

hm_status hm_exec_create(hm_exec **out, hm_graph *g, hm_store *store, const hm_exec_options *opt) {
    hm_exec *e = NULL;
    hm_status st;
    *out = NULL;
    HM_TRY(hm_graph_status(g));
    HM_TRY(hm_alloc(&e, 1, sizeof *e));
    e->g = g;
    e->store = store;
    e->opt = *opt;
    HM_TRY_TO(st, fail, hm_plan_make(&e->plan, g, opt));
    HM_TRY_TO(st, fail, hm_alloc(&e->data, g->n_tensors, sizeof(void *)));
    HM_TRY_TO(st, fail, hm_alloc(&e->params, g->n_tensors, sizeof(double *)));
    HM_TRY_TO(st, fail, hm_alloc(&e->slots, g->n_nodes, sizeof(void *)));
    HM_TRY_TO(st, fail, hm_alloc(&e->calls, g->n_nodes, sizeof(hm_call)));
    HM_TRY_TO(st, fail, hm_alloc(&e->staged, g->n_nodes, sizeof(bool)));
    HM_TRY_TO(st, fail, hm_alloc(&e->seconds, g->n_nodes, sizeof(double)));
    HM_TRY_TO(st, fail, take_arena(e));
    HM_TRY_TO(st, fail, bind(e, store));
    HM_TRY_TO(st, fail, make_calls(e));
    if (e->gpu != NULL)
        HM_TRY_TO(st, fail, hm_exec_gpu_ready(e));
    *out = e;
    return HM_OK;
fail:
    hm_exec_free(e);
    return st;
}

void hm_exec_free(hm_exec *e) {
    if (e == NULL)
        return;
    for (size_t k = 0; e->slots != NULL && k < e->g->n_nodes; k++)
        if (e->slots[k] != NULL && e->g->nodes[k]->op->release != NULL)
            e->g->nodes[k]->op->release(e->slots[k]);
    for (size_t i = 0; e->params != NULL && i < e->g->n_tensors; i++)
        free(e->params[i]);
    if (e->gpu != NULL)
        hm_exec_gpu_close(e);
    hm_arena_free(e->own);
    hm_plan_free(&e->plan);
    free(e->data);
    free(e->params);
    free(e->slots);
    free(e->calls);
    free(e->pointers);
    free(e->staged);
    free(e->seconds);
    free(e->watch.list);
    free(e->watch.at);
    free(e->watch.slots);
    free(e);
}

void *hm_exec_data(hm_exec *e, const hm_tensor *t) {
    return e->data[t->id];
}

hm_status hm_exec_write(hm_exec *e, const hm_tensor *t, const void *numbers) {
    if (e->gpu != NULL)
        return hm_exec_gpu_write(e, t, numbers);
    memcpy(e->data[t->id], numbers, hm_exec_bytes(e, t));
    return HM_OK;
}

hm_status hm_exec_read(hm_exec *e, const hm_tensor *t, void *numbers) {
    if (e->gpu != NULL)
        return hm_exec_gpu_read(e, t, numbers);
    memcpy(numbers, e->data[t->id], hm_exec_bytes(e, t));
    return HM_OK;
}

/* ---- watched tensors */

hm_status hm_exec_watch(hm_exec *e, const hm_tensor *const *list, int n) {
    hm_watch *const w = &e->watch;
    HM_TRY(hm_alloc(&w->list, (size_t)n + 1, sizeof *w->list));
    HM_TRY(hm_alloc(&w->at, (size_t)n + 1, sizeof *w->at));
    for (int i = 0; i < n; i++) {
        w->list[i] = list[i];
        w->at[i + 1] = w->at[i] + (int)hm_count(list[i]);
    }
    w->n = n;
    if (e->gpu != NULL)
        return hm_exec_gpu_watch(e);
    return hm_alloc(&w->slots, HM_WATCH_RUNS * (size_t)w->at[n] + 1, sizeof *w->slots);
}

size_t hm_exec_watch_bytes(const hm_tensor *const *list, int n, hm_device device) {
    size_t numbers = 0;
    for (int i = 0; i < n; i++)
        numbers += (size_t)hm_count(list[i]);
    return device == HM_DEVICE_CUDA ? hm_exec_gpu_watch_bytes((size_t)n, numbers)
                                    : HM_WATCH_RUNS * numbers * sizeof(float);
}

static void note_watched(hm_exec *e) {
    const hm_watch *const w = &e->watch;
    float *const slot = w->slots + e->runs % HM_WATCH_RUNS * (w->n > 0 ? w->at[w->n] : 0);
    for (int i = 0; i < w->n; i++)
        memcpy(slot + w->at[i], e->data[w->list[i]->id], (size_t)(w->at[i + 1] - w->at[i]) * sizeof(float));
}

hm_status hm_exec_watched(hm_exec *e, int ago, int which, float *numbers) {
    const hm_watch *const w = &e->watch;
    const int64_t run = e->runs - 1 - ago;
    if (ago < 0 || ago >= HM_WATCH_RUNS || run < 0 || which < 0 || which >= w->n)
        HM_FAIL(HM_ERR_INTERNAL, "run %lld is not remembered", (long long)run);
    if (e->gpu != NULL)
        HM_TRY(hm_exec_gpu_watched(e, run));
    memcpy(numbers, w->slots + run % HM_WATCH_RUNS * w->at[w->n] + w->at[which],
           (size_t)(w->at[which + 1] - w->at[which]) * sizeof(float));
    return HM_OK;
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Half inputs into their fp32 copies. */
static void stage_inputs(hm_exec *e, const hm_call *c) {
    for (int i = 0; i < c->node->n_in; i++) {
        const hm_tensor *const t = c->node->in[i];
        if (t != NULL && hm_dtype_is_half(t->dtype))
            hm_convert(t->dtype, e->data[t->id], HM_F32, c->in[i], hm_count(t), e->opt.isa, e->opt.threads);
    }
}

/* Copies of half outputs rounded to where they belong. */
static void stage_outputs(hm_exec *e, const hm_call *c) {
    for (int o = 0; o < c->node->n_out; o++) {
        const hm_tensor *const t = c->node->out[o];
        if (hm_dtype_is_half(t->dtype))
            hm_convert(HM_F32, c->out[o], t->dtype, e->data[t->id], hm_count(t), e->opt.isa, e->opt.threads);
    }
}

static hm_status run_node(hm_exec *e, size_t k) {
    const hm_op *const op = e->g->nodes[k]->op;
    if (op->view)
        return HM_OK;
    const hm_kernel kernel = e->opt.reference ? op->ref : op->cpu[e->opt.isa];
    if (kernel == NULL)
        HM_FAIL(HM_ERR_UNSUPPORTED, "op %s has no %s kernel", op->name, e->opt.reference ? "reference" : "CPU");
    const double start = e->opt.profile ? now() : 0;
    if (e->staged[k])
        stage_inputs(e, &e->calls[k]);
    const hm_status st = kernel(&e->calls[k]);
    if (e->staged[k])
        stage_outputs(e, &e->calls[k]);
    if (e->opt.profile)
        e->seconds[k] += now() - start;
    if (st == HM_OK && e->hook != NULL)
        e->hook(e->hook_user, e, e->g->nodes[k]);
    return st == HM_OK ? HM_OK : hm_fail_in(st, "%s in \"%s\"", op->name, e->g->nodes[k]->scope);
}

static void start_run(hm_exec *e, uint64_t seed, int64_t step) {
    e->run = (hm_run){.seed = seed,
                      .step = step,
                      .threads = e->opt.threads,
                      .deterministic = e->opt.deterministic,
                      .tf32 = e->opt.tf32};
}

static hm_status run_all(hm_exec *e) {
    if (e->opt.guard)
        hm_exec_poison(e, e->arena->memory);
    for (size_t k = 0; k < e->g->n_nodes; k++)
        HM_TRY(run_node(e, k));
    note_watched(e);
    return e->opt.guard ? hm_exec_find_damage(e, e->arena->memory) : HM_OK;
}

hm_status hm_exec_run(hm_exec *e, uint64_t seed, int64_t step) {
    start_run(e, seed, step);
    const hm_status st = e->gpu != NULL ? hm_exec_gpu_run(e) : run_all(e);
    e->place[e->runs++ % HM_KEPT_GPU] = e->arena->runs++;
    return st;
}

void hm_exec_set_hook(hm_exec *e, hm_exec_hook hook, void *user) {
    e->hook = hook;
    e->hook_user = user;
}

const float *hm_exec_unrounded(const hm_exec *e, const hm_node *n, int o) {
    return e->staged[n->id] && hm_dtype_is_half(n->out[o]->dtype) ? e->calls[n->id].out[o] : NULL;
}

hm_status hm_exec_rehearse(hm_exec *e, int ago, uint64_t seed, int64_t step, bool (*stop)(void *user, const hm_node *n),
                           void *user) {
    const int kept = e->gpu != NULL ? HM_KEPT_GPU : HM_KEPT_CPU;
    const int64_t run = e->runs - 1 - ago;
    if (ago < 0 || ago >= kept || run < 0 || e->arena->runs - e->place[run % HM_KEPT_GPU] > kept)
        HM_FAIL(HM_ERR_INTERNAL, "the inputs of run %lld are not kept", (long long)run);
    start_run(e, seed, step);
    if (e->gpu != NULL)
        return hm_exec_gpu_rehearse(e, e->place[run % HM_KEPT_GPU], stop, user);
    for (size_t k = 0; k < e->g->n_nodes; k++) {
        const hm_node *const n = e->g->nodes[k];
        if (n->op->updates)
            continue;
        HM_TRY(run_node(e, k));
        if (stop(user, n))
            return HM_OK;
    }
    return HM_OK;
}

const hm_exec_options *hm_exec_options_of(const hm_exec *e) {
    return &e->opt;
}

const hm_plan *hm_exec_plan(const hm_exec *e) {
    return &e->plan;
}

size_t hm_exec_used(const hm_exec *e) {
    return (e->used + 63) & ~(size_t)63; /* blocks are multiples of 64 bytes */
}

double hm_exec_seconds(const hm_exec *e, size_t node_id) {
    return e->seconds[node_id];
}
