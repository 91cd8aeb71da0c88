/* cast.c: builders and rules of the change of type. */
#include "ops/cast/cast.h"

#include "graph/op.h"

HM_CPU_DECLARE(hm_cast);
HM_CUDA_DECLARE(hm_cast);
hm_status hm_cast_ref(const hm_call *c);

static hm_status infer(hm_graph *g, hm_node *n) {
    const hm_dtype to = *(const hm_dtype *)n->attr;
    for (int i = 0; i < n->n_in; i++) {
        HM_NODE_CHECK(n, n->in[i] != NULL && hm_dtype_is_float(n->in[i]->dtype) && hm_dtype_is_float(to),
                      "only floating-point tensors can be stored in another type");
        HM_TRY(hm_node_output(g, n, to, n->in[i]->shape));
    }
    return HM_OK;
}

/* The gradient's own type is the precision pass's to choose. */
static hm_status grad(hm_graph *g, hm_node *n, hm_tensor *const *dout, hm_tensor **din) {
    (void)g;
    for (int i = 0; i < n->n_in; i++)
        din[i] = dout[i];
    return HM_OK;
}

static bool native(const hm_node *n) {
    (void)n;
    return true;
}

const hm_op hm_op_cast = {
    .name = "cast",
    .infer = infer,
    .grad = grad,
    .ref = hm_cast_ref,
    .cpu = HM_CPU_KERNELS(hm_cast),
    .native = native,
    .cuda = HM_CUDA_KERNEL(hm_cast),
};

hm_tensor *hm_cast(hm_graph *g, hm_tensor *x, hm_dtype to) {
    return hm_graph_apply(g, &hm_op_cast, &to, sizeof to, &x, 1);
}

void hm_cast_all(hm_graph *g, hm_tensor **y, hm_tensor *const *x, int n, hm_dtype to) {
    const hm_node *const node = hm_graph_node(g, &hm_op_cast, &to, sizeof to, x, n);
    for (int i = 0; i < n; i++)
        y[i] = node != NULL ? node->out[i] : NULL;
}
