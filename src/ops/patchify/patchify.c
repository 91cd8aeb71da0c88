/* patchify.c: builder and shape rule of the patch rows. */
#include "ops/patchify/patchify.h"

#include "graph/op.h"
#include "ops/patchify/patchify_attr.h"

HM_CPU_DECLARE(patchify);
HM_CUDA_DECLARE(patchify);
hm_status patchify_ref(const hm_call *c);

static hm_status infer(hm_graph *g, hm_node *n) {
    const hm_tensor *const x = n->in[0];
    const int p = ((const hm_patchify_attr *)n->attr)->p;
    HM_NODE_CHECK(n, x != NULL && x->dtype == HM_F32 && x->shape.rank == 4, "images must be [B, 3, H, W]");
    HM_NODE_CHECK(n, p > 0 && hm_dim(x, 2) % p == 0 && hm_dim(x, 3) % p == 0,
                  "height and width must be multiples of the patch size %d", p);
    return hm_node_output(g, n, HM_F32,
                          HM_SHAPE(hm_dim(x, 0), hm_dim(x, 2) / p * (hm_dim(x, 3) / p), hm_dim(x, 1) * p * p));
}

const hm_op hm_op_patchify = {
    .name = "patchify",
    .infer = infer,
    .no_grad = true,
    .ref = patchify_ref,
    .cpu = HM_CPU_KERNELS(patchify),
    .cuda = HM_CUDA_KERNEL(patchify),
};

hm_tensor *hm_patchify(hm_graph *g, hm_tensor *images, int p) {
    const hm_patchify_attr attr = {.p = p};
    return hm_graph_apply(g, &hm_op_patchify, &attr, sizeof attr, (hm_tensor *[]){images}, 1);
}
