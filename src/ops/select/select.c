/* select.c: builders, shape checks and gradient rules of the choice of rows. */
#include "ops/select/select.h"

#include "graph/op.h"
#include "ops/select/select_attr.h"

HM_CPU_DECLARE(hm_max_last);
HM_CPU_DECLARE(hm_topk);
HM_CPU_DECLARE(hm_gather_rows);
HM_CPU_DECLARE(hm_gather_rows_back);
HM_CPU_DECLARE(hm_mask_rows);
HM_CUDA_DECLARE(hm_max_last);
HM_CUDA_DECLARE(hm_topk);
HM_CUDA_DECLARE(hm_gather_rows);
HM_CUDA_DECLARE(hm_gather_rows_back);
HM_CUDA_DECLARE(hm_mask_rows);
hm_status hm_max_last_ref(const hm_call *c);
hm_status hm_topk_ref(const hm_call *c);
hm_status hm_gather_rows_ref(const hm_call *c);
hm_status hm_gather_rows_back_ref(const hm_call *c);
hm_status hm_mask_rows_ref(const hm_call *c);

extern const hm_op hm_op_max_last, hm_op_topk, hm_op_gather_rows, hm_op_gather_rows_back, hm_op_mask_rows;

static hm_status check_float(const hm_node *n) {
    HM_NODE_CHECK(n, n->in[0] != NULL && n->in[0]->dtype == HM_F32, "input 0 must be an fp32 tensor");
    return HM_OK;
}

/* ---- max_last, topk */

static hm_status max_last_infer(hm_graph *g, hm_node *n) {
    HM_TRY(check_float(n));
    hm_shape shape = n->in[0]->shape;
    HM_NODE_CHECK(n, shape.rank > 0 && hm_dim(n->in[0], -1) > 0, "the last dimension is empty");
    shape.rank--;
    return hm_node_output(g, n, HM_F32, shape);
}

static hm_status topk_infer(hm_graph *g, hm_node *n) {
    const int k = ((const hm_topk_attr *)n->attr)->k;
    HM_TRY(check_float(n));
    hm_shape shape = n->in[0]->shape;
    HM_NODE_CHECK(n, shape.rank > 0 && k >= 0 && k <= hm_dim(n->in[0], -1), "there are not %d entries to choose", k);
    HM_NODE_CHECK(n, hm_dim(n->in[0], -1) <= INT32_MAX, "rows are too long");
    shape.dim[shape.rank - 1] = k;
    return hm_node_output(g, n, HM_I32, shape);
}

/* One heap of k keys per row. */
static size_t topk_workspace(const hm_node *n, int threads) {
    (void)threads;
    return (size_t)hm_count(n->out[0]) * sizeof(uint64_t);
}

/* Each row's keys, where a block's shared memory has no room for them. */
static size_t topk_cuda_workspace(const hm_node *n) {
    const int64_t k = hm_dim(n->out[0], -1), keys = hm_topk_keys(hm_dim(n->in[0], -1), k);
    return keys > HM_TOPK_SHARED ? (size_t)(hm_rows(n->in[0], 1) * keys) * sizeof(uint64_t) : 0;
}

const hm_op hm_op_max_last = {
    .name = "max_last",
    .infer = max_last_infer,
    .no_grad = true,
    .ref = hm_max_last_ref,
    .cpu = HM_CPU_KERNELS(hm_max_last),
    .cuda = HM_CUDA_KERNEL(hm_max_last),
};

const hm_op hm_op_topk = {
    .name = "topk",
    .infer = topk_infer,
    .no_grad = true,
    .ref = hm_topk_ref,
    .cpu = HM_CPU_KERNELS(hm_topk),
    .workspace = topk_workspace,
    .cuda = HM_CUDA_KERNEL(hm_topk),
    .cuda_workspace = topk_cuda_workspace,
};

hm_tensor *hm_max_last(hm_graph *g, hm_tensor *x) {
    return hm_graph_apply(g, &hm_op_max_last, NULL, 0, &x, 1);
}

hm_tensor *hm_topk(hm_graph *g, hm_tensor *x, int k) {
    const hm_topk_attr attr = {k};
    return hm_graph_apply(g, &hm_op_topk, &attr, sizeof attr, &x, 1);
}

/* ---- gather_rows */

static hm_status gather_rows_infer(hm_graph *g, hm_node *n) {
    HM_TRY(check_float(n));
    const hm_tensor *const x = n->in[0], *const index = n->in[1];
    HM_NODE_CHECK(n, index != NULL && index->dtype == HM_I32, "the index must be an i32 tensor");
    HM_NODE_CHECK(n, x->shape.rank == 3 && index->shape.rank == 2 && x->shape.dim[0] == index->shape.dim[0],
                  "shapes must be [B,N,C] and [B,k]");
    return hm_node_output(g, n, HM_F32, HM_SHAPE(x->shape.dim[0], index->shape.dim[1], x->shape.dim[2]));
}

/* Inputs dout [B, k, C] and index [B, k]; output dx [B, N, C]. */
static hm_status gather_rows_back_infer(hm_graph *g, hm_node *n) {
    const hm_gather_attr *const attr = n->attr;
    return hm_node_output(g, n, HM_F32, HM_SHAPE(n->in[0]->shape.dim[0], attr->rows, n->in[0]->shape.dim[2]));
}

static hm_status gather_rows_grad(hm_graph *g, hm_node *n, hm_tensor *const *dout, hm_tensor **din) {
    const hm_gather_attr attr = {n->in[0]->shape.dim[1]};
    din[0] = hm_graph_apply(g, &hm_op_gather_rows_back, &attr, sizeof attr, (hm_tensor *[]){dout[0], n->in[1]}, 2);
    return HM_OK;
}

const hm_op hm_op_gather_rows = {
    .name = "gather_rows",
    .infer = gather_rows_infer,
    .grad = gather_rows_grad,
    .ref = hm_gather_rows_ref,
    .cpu = HM_CPU_KERNELS(hm_gather_rows),
    .cuda = HM_CUDA_KERNEL(hm_gather_rows),
};

const hm_op hm_op_gather_rows_back = {
    .name = "gather_rows_back",
    .infer = gather_rows_back_infer,
    .ref = hm_gather_rows_back_ref,
    .cpu = HM_CPU_KERNELS(hm_gather_rows_back),
    .cuda = HM_CUDA_KERNEL(hm_gather_rows_back),
};

hm_tensor *hm_gather_rows(hm_graph *g, hm_tensor *x, hm_tensor *index) {
    return hm_graph_apply(g, &hm_op_gather_rows, NULL, 0, (hm_tensor *[]){x, index}, 2);
}

/* ---- mask_rows */

static hm_status mask_rows_infer(hm_graph *g, hm_node *n) {
    HM_TRY(check_float(n));
    const hm_tensor *const x = n->in[0], *const keep = n->in[1];
    HM_NODE_CHECK(n, keep != NULL && keep->dtype == HM_U8, "the mask must be a u8 tensor");
    HM_NODE_CHECK(n, x->shape.rank == 3 && hm_shape_equal(keep->shape, HM_SHAPE(x->shape.dim[0], x->shape.dim[1])),
                  "shapes must be [B,N,C] and [B,N]");
    return hm_node_output(g, n, HM_F32, x->shape);
}

static hm_status mask_rows_grad(hm_graph *g, hm_node *n, hm_tensor *const *dout, hm_tensor **din) {
    din[0] = hm_mask_rows(g, dout[0], n->in[1]);
    return HM_OK;
}

const hm_op hm_op_mask_rows = {
    .name = "mask_rows",
    .infer = mask_rows_infer,
    .grad = mask_rows_grad,
    .ref = hm_mask_rows_ref,
    .cpu = HM_CPU_KERNELS(hm_mask_rows),
    .cuda = HM_CUDA_KERNEL(hm_mask_rows),
    .in_place = true,
};

hm_tensor *hm_mask_rows(hm_graph *g, hm_tensor *x, hm_tensor *keep) {
    return hm_graph_apply(g, &hm_op_mask_rows, NULL, 0, (hm_tensor *[]){x, keep}, 2);
}
