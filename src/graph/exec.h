/* exec.h: memory plan and execution of a graph. */
#ifndef HM_GRAPH_EXEC_H
#define HM_GRAPH_EXEC_H

#include "graph/op.h"

/* Named tensors that outlive graphs: parameters, moments, averages; fp32, or half where a graph stores parameters in
 * half. Graphs that name the same parameter share it. Once a graph on the GPU uses a store, its numbers lie there too:
 * the functions below that hand out numbers fetch them first when a run has changed them, and the next run sends them
 * back. So pointers are good until the next run, and asking costs a copy of everything. */
typedef struct hm_store hm_store;

hm_status hm_store_create(hm_store **out);
void hm_store_free(hm_store *s);
/* Adds the graph's parameters and states that the store does not have yet (zeroed); a known one must have the shape
 * and the type. */
hm_status hm_store_add(hm_store *s, const hm_graph *g);
/* The numbers of an fp32 tensor; NULL when it is unknown or stored in half. */
float *hm_store_find(const hm_store *s, const char *name, hm_shape *shape);
size_t hm_store_count(const hm_store *s);
float *hm_store_at(const hm_store *s, size_t i, const char **name, hm_shape *shape, hm_storage *kind); /* NULL: half */
void *hm_store_data(const hm_store *s, const char *name, hm_shape *shape, hm_dtype *dtype); /* NULL when unknown */
/* Tensor i in its type, to be read only, which does not send it to the GPU again; NULL when it cannot be had. */
const void *hm_store_read(const hm_store *s, size_t i, const char **name, hm_shape *shape, hm_dtype *dtype);
/* A store on the host with the same tensors, zeroed, but for those whose names begin with `without`. */
hm_status hm_store_like(hm_store **out, const hm_store *s, const char *without);
/* Every tensor of `to` that `from` has under the same name, rounded to the type that it has in `to`. Shapes must be the
 * same. */
hm_status hm_store_copy(hm_store *to, const hm_store *from);
/* What a tensor takes in a store: its numbers, in whole pieces of 256 bytes. */
static inline size_t hm_stored_bytes(hm_shape shape, hm_dtype dtype) {
    return ((size_t)hm_shape_count(shape) * hm_dtype_size(dtype) + 255) & ~(size_t)255;
}
/* For the executor: numbers on the GPU brought up to date, about to be changed there if `updates`; where one lies. */
hm_status hm_store_use(hm_store *s, hm_cuda *d, bool updates);
void *hm_store_device_data(const hm_store *s, const char *name);

/* Where every tensor lives: offsets in one arena. Lifetimes come from the order of the nodes. */
typedef struct hm_plan {
    size_t bytes;        /* of the arena: the planned peak */
    size_t unshared;     /* what the same tensors would need without reuse */
    size_t inputs;       /* of what a run takes along: inputs, and what random draws are named after */
    size_t *offset;      /* by tensor id; SIZE_MAX for parameters and states */
    size_t *work_offset; /* by node id */
    int *root;           /* by tensor id: the tensor whose memory it uses */
} hm_plan;

/* The memory that a plan speaks of, and on the GPU the room in which inputs travel. Executors may share one as long as
 * they never run at once; then all inputs must be written before every run. */
typedef struct hm_arena hm_arena;

/* `bytes` and `inputs` as the plans have them: the largest of those that share it. It must outlive its executors. */
hm_status hm_arena_create(hm_arena **out, hm_device device, size_t bytes, size_t inputs);
void hm_arena_free(hm_arena *a); /* takes NULL */

typedef struct hm_exec_options {
    bool reference; /* run reference kernels in double precision */
    bool guard;     /* no reuse; guard bytes behind every buffer, results poisoned with NaN before each run (tests) */
    bool profile;   /* time every node */
    hm_device device;
    hm_arena *arena;          /* lent; NULL: one of its own */
    bool deterministic, tf32; /* cuda: see hm_run */
    hm_isa isa;
    int threads;
} hm_exec_options;

hm_exec_options hm_exec_defaults(void); /* best instruction set (or HM_ISA), all threads */

hm_status hm_plan_make(hm_plan *out, const hm_graph *g, const hm_exec_options *opt);
void hm_plan_free(hm_plan *p);
/* What is taken of the device besides `bytes` of a plan: by an arena, for inputs on their way; by an executor; and by
 * noting `list` at the end of every run (hm_exec_watch). */
size_t hm_arena_feed_bytes(size_t inputs, hm_device device);
size_t hm_exec_own_bytes(hm_device device);
size_t hm_exec_watch_bytes(const hm_tensor *const *list, int n, hm_device device);

/* Whether the node's kernel gets fp32 copies of its half tensors, and the bytes that it works in: the op's workspace,
 * then the copies of inputs and outputs in their order (of an optional input that is absent: none). */
bool hm_node_staged(const hm_node *n);
size_t hm_node_work(const hm_node *n, const hm_exec_options *opt);
static inline size_t hm_align_up(size_t bytes) {
    return (bytes + 63) & ~(size_t)63;
}

typedef struct hm_exec hm_exec;

/* Plans and allocates. The graph and the store must outlive it. `store` may be NULL when the graph has no parameters.
 * With opt->reference the parameters are read from the store as they are at creation and kept apart, as doubles. */
hm_status hm_exec_create(hm_exec **out, hm_graph *g, hm_store *store, const hm_exec_options *opt);
void hm_exec_free(hm_exec *e);

/* Memory of an input, a kept output, a parameter. float/int32/uint8 by dtype; double where float if `reference`. On the
 * GPU an address there. */
void *hm_exec_data(hm_exec *e, const hm_tensor *t);
/* All numbers of a tensor from or to memory of the host, wherever they lie. On the GPU a write to an input is taken
 * along with the next run without waiting; anything else waits for the device. */
hm_status hm_exec_write(hm_exec *e, const hm_tensor *t, const void *numbers);
hm_status hm_exec_read(hm_exec *e, const hm_tensor *t, void *numbers);

/* Small fp32 tensors (losses, flags) to be noted at the end of every run; before the first. On the GPU they arrive
 * without making it wait. */
hm_status hm_exec_watch(hm_exec *e, const hm_tensor *const *list, int n);
#define HM_WATCH_RUNS 4 /* runs that are remembered */
/* The numbers of watched tensor `which` as they were after the last run but `ago`, which is waited for. */
hm_status hm_exec_watched(hm_exec *e, int ago, int which, float *numbers);
hm_status hm_exec_run(hm_exec *e, uint64_t seed, int64_t step);

/* Called after every node of every run; NULL: nobody. For audits and tests, which may change what the node made. */
typedef void (*hm_exec_hook)(void *user, hm_exec *e, const hm_node *n);
void hm_exec_set_hook(hm_exec *e, hm_exec_hook hook, void *user);
/* Output `o` of the node that was run last as its kernel computed it, in fp32, before it was rounded to half; NULL
 * where there is no such copy. */
const float *hm_exec_unrounded(const hm_exec *e, const hm_node *n, int o);
/* The same for a node whose kernel rounds as it stores: runs it once more, in memory of its own. *out must be freed;
 * NULL for a node that wrote over its input, and on the GPU. */
hm_status hm_exec_widened(hm_exec *e, const hm_node *n, int o, float **out);
/* A run that changes nothing that outlives it (nodes that update are left out), on the inputs of the last run but
 * `ago`; ends after the node for which `stop` says so. The inputs are kept of the last run that was made in the arena,
 * on the GPU of the last two. */
hm_status hm_exec_rehearse(hm_exec *e, int ago, uint64_t seed, int64_t step, bool (*stop)(void *user, const hm_node *n),
                           void *user);

hm_cuda *hm_exec_cuda(const hm_exec *e); /* the GPU on which it runs; NULL: the CPU */
const hm_exec_options *hm_exec_options_of(const hm_exec *e);
const hm_plan *hm_exec_plan(const hm_exec *e);
size_t hm_exec_used(const hm_exec *e);                    /* highest byte of the arena that a run used */
double hm_exec_seconds(const hm_exec *e, size_t node_id); /* summed over runs (profile) */

#endif
