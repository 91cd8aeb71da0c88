/* ema.c: builder and shape checks of the exponential moving average. */
#include "ops/ema/ema.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "graph/op.h"
#include "ops/ema/ema_attr.h"

HM_CPU_DECLARE(hm_ema);
HM_CUDA_DECLARE(hm_ema);
hm_status hm_ema_ref(const hm_call *c);

extern const hm_op hm_op_ema;

static hm_status ema_infer(hm_graph *g, hm_node *n) {
    const int count = hm_ema_count(n->n_in);
    for (int i = 0; i < 2 * count + 1; i++)
        HM_NODE_CHECK(n, n->in[i] != NULL && n->in[i]->dtype == HM_F32, "input %d must be an fp32 tensor", i);
    HM_NODE_CHECK(n, n->in[2 * count]->shape.rank == 0, "the decay must be a scalar");
    for (int i = 0; i < count; i++) {
        const hm_tensor *const average = n->in[i];
        HM_NODE_CHECK(n, hm_shape_equal(average->shape, n->in[count + i]->shape),
                      "average and weights must have the same shape (%d)", i);
        HM_NODE_CHECK(n, average->storage == HM_PARAM || average->storage == HM_STATE,
                      "average %d does not outlive the run: updating it has no effect", i);
        HM_TRY(hm_node_output(g, n, HM_F32, average->shape));
    }
    return HM_OK;
}

/* Weights may be half; averages that are half are widened and rounded by the executor. */
static bool native(const hm_node *n) {
    bool full = true;
    for (int o = 0; o < n->n_out; o++)
        full &= n->out[o]->dtype == HM_F32;
    return full;
}

const hm_op hm_op_ema = {
    .name = "ema",
    .infer = ema_infer,
    .no_grad = true,
    .ref = hm_ema_ref,
    .cpu = HM_CPU_KERNELS(hm_ema),
    .native = native,
    .cuda = HM_CUDA_KERNEL(hm_ema),
    .updates = true,
};

void hm_ema(hm_graph *g, hm_tensor *const *averages, hm_tensor *const *p, int n, hm_tensor *decay, hm_tensor *skip) {
    hm_tensor **in;
    if (n == 0 || g->status != HM_OK)
        return;
    if (hm_alloc(&in, 2 * (size_t)n + 2, sizeof *in) != HM_OK) {
        hm_graph_fail(g, HM_ERR_MEMORY, "%s", hm_error_message());
        return;
    }
    memcpy(in, averages, (size_t)n * sizeof *in);
    memcpy(in + n, p, (size_t)n * sizeof *in);
    in[2 * n] = decay;
    in[2 * n + 1] = skip;
    hm_graph_node(g, &hm_op_ema, NULL, 0, in, 2 * n + 2);
    free(in);
}
