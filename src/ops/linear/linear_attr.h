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

/* linear_dx: in dz, w; out dx of this shape. linear_dw: in dz, x; out dw of this shape. */
typedef struct hm_linear_shape {
    hm_shape shape;
} hm_linear_shape;

typedef struct hm_matmul_attr {
    bool trans_a, trans_b;
    bool sum; /* over the batch: the gradient of a shared operand */
} hm_matmul_attr;

/* One product of a matmul node: op(a) [m, k] x op(b) [k, n], `batch` times; strides in elements, 0 = shared. */
typedef struct hm_matmul_sizes {
    int64_t m, n, k, batch, stride_a, stride_b;
} hm_matmul_sizes;
hm_matmul_sizes hm_matmul_sizes_of(const hm_node *n);

#endif
