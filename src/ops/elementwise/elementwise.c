/* elementwise.c: builders, shape checks and gradient rules of sums and products with broadcasting. */
#include "ops/elementwise/elementwise.h"

#include "graph/op.h"
#include "ops/elementwise/broadcast.h"

HM_CPU_DECLARE(hm_add);
HM_CPU_DECLARE(hm_mul);
HM_CPU_DECLARE(hm_sum_to);
HM_CPU_DECLARE(hm_broadcast);
HM_CPU_DECLARE(hm_scale_residual);
HM_CPU_DECLARE(hm_scale_residual_back);
HM_CUDA_DECLARE(hm_add);
HM_CUDA_DECLARE(hm_mul);
HM_CUDA_DECLARE(hm_sum_to);
HM_CUDA_DECLARE(hm_broadcast);
HM_CUDA_DECLARE(hm_scale_residual);
HM_CUDA_DECLARE(hm_scale_residual_back);
hm_status hm_add_ref(const hm_call *c);
hm_status hm_mul_ref(const hm_call *c);
hm_status hm_sum_to_ref(const hm_call *c);
hm_status hm_broadcast_ref(const hm_call *c);
hm_status hm_scale_residual_ref(const hm_call *c);
hm_status hm_scale_residual_back_ref(const hm_call *c);

extern const hm_op hm_op_add, hm_op_mul, hm_op_sum_to, hm_op_broadcast, hm_op_scale_residual, hm_op_scale_residual_back,
    hm_op_detach;

/* Each dimension of `small`, aligned at the last, equals that of `large` or is 1. */
static bool broadcasts(hm_shape small, hm_shape large) {
    if (small.rank > large.rank)
        return false;
    for (int i = 1; i <= small.rank; i++) {
        const int64_t s = small.dim[small.rank - i];
        if (s != 1 && s != large.dim[large.rank - i])
            return false;
    }
    return true;
}

static hm_status check_floats(const hm_node *n) {
    for (int i = 0; i < n->n_in; i++)
        HM_NODE_CHECK(n, n->in[i] != NULL && n->in[i]->dtype == HM_F32, "input %d must be an fp32 tensor", i);
    return HM_OK;
}

/* ---- a + b, a * b */

static hm_status binary_infer(hm_graph *g, hm_node *n) {
    HM_TRY(check_floats(n));
    HM_NODE_CHECK(n, broadcasts(n->in[1]->shape, n->in[0]->shape),
                  "the second shape does not broadcast to the first one");
    return hm_node_output(g, n, HM_F32, n->in[0]->shape);
}

/* Two terms, the second one broadcast, or several of one shape. */
static hm_status add_infer(hm_graph *g, hm_node *n) {
    HM_NODE_CHECK(n, n->n_in >= 2 && n->n_in <= HM_ADD_MOST, "cannot add %d terms", n->n_in);
    HM_TRY(binary_infer(g, n));
    for (int i = 1; n->n_in > 2 && i < n->n_in; i++)
        HM_NODE_CHECK(n, hm_shape_equal(n->in[i]->shape, n->in[0]->shape), "all terms must have the same shape");
    return HM_OK;
}

static hm_status add_grad(hm_graph *g, hm_node *n, hm_tensor *const *dout, hm_tensor **din) {
    for (int i = 0; i < n->n_in; i++)
        if (hm_wants_grad(n, i))
            din[i] = hm_sum_to(g, dout[0], n->in[i]->shape);
    return HM_OK;
}

static hm_status mul_grad(hm_graph *g, hm_node *n, hm_tensor *const *dout, hm_tensor **din) {
    if (hm_wants_grad(n, 0))
        din[0] = hm_mul(g, dout[0], n->in[1]);
    if (hm_wants_grad(n, 1))
        din[1] = hm_sum_to(g, hm_mul(g, dout[0], n->in[0]), n->in[1]->shape);
    return HM_OK;
}

const hm_op hm_op_add = {
    .name = "add",
    .infer = add_infer,
    .grad = add_grad,
    .ref = hm_add_ref,
    .cpu = HM_CPU_KERNELS(hm_add),
    .cuda = HM_CUDA_KERNEL(hm_add),
    .in_place = true,
};

const hm_op hm_op_mul = {
    .name = "mul",
    .infer = binary_infer,
    .grad = mul_grad,
    .ref = hm_mul_ref,
    .cpu = HM_CPU_KERNELS(hm_mul),
    .cuda = HM_CUDA_KERNEL(hm_mul),
    .in_place = true,
};

hm_tensor *hm_add(hm_graph *g, hm_tensor *a, hm_tensor *b) {
    return hm_graph_apply(g, &hm_op_add, NULL, 0, (hm_tensor *[]){a, b}, 2);
}

hm_tensor *hm_add_all(hm_graph *g, hm_tensor *const *terms, int n) {
    return hm_graph_apply(g, &hm_op_add, NULL, 0, terms, n);
}

hm_tensor *hm_mul(hm_graph *g, hm_tensor *a, hm_tensor *b) {
    return hm_graph_apply(g, &hm_op_mul, NULL, 0, (hm_tensor *[]){a, b}, 2);
}

/* ---- sums down to a shape, repetition up to a shape; the attribute is the output's shape */

static hm_status sum_to_infer(hm_graph *g, hm_node *n) {
    const hm_shape *const shape = n->attr;
    char text[96];
    HM_TRY(check_floats(n));
    HM_NODE_CHECK(n, broadcasts(*shape, n->in[0]->shape), "cannot be summed to %s", hm_shape_text(*shape, text));
    return hm_node_output(g, n, HM_F32, *shape);
}

static hm_status sum_to_grad(hm_graph *g, hm_node *n, hm_tensor *const *dout, hm_tensor **din) {
    din[0] = hm_broadcast(g, dout[0], n->in[0]->shape);
    return HM_OK;
}

static size_t sum_to_workspace(const hm_node *n, int threads) {
    (void)threads;
    const hm_broadcast_map m = hm_broadcast_make(n->in[0]->shape, n->out[0]->shape);
    const int64_t parts = hm_sum_parts(&m);
    return parts > 1 ? (size_t)(parts * hm_count(n->out[0])) * sizeof(double) : 0;
}

static size_t sum_to_cuda_workspace(const hm_node *n) {
    const hm_broadcast_map m = hm_broadcast_make(n->in[0]->shape, n->out[0]->shape);
    const int64_t parts = hm_sum_cuda_parts(&m);
    return parts > 1 ? (size_t)(parts * hm_count(n->out[0])) * sizeof(double) : 0;
}

static hm_status broadcast_infer(hm_graph *g, hm_node *n) {
    const hm_shape *const shape = n->attr;
    char text[96];
    HM_TRY(check_floats(n));
    HM_NODE_CHECK(n, broadcasts(n->in[0]->shape, *shape), "does not broadcast to %s", hm_shape_text(*shape, text));
    return hm_node_output(g, n, HM_F32, *shape);
}

static hm_status broadcast_grad(hm_graph *g, hm_node *n, hm_tensor *const *dout, hm_tensor **din) {
    din[0] = hm_sum_to(g, dout[0], n->in[0]->shape);
    return HM_OK;
}

const hm_op hm_op_sum_to = {
    .name = "sum_to",
    .infer = sum_to_infer,
    .grad = sum_to_grad,
    .ref = hm_sum_to_ref,
    .cpu = HM_CPU_KERNELS(hm_sum_to),
    .workspace = sum_to_workspace,
    .cuda = HM_CUDA_KERNEL(hm_sum_to),
    .cuda_workspace = sum_to_cuda_workspace,
};

const hm_op hm_op_broadcast = {
    .name = "broadcast",
    .infer = broadcast_infer,
    .grad = broadcast_grad,
    .ref = hm_broadcast_ref,
    .cpu = HM_CPU_KERNELS(hm_broadcast),
    .cuda = HM_CUDA_KERNEL(hm_broadcast),
};

hm_tensor *hm_sum_to(hm_graph *g, hm_tensor *x, hm_shape shape) {
    if (g->status != HM_OK)
        return NULL;
    if (hm_shape_equal(x->shape, shape))
        return x;
    return hm_graph_apply(g, &hm_op_sum_to, &shape, sizeof shape, &x, 1);
}

hm_tensor *hm_broadcast(hm_graph *g, hm_tensor *x, hm_shape shape) {
    if (g->status != HM_OK)
        return NULL;
    if (hm_shape_equal(x->shape, shape))
        return x;
    return hm_graph_apply(g, &hm_op_broadcast, &shape, sizeof shape, &x, 1);
}

/* ---- x + gain * y */

static hm_status scale_residual_infer(hm_graph *g, hm_node *n) {
    HM_TRY(check_floats(n));
    HM_NODE_CHECK(n, hm_shape_equal(n->in[0]->shape, n->in[1]->shape), "both terms must have the same shape");
    HM_NODE_CHECK(
        n, n->in[0]->shape.rank > 0 && n->in[2]->shape.rank == 1 && n->in[2]->shape.dim[0] == hm_dim(n->in[0], -1),
        "the gain must have one number per channel");
    return hm_node_output(g, n, HM_F32, n->in[0]->shape);
}

/* Inputs dout, y, gain; outputs dy and, if there is an attribute (bool), dgain. */
static hm_status scale_residual_back_infer(hm_graph *g, hm_node *n) {
    HM_TRY(hm_node_output(g, n, HM_F32, n->in[0]->shape));
    return *(const bool *)n->attr ? hm_node_output(g, n, HM_F32, n->in[2]->shape) : HM_OK;
}

static hm_status scale_residual_grad(hm_graph *g, hm_node *n, hm_tensor *const *dout, hm_tensor **din) {
    if (hm_wants_grad(n, 0))
        din[0] = dout[0];
    if (!hm_wants_grad(n, 1) && !hm_wants_grad(n, 2))
        return HM_OK;
    const bool want_gain = hm_wants_grad(n, 2);
    const hm_node *const b = hm_graph_node(g, &hm_op_scale_residual_back, &want_gain, sizeof want_gain,
                                           (hm_tensor *[]){dout[0], n->in[1], n->in[2]}, 3);
    if (b != NULL) {
        din[1] = b->out[0];
        din[2] = want_gain ? b->out[1] : NULL;
    }
    return HM_OK;
}

static size_t scale_residual_back_workspace(const hm_node *n, int threads) {
    (void)threads;
    return n->n_out > 1 ? (size_t)(hm_scale_parts(hm_rows(n->in[0], 1)) * hm_dim(n->in[0], -1)) * sizeof(double) : 0;
}

static size_t scale_residual_back_cuda_workspace(const hm_node *n) {
    const int64_t channels = hm_dim(n->in[0], -1);
    const int64_t parts = hm_sum_cuda_columns_parts(hm_rows(n->in[0], 1), 1, channels);
    return n->n_out > 1 && parts > 1 ? (size_t)(parts * channels) * sizeof(double) : 0;
}

const hm_op hm_op_scale_residual = {
    .name = "scale_residual",
    .infer = scale_residual_infer,
    .grad = scale_residual_grad,
    .ref = hm_scale_residual_ref,
    .cpu = HM_CPU_KERNELS(hm_scale_residual),
    .cuda = HM_CUDA_KERNEL(hm_scale_residual),
    .in_place = true,
};

const hm_op hm_op_scale_residual_back = {
    .name = "scale_residual_back",
    .infer = scale_residual_back_infer,
    .ref = hm_scale_residual_back_ref,
    .cpu = HM_CPU_KERNELS(hm_scale_residual_back),
    .workspace = scale_residual_back_workspace,
    .cuda = HM_CUDA_KERNEL(hm_scale_residual_back),
    .cuda_workspace = scale_residual_back_cuda_workspace,
    .in_place = true,
};

hm_tensor *hm_scale_residual(hm_graph *g, hm_tensor *x, hm_tensor *y, hm_tensor *gain) {
    return hm_graph_apply(g, &hm_op_scale_residual, NULL, 0, (hm_tensor *[]){x, y, gain}, 3);
}

/* ---- detach */

static hm_status detach_infer(hm_graph *g, hm_node *n) {
    return hm_node_output(g, n, n->in[0]->dtype, n->in[0]->shape);
}

const hm_op hm_op_detach = {.name = "detach", .infer = detach_infer, .no_grad = true, .view = true};

hm_tensor *hm_detach(hm_graph *g, hm_tensor *x) {
    return hm_graph_apply(g, &hm_op_detach, NULL, 0, &x, 1);
}
