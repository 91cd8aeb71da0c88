/* exec_cuda.c: running a graph on the GPU. The first run enqueues node by node (and lets libraries prepare); the second
 * is captured, each node behind those that it must follow (exec_order.c); from then on a run is one launch of that
 * graph. Inputs lie in the arena's pinned memory twice, so that the host fills one set while the other travels on the
 * upload stream; watched numbers come back into a ring. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "graph/exec_inner.h"

/* An input of the graph: where its numbers wait, on the host and on the device. */
typedef struct feed {
    const hm_tensor *t; /* NULL: what draws are named after */
    void *to;
    size_t at, bytes; /* in a set */
    bool dirty;
    bool sent[HM_KEPT_GPU]; /* the last run with a set took it along */
} feed;

struct hm_exec_gpu {
    hm_cuda *device;
    hm_cuda_draw *draw; /* on the device */
    hm_cuda_graph *captured;
    bool *products; /* by node id: has multiplied matrices in a run so far */
    feed *feeds;
    int *feed_of; /* by tensor id: index into feeds, or -1 */
    size_t n_feeds;
    hm_cuda_event **marks; /* [n_nodes + 1] with profile */
    /* watched tensors */
    const float **sources; /* these four on the device */
    int *at, *counts;
    float *packed;
    float *ring; /* pinned [HM_WATCH_RUNS, numbers] */
    hm_cuda_event *noted[HM_WATCH_RUNS];
};

hm_status hm_exec_gpu_open(hm_exec *e) {
    HM_TRY(hm_alloc(&e->gpu, 1, sizeof *e->gpu));
    HM_TRY(hm_cuda_open(&e->gpu->device));
    return e->store != NULL ? hm_store_use(e->store, e->gpu->device, false) : HM_OK;
}

size_t hm_exec_own_bytes(hm_device device) {
    return device == HM_DEVICE_CUDA ? sizeof(hm_cuda_draw) : 0;
}

static hm_status make_feeds(hm_exec *e) {
    hm_exec_gpu *const u = e->gpu;
    HM_TRY(hm_alloc(&u->feeds, e->g->n_tensors + 1, sizeof *u->feeds));
    HM_TRY(hm_alloc(&u->feed_of, e->g->n_tensors + 1, sizeof *u->feed_of));
    u->feeds[u->n_feeds++] = (feed){.to = u->draw, .bytes = sizeof *u->draw};
    size_t at = hm_align_up(sizeof *u->draw);
    for (size_t i = 0; i < e->g->n_tensors; i++) {
        const hm_tensor *const t = e->g->tensors[i];
        u->feed_of[i] = -1;
        if (t->storage != HM_INPUT || t->base != NULL)
            continue;
        u->feed_of[i] = (int)u->n_feeds;
        u->feeds[u->n_feeds++] = (feed){.t = t, .to = e->data[i], .at = at, .bytes = hm_exec_bytes(e, t)};
        at += hm_align_up(hm_exec_bytes(e, t));
    }
    return HM_OK;
}

hm_status hm_exec_gpu_ready(hm_exec *e) {
    hm_exec_gpu *const u = e->gpu;
    HM_TRY(hm_cuda_alloc(u->device, (void **)&u->draw, sizeof *u->draw));
    HM_TRY(hm_alloc(&u->products, e->g->n_nodes, sizeof *u->products));
    for (size_t k = 0; k < e->g->n_nodes; k++) {
        e->calls[k].cuda = u->device;
        e->calls[k].draw = u->draw;
        const hm_op *const op = e->g->nodes[k]->op;
        if (!op->view && op->cuda == NULL)
            HM_FAIL(HM_ERR_UNSUPPORTED, "op %s in \"%s\" has no CUDA kernel", op->name, e->g->nodes[k]->scope);
    }
    if (e->opt.profile) {
        HM_TRY(hm_alloc(&u->marks, e->g->n_nodes + 1, sizeof *u->marks));
        for (size_t k = 0; k <= e->g->n_nodes; k++)
            HM_TRY(hm_cuda_event_new(&u->marks[k]));
    }
    return make_feeds(e);
}

void hm_exec_gpu_close(hm_exec *e) {
    hm_exec_gpu *const u = e->gpu;
    if (u->device != NULL)
        hm_cuda_wait(u->device);
    hm_cuda_graph_free(u->captured);
    for (int k = 0; k < HM_WATCH_RUNS; k++)
        hm_cuda_event_free(u->noted[k]);
    for (size_t k = 0; u->marks != NULL && k <= e->g->n_nodes; k++)
        hm_cuda_event_free(u->marks[k]);
    hm_cuda_free(u->sources);
    hm_cuda_free(u->at);
    hm_cuda_free(u->counts);
    hm_cuda_free(u->packed);
    hm_cuda_free_host(u->ring);
    e->watch.slots = NULL; /* was the ring */
    hm_cuda_free(u->draw);
    free(u->products);
    free(u->marks);
    free(u->feeds);
    free(u->feed_of);
    free(u);
    e->gpu = NULL;
}

/* ---- feeding */

static hm_status put(const hm_exec *e, feed *f, const void *numbers) {
    hm_arena *const a = e->arena;
    const int set = (int)(a->runs % HM_KEPT_GPU);
    if (a->was_taken[set]) { /* by the run before the last one */
        HM_TRY(hm_cuda_event_wait(a->taken[set]));
        a->was_taken[set] = false;
    }
    memcpy(a->pinned[set] + f->at, numbers, f->bytes);
    f->dirty = true;
    return HM_OK;
}

hm_status hm_exec_gpu_write(hm_exec *e, const hm_tensor *t, const void *numbers) {
    const int at = t->base == NULL ? e->gpu->feed_of[t->id] : -1;
    return at >= 0 ? put(e, &e->gpu->feeds[at], numbers)
                   : hm_cuda_write(e->gpu->device, e->data[t->id], numbers, hm_exec_bytes(e, t));
}

hm_status hm_exec_gpu_read(hm_exec *e, const hm_tensor *t, void *numbers) {
    return hm_cuda_read(e->gpu->device, numbers, e->data[t->id], hm_exec_bytes(e, t));
}

static hm_status take_feeds(hm_exec *e) {
    hm_exec_gpu *const u = e->gpu;
    hm_arena *const a = e->arena;
    const int set = (int)(a->runs % HM_KEPT_GPU);
    const hm_cuda_draw draw = {e->run.seed, e->run.step};
    HM_TRY(put(e, &u->feeds[0], &draw));
    for (size_t i = 0; i < u->n_feeds; i++)
        if (u->feeds[i].dirty)
            HM_TRY(hm_cuda_upload(u->device, a->arrived[set] + u->feeds[i].at, a->pinned[set] + u->feeds[i].at,
                                  u->feeds[i].bytes, a->runs >= HM_KEPT_GPU ? a->taken[set] : NULL));
    HM_TRY(hm_cuda_uploaded(u->device));
    for (size_t i = 0; i < u->n_feeds; i++) {
        if (u->feeds[i].dirty)
            HM_TRY(hm_cuda_copy(u->device, u->feeds[i].to, a->arrived[set] + u->feeds[i].at, u->feeds[i].bytes));
        u->feeds[i].sent[set] = u->feeds[i].dirty;
        u->feeds[i].dirty = false;
    }
    a->was_taken[set] = true;
    return hm_cuda_event_record(u->device, a->taken[set]);
}

/* ---- watching */

size_t hm_exec_gpu_watch_bytes(size_t tensors, size_t numbers) {
    return tensors * (sizeof(float *) + 2 * sizeof(int)) + numbers * sizeof(float);
}

hm_status hm_exec_gpu_watch(hm_exec *e) {
    hm_exec_gpu *const u = e->gpu;
    const hm_watch *const w = &e->watch;
    const size_t n = (size_t)w->n, numbers = (size_t)w->at[n];
    const float **sources;
    int *counts;
    HM_TRY(hm_alloc(&sources, n + 1, sizeof *sources));
    hm_status st = hm_alloc(&counts, n + 1, sizeof *counts);
    for (size_t i = 0; st == HM_OK && i < n; i++) {
        sources[i] = e->data[w->list[i]->id];
        counts[i] = w->at[i + 1] - w->at[i];
    }
    if (st == HM_OK)
        st = hm_cuda_alloc(u->device, (void **)&u->sources, n * sizeof *sources);
    if (st == HM_OK)
        st = hm_cuda_alloc(u->device, (void **)&u->at, n * sizeof *w->at);
    if (st == HM_OK)
        st = hm_cuda_alloc(u->device, (void **)&u->counts, n * sizeof *counts);
    if (st == HM_OK)
        st = hm_cuda_alloc(u->device, (void **)&u->packed, numbers * sizeof(float));
    if (st == HM_OK)
        st = hm_cuda_alloc_host(u->device, (void **)&u->ring, HM_WATCH_RUNS * numbers * sizeof(float));
    if (st == HM_OK)
        st = hm_cuda_write(u->device, u->sources, sources, n * sizeof *sources);
    if (st == HM_OK)
        st = hm_cuda_write(u->device, u->at, w->at, n * sizeof *w->at);
    if (st == HM_OK)
        st = hm_cuda_write(u->device, u->counts, counts, n * sizeof *counts);
    for (int k = 0; st == HM_OK && k < HM_WATCH_RUNS; k++)
        st = hm_cuda_event_new(&u->noted[k]);
    e->watch.slots = u->ring;
    free(sources);
    free(counts);
    return st;
}

static hm_status note_watched(hm_exec *e) {
    hm_exec_gpu *const u = e->gpu;
    const hm_watch *const w = &e->watch;
    const int64_t slot = e->runs % HM_WATCH_RUNS;
    if (w->n == 0)
        return HM_OK;
    const size_t numbers = (size_t)w->at[w->n];
    HM_TRY(hm_cuda_read_later(u->device, u->ring + (size_t)slot * numbers, u->packed, numbers * sizeof(float)));
    return hm_cuda_event_record(u->device, u->noted[slot]);
}

hm_status hm_exec_gpu_watched(hm_exec *e, int64_t run) {
    return hm_cuda_event_wait(e->gpu->noted[run % HM_WATCH_RUNS]);
}

/* ---- running */

static hm_status enqueue_node(hm_exec *e, size_t k) {
    const hm_node *const n = e->g->nodes[k];
    if (n->op->view)
        return HM_OK;
    const int64_t before = hm_cuda_count().products;
    hm_cuda_use_room(e->gpu->device, n->op->aside);
    const hm_status st = n->op->cuda(&e->calls[k]);
    e->gpu->products[k] |= hm_cuda_count().products > before;
    return st == HM_OK ? HM_OK : hm_fail_in(st, "%s in \"%s\"", n->op->name, n->scope);
}

static hm_status pack_watched(const hm_exec *e) {
    const hm_exec_gpu *const u = e->gpu;
    return e->watch.n > 0 ? hm_cuda_pack(u->device, u->sources, u->at, u->counts, e->watch.n, u->packed) : HM_OK;
}

static hm_status enqueue_all(hm_exec *e) {
    for (size_t k = 0; k < e->g->n_nodes; k++)
        HM_TRY(enqueue_node(e, k));
    return pack_watched(e);
}

/* Places of the graph under capture at which nodes end. */
typedef struct ends {
    hm_cuda_place *list;
    size_t cap;
    size_t *first;        /* [n_nodes + 1]: where those of each node begin in the list */
    hm_cuda_place *after; /* those that the node at hand follows */
    size_t cap_after;
} ends;

/* What is enqueued next follows what node k must follow. */
static hm_status go_after(const hm_exec *e, ends *s, const hm_order *o, size_t k) {
    size_t n = 0;
    for (int i = o->first[k]; i < o->first[k + 1]; i++) {
        const size_t from = s->first[o->before[i]], count = s->first[o->before[i] + 1] - from;
        HM_TRY(hm_grow(&s->after, &s->cap_after, n + count + 1, sizeof *s->after));
        for (size_t j = 0; j < count; j++)
            s->after[n++] = s->list[from + j];
    }
    return hm_cuda_capture_after(e->gpu->device, s->after, n);
}

static hm_status note_ends(const hm_exec *e, ends *s, size_t k) {
    hm_cuda_place const *places;
    size_t n, at = s->first[k];
    HM_TRY(hm_cuda_capture_places(e->gpu->device, &places, &n));
    HM_TRY(hm_grow(&s->list, &s->cap, at + n + 1, sizeof *s->list));
    for (size_t i = 0; i < n; i++)
        s->list[at++] = places[i];
    s->first[k + 1] = at;
    return HM_OK;
}

static hm_status enqueue_in_order(hm_exec *e, ends *s, const hm_order *o) {
    const size_t n = e->g->n_nodes;
    HM_TRY(hm_alloc(&s->first, n + 1, sizeof *s->first));
    for (size_t k = 0; k < n; k++) {
        if (e->g->nodes[k]->op->view) {
            s->first[k + 1] = s->first[k];
            continue;
        }
        HM_TRY(go_after(e, s, o, k));
        HM_TRY(enqueue_node(e, k));
        HM_TRY(note_ends(e, s, k));
    }
    HM_TRY(go_after(e, s, o, n));
    return pack_watched(e);
}

/* Nodes that have nothing to do with each other may run at the same time. */
static hm_status enqueue_side_by_side(hm_exec *e) {
    hm_order o;
    ends s = {0};
    HM_TRY(hm_exec_order(&o, e, e->gpu->products));
    const hm_status st = enqueue_in_order(e, &s, &o);
    free(s.list);
    free(s.first);
    free(s.after);
    hm_order_free(&o);
    return st;
}

static hm_status capture(hm_exec *e) {
    hm_exec_gpu *const u = e->gpu;
    HM_TRY(hm_cuda_capture_begin(u->device));
    const hm_status st = enqueue_side_by_side(e);
    if (st != HM_OK) {
        hm_cuda_graph *part;
        hm_cuda_capture_end(u->device, &part);
        hm_cuda_graph_free(part);
        return st;
    }
    return hm_cuda_capture_end(u->device, &u->captured);
}

/* Node by node, for hooks and profiles. */
static hm_status step_through(hm_exec *e) {
    hm_exec_gpu *const u = e->gpu;
    for (size_t k = 0; k < e->g->n_nodes; k++) {
        if (e->opt.profile)
            HM_TRY(hm_cuda_event_record(u->device, u->marks[k]));
        HM_TRY(enqueue_node(e, k));
        if (e->hook != NULL && !e->g->nodes[k]->op->view)
            e->hook(e->hook_user, e, e->g->nodes[k]);
    }
    HM_TRY(pack_watched(e));
    if (!e->opt.profile)
        return HM_OK;
    HM_TRY(hm_cuda_event_record(u->device, u->marks[e->g->n_nodes]));
    HM_TRY(hm_cuda_wait(u->device));
    for (size_t k = 0; k < e->g->n_nodes; k++) {
        double seconds;
        HM_TRY(hm_cuda_event_seconds(u->marks[k], u->marks[k + 1], &seconds));
        e->seconds[k] += seconds;
    }
    return HM_OK;
}

/* With poison before and a look at the guards after. */
static hm_status run_guarded(hm_exec *e) {
    hm_exec_gpu *const u = e->gpu;
    unsigned char *image;
    HM_TRY(hm_alloc(&image, e->plan.bytes + 1, 1));
    hm_status st = hm_cuda_read(u->device, image, e->arena->memory, e->plan.bytes);
    if (st == HM_OK) {
        hm_exec_poison(e, image);
        st = hm_cuda_write(u->device, e->arena->memory, image, e->plan.bytes);
    }
    if (st == HM_OK)
        st = step_through(e);
    if (st == HM_OK)
        st = hm_cuda_read(u->device, image, e->arena->memory, e->plan.bytes);
    if (st == HM_OK)
        st = hm_exec_find_damage(e, image);
    free(image);
    return st;
}

static hm_status run_once(hm_exec *e) {
    hm_exec_gpu *const u = e->gpu;
    if (e->opt.guard)
        return run_guarded(e);
    if (e->opt.profile || e->hook != NULL)
        return step_through(e);
    if (e->runs == 0)
        return enqueue_all(e);
    if (u->captured == NULL)
        HM_TRY(capture(e));
    return hm_cuda_graph_launch(u->device, u->captured);
}

hm_status hm_exec_gpu_run(hm_exec *e) {
    HM_TRY(take_feeds(e));
    if (e->store != NULL)
        HM_TRY(hm_store_use(e->store, e->gpu->device, e->updates));
    HM_TRY(run_once(e));
    return note_watched(e);
}

/* The inputs of the arena's run `run` once more; what draws are named after is the caller's. */
static hm_status restore_feeds(hm_exec *e, int64_t run) {
    hm_exec_gpu *const u = e->gpu;
    const hm_cuda_draw draw = {e->run.seed, e->run.step};
    const int set = (int)(run % HM_KEPT_GPU);
    for (size_t i = 1; i < u->n_feeds; i++)
        if (u->feeds[i].sent[set])
            HM_TRY(hm_cuda_copy(u->device, u->feeds[i].to, e->arena->arrived[set] + u->feeds[i].at, u->feeds[i].bytes));
    return hm_cuda_write(u->device, u->draw, &draw, sizeof draw);
}

hm_status hm_exec_gpu_rehearse(hm_exec *e, int64_t run, bool (*stop)(void *user, const hm_node *n), void *user) {
    HM_TRY(restore_feeds(e, run));
    if (e->store != NULL)
        HM_TRY(hm_store_use(e->store, e->gpu->device, false));
    for (size_t k = 0; k < e->g->n_nodes; k++) {
        const hm_node *const n = e->g->nodes[k];
        if (n->op->updates || n->op->view)
            continue;
        HM_TRY(enqueue_node(e, k));
        if (stop(user, n))
            return HM_OK;
    }
    return HM_OK;
}

hm_cuda *hm_exec_cuda(const hm_exec *e) {
    return e->gpu != NULL ? e->gpu->device : NULL;
}
