/* mask_head.c: the mask head of the fork RF-DETR-Mask: an MLP of three layers from each query of a decoder layer to the
 * logits of a small mask. */
#include "model/build.h"

void hm_build_mask_head(hm_build *b, hm_tensor *const *hs) {
    const int n = b->c->dec_layers, side = b->c->mask_grid;
    hm_graph_scope(b->g, "mask_head");
    for (int i = 0; i < n; i++) {
        hm_prediction *const p = &b->m->outputs[i == n - 1 ? 0 : i + 1];
        p->grid = hm_build_mlp(b, hs[i], "mask_head", b->c->hidden_dim, (int64_t)side * side, 3);
        p->mask_h = p->mask_w = side;
    }
}
