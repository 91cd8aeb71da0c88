/* proposals.c: builder and shape rule of the proposal grid. */
#include "ops/proposals/proposals.h"

#include "graph/op.h"
#include "ops/proposals/proposals_attr.h"

HM_CPU_DECLARE(proposals);
HM_CUDA_DECLARE(proposals);
hm_status proposals_ref(const hm_call *c);

static hm_status infer(hm_graph *g, hm_node *n) {
    const hm_tensor *const padding = n->in[0];
    const hm_proposals_attr *const a = n->attr;
    const hm_levels *const l = &a->levels;
    int64_t N = 0;
    HM_NODE_CHECK(n, l->n >= 1 && l->n <= 4, "%d feature levels; 1 to 4 are possible", l->n);
    for (int i = 0; i < l->n; i++) {
        HM_NODE_CHECK(n, l->h[i] > 0 && l->w[i] > 0, "level %d is empty", i);
        N += l->h[i] * l->w[i];
    }
    HM_NODE_CHECK(n,
                  padding == NULL || (padding->dtype == HM_U8 && padding->shape.rank == 3 &&
                                      hm_dim(padding, 0) == a->B && hm_dim(padding, 1) > 0 && hm_dim(padding, 2) > 0),
                  "padding must be u8 [B, H, W]");
    HM_TRY(hm_node_output(g, n, HM_F32, HM_SHAPE(a->B, N, 4)));
    HM_TRY(hm_node_output(g, n, HM_U8, HM_SHAPE(a->B, N)));
    HM_TRY(hm_node_output(g, n, HM_U8, HM_SHAPE(a->B, N)));
    return hm_node_output(g, n, HM_F32, HM_SHAPE(a->B, l->n, 2));
}

const hm_op hm_op_proposals = {
    .name = "proposals",
    .infer = infer,
    .no_grad = true,
    .ref = proposals_ref,
    .cpu = HM_CPU_KERNELS(proposals),
    .cuda = HM_CUDA_KERNEL(proposals),
};

hm_proposals hm_make_proposals(hm_graph *g, hm_tensor *padding, int64_t B, hm_levels levels) {
    const hm_proposals_attr attr = {.B = B, .levels = levels};
    const hm_node *const n = hm_graph_node(g, &hm_op_proposals, &attr, sizeof attr, (hm_tensor *[]){padding}, 1);
    if (n == NULL)
        return (hm_proposals){0};
    return (hm_proposals){.boxes = n->out[0], .valid = n->out[1], .unpadded = n->out[2], .ratios = n->out[3]};
}
