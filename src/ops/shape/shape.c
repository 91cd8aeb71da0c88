/* shape.c: builders, shape checks and gradient rules of views, permutations, joins and cuts. */
#include "ops/shape/shape.h"

#include "graph/op.h"
#include "ops/shape/shape_attr.h"

HM_CPU_DECLARE(hm_permute);
HM_CPU_DECLARE(hm_concat);
HM_CPU_DECLARE(hm_slice);
HM_CPU_DECLARE(hm_pad);
HM_CUDA_DECLARE(hm_permute);
HM_CUDA_DECLARE(hm_concat);
HM_CUDA_DECLARE(hm_slice);
HM_CUDA_DECLARE(hm_pad);
hm_status hm_permute_ref(const hm_call *c);
hm_status hm_concat_ref(const hm_call *c);
hm_status hm_slice_ref(const hm_call *c);
hm_status hm_pad_ref(const hm_call *c);

extern const hm_op hm_op_reshape, hm_op_permute, hm_op_concat, hm_op_slice, hm_op_pad;

static hm_status check_dtype(const hm_node *n, int i) {
    HM_NODE_CHECK(n, n->in[i] != NULL && (n->in[i]->dtype == HM_F32 || n->in[i]->dtype == HM_I32),
                  "input %d must be an fp32 or i32 tensor", i);
    return HM_OK;
}

/* ---- reshape */

static hm_status reshape_infer(hm_graph *g, hm_node *n) {
    const hm_shape *const shape = n->attr;
    char text[96];
    HM_NODE_CHECK(n, n->in[0] != NULL && hm_shape_count(*shape) == hm_count(n->in[0]),
                  "shape %s has another number of elements", hm_shape_text(*shape, text));
    return hm_node_output(g, n, n->in[0]->dtype, *shape);
}

static hm_status reshape_grad(hm_graph *g, hm_node *n, hm_tensor *const *dout, hm_tensor **din) {
    din[0] = hm_reshape(g, dout[0], n->in[0]->shape);
    return HM_OK;
}

static hm_tensor *reshape_again(hm_graph *g, hm_node *n) {
    hm_tensor *const x = hm_graph_again(g, n->in[0]);
    return x == n->in[0] ? n->out[0] : hm_reshape(g, x, n->out[0]->shape);
}

const hm_op hm_op_reshape = {
    .name = "reshape",
    .infer = reshape_infer,
    .grad = reshape_grad,
    .again = reshape_again,
    .view = true,
};

hm_tensor *hm_reshape(hm_graph *g, hm_tensor *x, hm_shape shape) {
    if (g->status != HM_OK)
        return NULL;
    if (hm_shape_equal(x->shape, shape))
        return x;
    return hm_graph_apply(g, &hm_op_reshape, &shape, sizeof shape, &x, 1);
}

/* ---- permute */

static hm_status permute_infer(hm_graph *g, hm_node *n) {
    const hm_permute_attr *const attr = n->attr;
    HM_TRY(check_dtype(n, 0));
    hm_shape shape = n->in[0]->shape;
    bool seen[HM_MAX_RANK] = {false};
    for (int i = 0; i < shape.rank; i++) {
        const int from = attr->perm[i];
        HM_NODE_CHECK(n, from >= 0 && from < shape.rank && !seen[from], "entry %d of the permutation is %d", i, from);
        seen[from] = true;
        shape.dim[i] = n->in[0]->shape.dim[from];
    }
    return hm_node_output(g, n, n->in[0]->dtype, shape);
}

static hm_status permute_grad(hm_graph *g, hm_node *n, hm_tensor *const *dout, hm_tensor **din) {
    const hm_permute_attr *const attr = n->attr;
    int inverse[HM_MAX_RANK] = {0};
    for (int i = 0; i < n->in[0]->shape.rank; i++)
        inverse[attr->perm[i]] = i;
    din[0] = hm_permute(g, dout[0], inverse);
    return HM_OK;
}

const hm_op hm_op_permute = {
    .name = "permute",
    .infer = permute_infer,
    .grad = permute_grad,
    .ref = hm_permute_ref,
    .cpu = HM_CPU_KERNELS(hm_permute),
    .cuda = HM_CUDA_KERNEL(hm_permute),
};

hm_tensor *hm_permute(hm_graph *g, hm_tensor *x, const int *perm) {
    if (g->status != HM_OK)
        return NULL;
    hm_permute_attr attr = {{0}};
    for (int i = 0; i < x->shape.rank; i++)
        attr.perm[i] = perm[i];
    return hm_graph_apply(g, &hm_op_permute, &attr, sizeof attr, &x, 1);
}

/* ---- concat */

static hm_status concat_infer(hm_graph *g, hm_node *n) {
    const int axis = ((const hm_concat_attr *)n->attr)->axis;
    HM_NODE_CHECK(n, n->n_in > 0, "there is nothing to join");
    HM_TRY(check_dtype(n, 0));
    hm_shape shape = n->in[0]->shape;
    HM_NODE_CHECK(n, axis >= 0 && axis < shape.rank, "there is no axis %d", axis);
    for (int i = 1; i < n->n_in; i++) {
        HM_TRY(check_dtype(n, i));
        hm_shape other = n->in[i]->shape;
        const int64_t len = other.rank > axis ? other.dim[axis] : 0;
        other.dim[axis] = shape.dim[axis];
        HM_NODE_CHECK(n, n->in[i]->dtype == n->in[0]->dtype && hm_shape_equal(other, shape),
                      "input %d differs in more than its extent along axis %d", i, axis);
        shape.dim[axis] += len;
    }
    return hm_node_output(g, n, n->in[0]->dtype, shape);
}

static hm_status concat_grad(hm_graph *g, hm_node *n, hm_tensor *const *dout, hm_tensor **din) {
    const int axis = ((const hm_concat_attr *)n->attr)->axis;
    int64_t at = 0;
    for (int i = 0; i < n->n_in; i++) {
        const int64_t len = n->in[i]->shape.dim[axis];
        if (hm_wants_grad(n, i))
            din[i] = hm_slice(g, dout[0], axis, at, len);
        at += len;
    }
    return HM_OK;
}

const hm_op hm_op_concat = {
    .name = "concat",
    .infer = concat_infer,
    .grad = concat_grad,
    .ref = hm_concat_ref,
    .cpu = HM_CPU_KERNELS(hm_concat),
    .cuda = HM_CUDA_KERNEL(hm_concat),
};

static int from_front(const hm_tensor *x, int axis) {
    return axis < 0 ? axis + x->shape.rank : axis;
}

hm_tensor *hm_concat(hm_graph *g, hm_tensor *const *xs, int n, int axis) {
    if (g->status != HM_OK)
        return NULL;
    const hm_concat_attr attr = {n > 0 ? from_front(xs[0], axis) : axis};
    return hm_graph_apply(g, &hm_op_concat, &attr, sizeof attr, xs, n);
}

/* ---- slice, pad */

static hm_status slice_infer(hm_graph *g, hm_node *n) {
    const hm_range_attr *const attr = n->attr;
    HM_TRY(check_dtype(n, 0));
    hm_shape shape = n->in[0]->shape;
    HM_NODE_CHECK(n, attr->axis >= 0 && attr->axis < shape.rank, "there is no axis %d", attr->axis);
    HM_NODE_CHECK(n, attr->start >= 0 && attr->extent >= 0 && attr->start <= shape.dim[attr->axis] - attr->extent,
                  "entries %lld to %lld leave axis %d", (long long)attr->start, (long long)(attr->start + attr->extent),
                  attr->axis);
    shape.dim[attr->axis] = attr->extent;
    return hm_node_output(g, n, n->in[0]->dtype, shape);
}

static hm_status slice_grad(hm_graph *g, hm_node *n, hm_tensor *const *dout, hm_tensor **din) {
    const hm_range_attr *const attr = n->attr;
    din[0] = hm_pad(g, dout[0], attr->axis, attr->start, n->in[0]->shape.dim[attr->axis]);
    return HM_OK;
}

static hm_status pad_infer(hm_graph *g, hm_node *n) {
    const hm_range_attr *const attr = n->attr;
    HM_TRY(check_dtype(n, 0));
    hm_shape shape = n->in[0]->shape;
    HM_NODE_CHECK(n, attr->axis >= 0 && attr->axis < shape.rank, "there is no axis %d", attr->axis);
    HM_NODE_CHECK(n, attr->start >= 0 && attr->start <= attr->extent - shape.dim[attr->axis],
                  "it does not fit into %lld entries from %lld on", (long long)attr->extent, (long long)attr->start);
    shape.dim[attr->axis] = attr->extent;
    return hm_node_output(g, n, n->in[0]->dtype, shape);
}

static hm_status pad_grad(hm_graph *g, hm_node *n, hm_tensor *const *dout, hm_tensor **din) {
    const hm_range_attr *const attr = n->attr;
    din[0] = hm_slice(g, dout[0], attr->axis, attr->start, n->in[0]->shape.dim[attr->axis]);
    return HM_OK;
}

const hm_op hm_op_slice = {
    .name = "slice",
    .infer = slice_infer,
    .grad = slice_grad,
    .ref = hm_slice_ref,
    .cpu = HM_CPU_KERNELS(hm_slice),
    .cuda = HM_CUDA_KERNEL(hm_slice),
};

const hm_op hm_op_pad = {
    .name = "pad",
    .infer = pad_infer,
    .grad = pad_grad,
    .ref = hm_pad_ref,
    .cpu = HM_CPU_KERNELS(hm_pad),
    .cuda = HM_CUDA_KERNEL(hm_pad),
};

hm_tensor *hm_slice(hm_graph *g, hm_tensor *x, int axis, int64_t start, int64_t len) {
    if (g->status != HM_OK)
        return NULL;
    const hm_range_attr attr = {from_front(x, axis), start, len};
    return hm_graph_apply(g, &hm_op_slice, &attr, sizeof attr, &x, 1);
}

hm_tensor *hm_pad(hm_graph *g, hm_tensor *x, int axis, int64_t start, int64_t total) {
    if (g->status != HM_OK)
        return NULL;
    const hm_range_attr attr = {from_front(x, axis), start, total};
    return hm_graph_apply(g, &hm_op_pad, &attr, sizeof attr, &x, 1);
}
