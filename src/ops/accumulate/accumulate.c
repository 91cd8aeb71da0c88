/* accumulate.c: builder and shape checks of the sums of gradients. */
#include "ops/accumulate/accumulate.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "graph/op.h"
#include "ops/accumulate/accumulate_attr.h"

HM_CPU_DECLARE(hm_accumulate);
HM_CUDA_DECLARE(hm_accumulate);
hm_status hm_accumulate_ref(const hm_call *c);

extern const hm_op hm_op_accumulate;

static hm_status accumulate_infer(hm_graph *g, hm_node *n) {
    const int count = hm_accumulate_count(n->n_in);
    for (int i = 0; i < n->n_in; i++)
        HM_NODE_CHECK(n, n->in[i] != NULL && n->in[i]->dtype == HM_F32, "input %d must be an fp32 tensor", i);
    HM_NODE_CHECK(n, n->in[2 * count]->shape.rank == 0, "keep must be a scalar");
    for (int i = 0; i < count; i++) {
        const hm_tensor *const sum = n->in[i];
        HM_NODE_CHECK(n, hm_shape_equal(sum->shape, n->in[count + i]->shape),
                      "sum and gradient must have the same shape (%d)", i);
        HM_NODE_CHECK(n, sum->storage == HM_PARAM || sum->storage == HM_STATE,
                      "sum %d does not outlive the run: updating it has no effect", i);
        HM_TRY(hm_node_output(g, n, HM_F32, sum->shape));
    }
    return HM_OK;
}

/* Gradients may be half; sums that are half are widened and rounded by the executor. */
static bool native(const hm_node *n) {
    bool full = true;
    for (int o = 0; o < n->n_out; o++)
        full &= n->out[o]->dtype == HM_F32;
    return full;
}

const hm_op hm_op_accumulate = {
    .name = "accumulate",
    .infer = accumulate_infer,
    .no_grad = true,
    .ref = hm_accumulate_ref,
    .cpu = HM_CPU_KERNELS(hm_accumulate),
    .native = native,
    .cuda = HM_CUDA_KERNEL(hm_accumulate),
    .updates = true,
};

void hm_accumulate(hm_graph *g, hm_tensor *const *sums, hm_tensor *const *grads, int n, hm_tensor *keep) {
    hm_tensor **in;
    if (n == 0 || g->status != HM_OK)
        return;
    if (hm_alloc(&in, 2 * (size_t)n + 1, sizeof *in) != HM_OK) {
        hm_graph_fail(g, HM_ERR_MEMORY, "%s", hm_error_message());
        return;
    }
    memcpy(in, sums, (size_t)n * sizeof *in);
    memcpy(in + n, grads, (size_t)n * sizeof *in);
    in[2 * n] = keep;
    hm_graph_node(g, &hm_op_accumulate, NULL, 0, in, 2 * n + 1);
    free(in);
}
