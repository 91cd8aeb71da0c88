/* exec_inner.h: what the executor's files share; for src/graph/exec*.c only. */
#ifndef HM_GRAPH_EXEC_INNER_H
#define HM_GRAPH_EXEC_INNER_H

#include "graph/exec.h"

#define HM_KEPT_GPU 2 /* runs in an arena whose inputs are kept: sets in which they travel */
#define HM_KEPT_CPU 1

struct hm_arena {
    size_t bytes, inputs;
    unsigned char *memory;
    int64_t runs; /* of all executors */
    /* the GPU's: where inputs wait, on the host and on the device; a run uses set runs % HM_KEPT_GPU */
    hm_cuda *gpu; /* NULL: the CPU */
    unsigned char *pinned[HM_KEPT_GPU], *arrived[HM_KEPT_GPU];
    hm_cuda_event *taken[HM_KEPT_GPU]; /* passed once the device has taken a set over */
    bool was_taken[HM_KEPT_GPU];
};

/* What an executor holds besides on the GPU (exec_cuda.c). */
typedef struct hm_exec_gpu hm_exec_gpu;

/* Watched tensors, and what they were after the last runs. */
typedef struct hm_watch {
    const hm_tensor **list;
    int *at; /* [n + 1]: where the numbers of each begin in a slot */
    int n;
    float *slots; /* [HM_WATCH_RUNS, at[n]] */
} hm_watch;

struct hm_exec {
    hm_graph *g;
    hm_store *store;
    hm_exec_options opt;
    hm_plan plan;
    hm_arena *arena, *own; /* `own` is NULL where the arena is lent */
    double **params;       /* reference: copies of parameters and states, by tensor id */
    void **data;           /* by tensor id */
    void **slots;          /* by node id */
    hm_call *calls;        /* by node id */
    void **pointers;       /* memory behind calls' in and out */
    bool *staged;          /* by node id: the kernel gets fp32 copies */
    double *seconds;       /* by node id */
    hm_run run;
    int64_t runs;               /* so far */
    int64_t place[HM_KEPT_GPU]; /* of its last runs: which of the arena's */
    hm_watch watch;
    hm_exec_hook hook;
    void *hook_user;
    size_t used;
    bool updates; /* some node changes what outlives a run */
    hm_exec_gpu *gpu;
};

size_t hm_exec_bytes(const hm_exec *e, const hm_tensor *t); /* of its numbers as they lie in memory */

/* exec_guard.c: `view` is the arena, or an image of it on the host. Everything that a run is to write becomes NaN, with
 * guard bytes behind it; afterwards HM_ERR_INTERNAL names the tensor behind whose end something was written. */
void hm_exec_poison(const hm_exec *e, unsigned char *view);
hm_status hm_exec_find_damage(const hm_exec *e, const unsigned char *view);

/* exec_order.c: node k, and the end of the run (k = n_nodes), must follow before[first[k] .. first[k + 1]), which stand
 * for all that they follow themselves. `products` by node id: works in its room (hm_cuda_use_room), which is 1 for ops
 * that run aside. */
typedef struct hm_order {
    int *first;  /* [n_nodes + 2] */
    int *before; /* node ids */
} hm_order;
hm_status hm_exec_order(hm_order *out, const hm_exec *e, const bool *products);
void hm_order_free(hm_order *o);

/* exec_cuda.c */
hm_status hm_exec_gpu_open(hm_exec *e);  /* before tensors are bound */
hm_status hm_exec_gpu_ready(hm_exec *e); /* the rest, after */
void hm_exec_gpu_close(hm_exec *e);
hm_status hm_exec_gpu_run(hm_exec *e);
hm_status hm_exec_gpu_rehearse(hm_exec *e, int64_t run, bool (*stop)(void *user, const hm_node *n), void *user);
hm_status hm_exec_gpu_write(hm_exec *e, const hm_tensor *t, const void *numbers);
hm_status hm_exec_gpu_read(hm_exec *e, const hm_tensor *t, void *numbers);
hm_status hm_exec_gpu_watch(hm_exec *e);
size_t hm_exec_gpu_watch_bytes(size_t tensors, size_t numbers);
hm_status hm_exec_gpu_watched(hm_exec *e, int64_t run);

#endif
