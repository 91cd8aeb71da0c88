/* exec_inner.h: what the executor's files share; for src/graph/exec*.c only. */
#ifndef HM_GRAPH_EXEC_INNER_H
#define HM_GRAPH_EXEC_INNER_H

#include "graph/exec.h"

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
    unsigned char *arena;
    double **params; /* reference: copies of parameters and states, by tensor id */
    void **data;     /* by tensor id */
    void **slots;    /* by node id */
    hm_call *calls;  /* by node id */
    void **pointers; /* memory behind calls' in and out */
    bool *staged;    /* by node id: the kernel gets fp32 copies */
    double *seconds; /* by node id */
    hm_run run;
    int64_t runs; /* so far */
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

/* exec_cuda.c */
hm_status hm_exec_gpu_open(hm_exec *e);  /* the device and the arena there; before tensors are bound */
hm_status hm_exec_gpu_ready(hm_exec *e); /* the rest, after */
void hm_exec_gpu_close(hm_exec *e);
hm_status hm_exec_gpu_run(hm_exec *e);
hm_status hm_exec_gpu_rehearse(hm_exec *e, int ago, bool (*stop)(void *user, const hm_node *n), void *user);
hm_status hm_exec_gpu_write(hm_exec *e, const hm_tensor *t, const void *numbers);
hm_status hm_exec_gpu_read(hm_exec *e, const hm_tensor *t, void *numbers);
hm_status hm_exec_gpu_watch(hm_exec *e);
size_t hm_exec_gpu_watch_bytes(size_t tensors, size_t numbers);
hm_status hm_exec_gpu_watched(hm_exec *e, int64_t run);

#endif
