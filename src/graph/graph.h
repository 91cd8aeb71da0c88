/* graph.h: a static graph of tensors and nodes. Building records; nothing is computed here.
 *
 * Builders (hm_linear, hm_layer_norm, …) return NULL after any failure; the graph keeps the first error and every later
 * builder does nothing, so model code reads straight through and asks hm_graph_status() once. An absent optional input
 * (a bias) is NULL too.
 *
 * Sizes, once and for all: B batch, N tokens, C channels, Q queries per group, G groups, T target capacity per image,
 * K classes, H W height and width, L layers or levels, P points. Feature maps are channels-last: [B, H*W, C]. */
#ifndef HM_GRAPH_GRAPH_H
#define HM_GRAPH_GRAPH_H

#include "base/dtype.h"
#include "base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

#define HM_MAX_RANK 6

typedef struct hm_shape {
    int rank;
    int64_t dim[HM_MAX_RANK];
} hm_shape;

typedef enum hm_storage {
    HM_TEMP,  /* lives in the arena between its producer and its last user */
    HM_INPUT, /* written by the host before a run; lives in the arena throughout */
    HM_PARAM, /* a weight: lives in the store, survives runs, has a gradient */
    HM_STATE, /* moments, averages: lives in the store, survives runs, no gradient */
} hm_storage;

typedef struct hm_graph hm_graph;
typedef struct hm_node hm_node;
typedef struct hm_op hm_op;

typedef struct hm_tensor {
    int id;
    const char *name; /* parameters and inputs: their own; others: "<scope>/<op>" */
    hm_dtype dtype;
    hm_shape shape;
    hm_storage storage;
    hm_node *producer;      /* NULL for inputs, parameters, states */
    struct hm_tensor *base; /* shares this tensor's memory (views, updates in place), or NULL */
    bool keep;              /* an output of the graph: readable after the run */
    bool needs_grad;
    /* The tensor whose numbers this one holds once more (again.c), or NULL. */
    const struct hm_tensor *again_of;
} hm_tensor;

struct hm_node {
    int id;
    const hm_op *op;
    const char *scope; /* where in the model, e.g. "backbone.layer.3" */
    bool backward;     /* made by a gradient rule */
    hm_tensor **in;    /* [n_in], NULL = absent */
    int n_in;
    hm_tensor **out; /* [n_out] */
    int n_out;
    const void *attr; /* the op's own attribute struct */
};

struct hm_graph {
    hm_status status;
    char *error; /* message of the first failure */
    hm_tensor **tensors;
    size_t n_tensors, cap_tensors;
    hm_node **nodes; /* in execution order */
    size_t n_nodes, cap_nodes;
    hm_tensor **grads; /* by tensor id, after hm_graph_backward */
    size_t n_grads;
    hm_tensor **again; /* by tensor id, during hm_graph_make_again */
    size_t n_again;
    const char *scope;
    bool in_backward;
    struct hm_block *blocks; /* memory of everything above */
};

hm_status hm_graph_create(hm_graph **out);
void hm_graph_free(hm_graph *g);

/* HM_OK, or the first failure with its message set again for the calling thread. */
hm_status hm_graph_status(hm_graph *g);
/* Records a failure; returns NULL so that builders can `return hm_graph_fail(…)`. */
void *hm_graph_fail(hm_graph *g, hm_status code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Memory that lives as long as the graph, zeroed; NULL (and a recorded failure) when there is none. */
void *hm_graph_alloc(hm_graph *g, size_t bytes);
const char *hm_graph_text(hm_graph *g, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Nodes made from now on carry this scope (printf-like). */
void hm_graph_scope(hm_graph *g, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

hm_tensor *hm_graph_input(hm_graph *g, const char *name, hm_dtype dtype, hm_shape shape);
hm_tensor *hm_graph_param(hm_graph *g, const char *name, hm_shape shape); /* fp32; one tensor per name */
hm_tensor *hm_graph_state(hm_graph *g, const char *name, hm_shape shape); /* fp32 */

/* Appends a node: copies `attr` and the input list, then lets the op infer its outputs. NULL on failure. */
hm_node *hm_graph_node(hm_graph *g, const hm_op *op, const void *attr, size_t attr_size, hm_tensor *const *in,
                       int n_in);
/* The same for the common case of one output: that output. */
hm_tensor *hm_graph_apply(hm_graph *g, const hm_op *op, const void *attr, size_t attr_size, hm_tensor *const *in,
                          int n_in);

/* Marks as readable after the run and gives it a name of its own; returns t. */
hm_tensor *hm_graph_output(hm_graph *g, hm_tensor *t, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Drops every node that no output, and no parameter or state updated in place, depends on. Tensors that only dropped
 * nodes made must not be used any more. Before hm_graph_backward only. */
hm_status hm_graph_prune(hm_graph *g);

/* Appends the backward nodes of sum_i <seed[i], of[i]> (a loss: itself, seeded by an input of 1). Afterwards
 * hm_graph_grad gives d/dt for every parameter and differentiable input that the sum depends on, else NULL. An op
 * without a gradient rule on the way is HM_ERR_INTERNAL naming op and tensor. */
hm_status hm_graph_backward(hm_graph *g, hm_tensor *const *of, hm_tensor *const *seed, int n);
hm_tensor *hm_graph_grad(const hm_graph *g, const hm_tensor *t);

/* For memory, at the price of some time: what backward nodes read and an op can cheaply make again (hm_op.again) is
 * made again in front of the first of them instead of being kept since the forward pass. After hm_graph_backward,
 * before hm_graph_precision. */
hm_status hm_graph_make_again(hm_graph *g);
/* For ops' `again`: t, or what stands for it in the backward pass. */
hm_tensor *hm_graph_again(hm_graph *g, hm_tensor *t);

/* Calls visit for every node in order; the nodes that it appends go in front of the visited one. */
hm_status hm_graph_rewrite(hm_graph *g, hm_status (*visit)(void *ctx, hm_node *n), void *ctx);

/* Every tensor and node as text, or as Graphviz. */
void hm_graph_dump_text(const hm_graph *g, void *file);
void hm_graph_dump_dot(const hm_graph *g, void *file);

/* shapes */
hm_shape hm_shape_of(int rank, const int64_t *dim);
#define HM_SHAPE(...)                                                                                                  \
    hm_shape_of((int)(sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t)), (const int64_t[]){__VA_ARGS__})
static inline hm_shape hm_scalar_shape(void) {
    return (hm_shape){.rank = 0, .dim = {0}};
}
int64_t hm_shape_count(hm_shape s); /* number of elements; 1 for a scalar */
bool hm_shape_equal(hm_shape a, hm_shape b);
const char *hm_shape_text(hm_shape s, char *buf); /* buf[96] */
size_t hm_dtype_size(hm_dtype d);
const char *hm_dtype_name(hm_dtype d);

/* A parameter or a state itself, which a store keeps; not a view of one. */
static inline bool hm_is_stored(const hm_tensor *t) {
    return (t->storage == HM_PARAM || t->storage == HM_STATE) && t->base == NULL;
}

static inline int64_t hm_count(const hm_tensor *t) {
    return hm_shape_count(t->shape);
}
/* Dimension i, negative from the end. */
static inline int64_t hm_dim(const hm_tensor *t, int i) {
    return t->shape.dim[i < 0 ? t->shape.rank + i : i];
}
/* Product of all dimensions before the last `tail` ones. */
static inline int64_t hm_rows(const hm_tensor *t, int tail) {
    int64_t n = 1;
    for (int i = 0; i < t->shape.rank - tail; i++)
        n *= t->shape.dim[i];
    return n;
}

#ifdef __cplusplus
}
#endif
#endif
