/* linear_attr.h: attributes of the nodes made by linear.c and matmul.c. */
#ifndef HM_OPS_LINEAR_ATTR_H
#define HM_OPS_LINEAR_ATTR_H

#include "graph/op.h"
#include "ops/linear/linear.h"

/* linear: in x [.., K], w [N, K], b [N] or NULL; out y [.., N] and, for GELU and SILU when anything needs a gradient,
 * z = x W^T + b [.., N]. linear_act_back: in dy, z (RELU: y); out dz. */
typedef struct hm_linear_attr {
    hm_act act;
} hm_linear_attr;

/* linear_dx: in dz, w; out dx of this shape. */
typedef struct hm_linear_dx_attr {
    hm_shape shape;
} hm_linear_dx_attr;

/* linear_dw: in dz, x (NULL unless want_w); out those wanted of dw of this shape and db = column sums of dz. */
typedef struct hm_linear_dw_attr {
    hm_shape shape;
    bool want_w, want_b;
} hm_linear_dw_attr;

typedef struct hm_matmul_attr {
    bool trans_a, trans_b;
    bool sum; /* over the batch: the gradient of a shared operand */
} hm_matmul_attr;

/* One product of a matmul node: op(a) [m, k] x op(b) [k, n], `batch` times; strides in elements, 0 = shared. */
typedef struct hm_matmul_sizes {
    int64_t m, n, k, batch, stride_a, stride_b;
} hm_matmul_sizes;
#ifdef __cplusplus
extern "C" {
#endif
hm_matmul_sizes hm_matmul_sizes_of(const hm_node *n);
#ifdef __cplusplus
}
#endif

/* linear and its gradients: two operands, then perhaps a bias. Who multiplies them: */
typedef enum hm_linear_way {
    HM_LINEAR_F32,    /* all fp32: blocks by dnnl_sgemm */
    HM_LINEAR_BF16,   /* the processor's own bf16 products, whole, by oneDNN (which has none of empty operands) */
    HM_LINEAR_WIDENED /* other half types: gemm_half.h */
} hm_linear_way;

static inline hm_linear_way hm_linear_way_of(const hm_node *n) {
    const hm_tensor *const bias = n->n_in > 2 ? n->in[2] : NULL;
    bool f32 = bias == NULL || bias->dtype == HM_F32, bf16 = hm_cpu_has_bf16() && (f32 || bias->dtype == HM_BF16);
    for (int i = 0; i < 2; i++) {
        f32 = f32 && n->in[i]->dtype == HM_F32;
        bf16 = bf16 && n->in[i]->dtype == HM_BF16 && hm_count(n->in[i]) > 0;
    }
    for (int o = 0; o < (n->n_in > 2 ? n->n_out : 1); o++) { /* a gradient's second output is no product */
        f32 = f32 && n->out[o]->dtype == HM_F32;
        bf16 = bf16 && n->out[o]->dtype != HM_F16;
    }
    return f32 ? HM_LINEAR_F32 : bf16 ? HM_LINEAR_BF16 : HM_LINEAR_WIDENED;
}

#endif
