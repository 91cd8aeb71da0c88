/* matmul.c: batched products. Gradients are products again; where an operand is shared by the batch, its gradient is
 * their sum. */
#include "ops/linear/linear_attr.h"
#include "ops/product.h"

HM_CPU_DECLARE(matmul);
HM_CUDA_DECLARE(matmul);
hm_status hm_matmul_ref(const hm_call *c);

extern const hm_op hm_op_matmul;

hm_tensor *hm_matmul(hm_graph *g, hm_tensor *a, hm_tensor *b, bool trans_a, bool trans_b) {
    const hm_matmul_attr attr = {trans_a, trans_b, false};
    return hm_graph_apply(g, &hm_op_matmul, &attr, sizeof attr, (hm_tensor *[]){a, b}, 2);
}

static bool same_batch(const hm_tensor *a, const hm_tensor *b) {
    if (a->shape.rank != b->shape.rank)
        return false;
    for (int i = 0; i < a->shape.rank - 2; i++)
        if (hm_dim(a, i) != hm_dim(b, i))
            return false;
    return true;
}

hm_matmul_sizes hm_matmul_sizes_of(const hm_node *n) {
    const hm_tensor *const a = n->in[0], *const b = n->in[1];
    const hm_matmul_attr *const attr = n->attr;
    const int64_t rows_a = hm_dim(a, -2), cols_a = hm_dim(a, -1), rows_b = hm_dim(b, -2), cols_b = hm_dim(b, -1);
    hm_matmul_sizes s = {.m = attr->trans_a ? cols_a : rows_a,
                         .k = attr->trans_a ? rows_a : cols_a,
                         .n = attr->trans_b ? rows_b : cols_b,
                         .batch = hm_rows(a->shape.rank > 2 ? a : b, 2)};
    s.stride_a = a->shape.rank > 2 ? rows_a * cols_a : 0;
    s.stride_b = b->shape.rank > 2 ? rows_b * cols_b : 0;
    return s;
}

static hm_status infer(hm_graph *g, hm_node *n) {
    const hm_tensor *const a = n->in[0], *const b = n->in[1];
    const hm_matmul_attr *const attr = n->attr;
    HM_NODE_CHECK(n, a != NULL && b != NULL && a->shape.rank >= 2 && b->shape.rank >= 2, "needs two matrices");
    HM_NODE_CHECK(n, same_batch(a, b) || b->shape.rank == 2 || a->shape.rank == 2,
                  "the leading dimensions of the operands differ");
    const hm_matmul_sizes s = hm_matmul_sizes_of(n);
    HM_NODE_CHECK(n, s.k == hm_dim(b, attr->trans_b ? -1 : -2), "the inner dimensions of the operands differ");
    hm_shape y = attr->sum ? HM_SHAPE(s.m, s.n) : a->shape.rank > 2 ? a->shape : b->shape;
    y.dim[y.rank - 2] = s.m;
    y.dim[y.rank - 1] = s.n;
    return hm_node_output(g, n, HM_F32, y);
}

/* The product a b for the gradient of `of`, summed over the batch if `of` was shared by it. */
static hm_tensor *product(hm_graph *g, const hm_tensor *of, hm_tensor *a, hm_tensor *b, bool trans_a, bool trans_b) {
    const bool sum = of->shape.rank == 2 && a->shape.rank > 2 && b->shape.rank > 2;
    const hm_matmul_attr attr = {trans_a, trans_b, sum};
    return hm_graph_apply(g, &hm_op_matmul, &attr, sizeof attr, (hm_tensor *[]){a, b}, 2);
}

static hm_status grad(hm_graph *g, hm_node *n, hm_tensor *const *dout, hm_tensor **din) {
    const hm_matmul_attr *const attr = n->attr;
    const bool ta = attr->trans_a, tb = attr->trans_b;
    hm_tensor *const a = n->in[0], *const b = n->in[1], *const d = dout[0];
    if (hm_wants_grad(n, 0))
        din[0] = ta ? product(g, a, b, d, tb, true) : product(g, a, d, b, false, !tb);
    if (hm_wants_grad(n, 1))
        din[1] = tb ? product(g, b, d, a, true, ta) : product(g, b, a, d, !ta, false);
    return g->status;
}

static size_t cuda_workspace(const hm_node *n) {
    const hm_matmul_attr *const attr = n->attr;
    return hm_product_room_of(n->in[0], n->in[1], n->out[0], attr->sum).floats * sizeof(float);
}

const hm_op hm_op_matmul = {
    .name = "matmul",
    .infer = infer,
    .grad = grad,
    .ref = hm_matmul_ref,
    .cpu = HM_CPU_KERNELS(matmul),
    .cuda = HM_CUDA_KERNEL(matmul),
    .cuda_workspace = cuda_workspace,
};
