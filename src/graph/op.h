/* op.h: what an op provides. One folder src/ops/<op>/ and one line per op in src/ops/ops.def.
 *
 * Gradient contract: kernels write `=`; only the graph adds, where a tensor has several users.
 * Kernels may assume that infer has accepted the node: they check nothing but memory. */
#ifndef HM_GRAPH_OP_H
#define HM_GRAPH_OP_H

#include "device/cpu/isa.h"
#include "device/cuda/cuda.h"
#include "graph/graph.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What a run knows besides its tensors. */
typedef struct hm_run {
    uint64_t seed;
    int64_t step;       /* draws are named "rand.<step>.<k>" (base/rng.h) */
    int threads;        /* OpenMP threads (cpu) */
    bool deterministic; /* cuda: the same bits in every run, so no sums by atomic additions of floats */
    bool tf32;          /* cuda: products of fp32 operands may round them to TF32 */
} hm_run;

typedef struct hm_call {
    const hm_node *node;
    void *const *in;  /* [n_in], NULL = absent */
    void *const *out; /* [n_out] */
    void *work;       /* op->workspace or cuda_workspace bytes, 64-byte aligned, contents undefined (ref has none) */
    void **slot;      /* kept between runs of this node (library primitives); freed with op->release (cpu only) */
    const hm_run *run;
    hm_cuda *cuda;            /* cuda: the device; in, out and work are addresses there */
    const hm_cuda_draw *draw; /* cuda: seed and step, on the device: a captured kernel must read them there */
} hm_call;

/* Cpu kernels compute in fp32. Tensors stored in half reach them as fp32 copies, which the executor makes and rounds
 * back, unless the op says that its kernels take the node's dtypes as they are (`native`). Cuda kernels always take
 * them as they are; they only enqueue (no waiting, no allocation), so that a run can be captured, and read no numbers
 * of tensors on the host. Reference kernels are the definition: the same computation in plain loops, where every
 * floating-point tensor is stored as double; I32 and U8 are as they are. */
typedef hm_status (*hm_kernel)(const hm_call *c);

struct hm_op {
    const char *name;
    /* Checks inputs and attributes (HM_FAIL with the reason) and declares the outputs with hm_node_output. */
    hm_status (*infer)(hm_graph *g, hm_node *n);
    /* Appends nodes that compute din[i] from the gradients of the outputs, for each input that hm_wants_grad(n, i);
     * dout[o] is NULL where nothing depends on output o. din arrives all NULL. NULL rule: a gradient must never arrive
     * here. */
    hm_status (*grad)(hm_graph *g, hm_node *n, hm_tensor *const *dout, hm_tensor **din);
    /* Appends the node that makes output 0 again from what the gradient rule's nodes read anyway, asking hm_graph_again
     * for inputs, and returns its result, the very same numbers; output 0 itself where that is not cheap. NULL: never
     * is. */
    hm_tensor *(*again)(hm_graph *g, hm_node *n);
    bool no_grad; /* outputs are constants for differentiation (indices, matches, draws) */
    hm_kernel ref;
    hm_kernel cpu[HM_ISA_COUNT];
    bool (*native)(const hm_node *n);                   /* kernels take this node's half tensors as they are */
    size_t (*workspace)(const hm_node *n, int threads); /* bytes, or NULL for none */
    void (*release)(void *slot);
    hm_kernel cuda;                             /* HM_CUDA_KERNEL(name); NULL: none */
    size_t (*cuda_workspace)(const hm_node *n); /* bytes, or NULL for none */
    bool view;                                  /* output 0 is input 0 under another shape: no kernel, no memory */
    bool in_place; /* output 0 may overwrite input 0 (same count and dtype): the kernel reads before it writes */
    bool updates;  /* output o is stored in input o (parameters, moments) */
    int plus;      /* optional input whose numbers are added to output 0, for autodiff to fill; 0: none */
    bool aside;    /* cuda: nothing waits for the outputs soon, so that it may run beside what comes next */
};

/* Output `o` (in order) of a node under inference. */
hm_status hm_node_output(hm_graph *g, hm_node *n, hm_dtype dtype, hm_shape shape);

/* Names the node, its inputs' shapes and the reason: the common failure of infer. */
hm_status hm_node_fail(const hm_node *n, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
#define HM_NODE_CHECK(n, cond, ...)                                                                                    \
    do {                                                                                                               \
        if (!(cond))                                                                                                   \
            return hm_node_fail((n), __VA_ARGS__);                                                                     \
    } while (0)

static inline bool hm_wants_grad(const hm_node *n, int i) {
    return n->in[i] != NULL && n->in[i]->needs_grad;
}

/* Declares one kernel in its three builds, and lists them for hm_op.cpu. */
#define HM_CPU_DECLARE(name)                                                                                           \
    hm_status name##_cpu_scalar(const hm_call *c);                                                                     \
    hm_status name##_cpu_avx2(const hm_call *c);                                                                       \
    hm_status name##_cpu_avx512(const hm_call *c)
#define HM_CPU_KERNELS(name)                                                                                           \
    { name##_cpu_scalar, name##_cpu_avx2, name##_cpu_avx512 }

/* The same for a kernel of cuda.cu; builds without CUDA have none. */
#define HM_CUDA_DECLARE(name) hm_status name##_cuda(const hm_call *c)
#if HM_HAVE_CUDA
#define HM_CUDA_KERNEL(name) name##_cuda
#else
#define HM_CUDA_KERNEL(name) NULL
#endif

/* In cpu.c: `hm_status HM_CPU(layer_norm)(const hm_call *c)` gets this build's suffix. */
#define HM_CPU_PASTE_(name, isa) name##_cpu_##isa
#define HM_CPU_PASTE(name, isa)  HM_CPU_PASTE_(name, isa)
#define HM_CPU(name)             HM_CPU_PASTE(name, HM_ISA_NAME)

/* All registered ops, from ops.def. */
extern const hm_op *const hm_ops[];
extern const size_t hm_ops_count;

/* The op that adds 2 to HM_ADD_MOST tensors of one shape: what the graph needs where a tensor has several users. */
#define HM_ADD_MOST 16
extern const hm_op *const hm_ops_add;
/* The op that stores tensors in another floating-point type (its attribute, an hm_dtype), output i being input i: what
 * the precision pass inserts. */
extern const hm_op *const hm_ops_cast;

/* One op's row of the precision policy (ops/policy.c).
 *
 * A letter for each input, the last one also for all further ones:
 *   h  an operand of a product: rounded to half if it is stored in fp32
 *   x  read exactly: whoever makes it stores it in fp32 if it can
 *   a  read as it is stored
 *   b  added to a product: rounded to half where the sum is stored in half; a parameter is fp32 in every mode
 *   m  handed on as it is: wanted as the outputs are
 * and for each output:
 *   h  half, unless a reader wants it exactly
 *   f  fp32
 *   g  a parameter's gradient: fp32, or half where the parameter is
 *   m  as the inputs are */
typedef struct hm_policy {
    const hm_op *op;
    const char *in, *out;
    const char *why; /* in a few words, for people */
} hm_policy;
extern const hm_policy hm_policies[];
extern const size_t hm_policies_count;

/* Layers that stay in fp32 in every mode: patterns for their names (as in graph/precision.h), and why. */
typedef struct hm_exact_layers {
    const char *pattern, *why;
} hm_exact_layers;
extern const hm_exact_layers hm_exact[];
extern const size_t hm_exact_count;

#ifdef __cplusplus
}
#endif
#endif
