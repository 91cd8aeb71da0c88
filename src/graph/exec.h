/* exec.h: memory plan and execution of a graph. */
#ifndef HM_GRAPH_EXEC_H
#define HM_GRAPH_EXEC_H

#include "graph/op.h"

/* Named fp32 tensors that outlive graphs: parameters, moments, averages. Graphs that name the same parameter share it.
 */
typedef struct hm_store hm_store;

hm_status hm_store_create(hm_store **out);
void hm_store_free(hm_store *s);
/* Adds the graph's parameters and states that the store does not have yet (zeroed); a known one must have the shape. */
hm_status hm_store_add(hm_store *s, const hm_graph *g);
float *hm_store_find(const hm_store *s, const char *name, hm_shape *shape); /* NULL when unknown */
size_t hm_store_count(const hm_store *s);
float *hm_store_at(const hm_store *s, size_t i, const char **name, hm_shape *shape, hm_storage *kind);
size_t hm_store_bytes(const hm_store *s);

/* Where every tensor lives: offsets in one arena. Lifetimes come from the order of the nodes. */
typedef struct hm_plan {
    size_t bytes;        /* of the arena: the planned peak */
    size_t unshared;     /* what the same tensors would need without reuse */
    size_t *offset;      /* by tensor id; SIZE_MAX for parameters and states */
    size_t *work_offset; /* by node id */
    int *root;           /* by tensor id: the tensor whose memory it uses */
} hm_plan;

typedef struct hm_exec_options {
    bool reference; /* run reference kernels in double precision */
    bool guard;     /* no reuse; guard bytes behind every buffer, results poisoned with NaN before each run (tests) */
    bool profile;   /* time every node */
    hm_isa isa;
    int threads;
} hm_exec_options;

hm_exec_options hm_exec_defaults(void); /* best instruction set (or HM_ISA), all threads */

hm_status hm_plan_make(hm_plan *out, const hm_graph *g, const hm_exec_options *opt);
void hm_plan_free(hm_plan *p);

typedef struct hm_exec hm_exec;

/* Plans and allocates. The graph and the store must outlive it. `store` may be NULL when the graph has no parameters.
 * With opt->reference the parameters are read from the store as they are at creation and kept apart, as doubles. */
hm_status hm_exec_create(hm_exec **out, hm_graph *g, hm_store *store, const hm_exec_options *opt);
void hm_exec_free(hm_exec *e);

/* Memory of an input, a kept output, a parameter. float/int32/uint8 by dtype; double where float if `reference`. */
void *hm_exec_data(hm_exec *e, const hm_tensor *t);
hm_status hm_exec_run(hm_exec *e, uint64_t seed, int64_t step);

const hm_plan *hm_exec_plan(const hm_exec *e);
size_t hm_exec_used(const hm_exec *e);                    /* highest byte of the arena that a run used */
double hm_exec_seconds(const hm_exec *e, size_t node_id); /* summed over runs (profile) */
hm_status hm_exec_check_guards(const hm_exec *e);         /* names the tensor behind whose end something was written */

#endif
