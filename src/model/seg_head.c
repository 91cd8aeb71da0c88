/* seg_head.c: the segmentation head (upstream segmentation_head.py). It yields features, not masks: a
 * mask logit is <spatial feature at the pixel, query feature> + bias, formed only where it is needed. */
#include <stdio.h>

#include "model/build.h"
#include "ops/dwconv2d/dwconv2d.h"
#include "ops/elementwise/elementwise.h"
#include "ops/resize/resize.h"
#include "ops/shape/shape.h"

#define HEAD "segmentation_head."

static hm_tensor *block(hm_build *b, hm_tensor *x, int i) {
    const int64_t C = b->c->hidden_dim;
    char name[96], part[128];
    hm_graph_scope(b->g, "seg_head.block.%d", i);
    snprintf(name, sizeof name, HEAD "blocks.%d", i);
    hm_tensor *const weight = hm_build_param(b, name, ".dwconv.weight", HM_SHAPE(C, 1, 3, 3));
    hm_tensor *y = hm_dwconv2d(b->g, x, weight, hm_build_param(b, name, ".dwconv.bias", HM_SHAPE(C)));
    snprintf(part, sizeof part, "%s.norm", name);
    y = hm_build_norm(b, y, part, 1e-6f);
    snprintf(part, sizeof part, "%s.pwconv1", name);
    return hm_add(b->g, hm_build_linear(b, y, part, C, HM_ACT_GELU), x);
}

/* 1x1 convolution: [B, H, W, C] -> [B, H*W, C]. */
static hm_tensor *spatial(hm_build *b, hm_tensor *x) {
    if (b->g->status != HM_OK)
        return NULL;
    const int64_t C = b->c->hidden_dim;
    hm_tensor *const weight = hm_build_param(b, HEAD, "spatial_features_proj.weight", HM_SHAPE(C, C, 1, 1));
    hm_tensor *const bias = hm_build_param(b, HEAD, "spatial_features_proj.bias", HM_SHAPE(C));
    const hm_shape rows = HM_SHAPE(b->B, hm_dim(x, 1) * hm_dim(x, 2), C);
    return hm_reshape(b->g, hm_linear(b->g, x, weight, bias, HM_ACT_NONE), rows);
}

static hm_tensor *query(hm_build *b, hm_tensor *x) {
    const int64_t C = b->c->hidden_dim;
    hm_tensor *y = hm_build_norm(b, x, HEAD "query_features_block.norm_in", 1e-5f);
    y = hm_build_linear(b, y, HEAD "query_features_block.layers.0", 4 * C, HM_ACT_GELU);
    y = hm_build_linear(b, y, HEAD "query_features_block.layers.2", C, HM_ACT_NONE);
    return hm_build_linear(b, hm_add(b->g, y, x), HEAD "query_features_proj", C, HM_ACT_NONE);
}

void hm_build_seg_head(hm_build *b, hm_tensor *level0, hm_tensor *const *hs, hm_tensor *enc_hidden) {
    const int64_t h = b->H / b->c->mask_downsample_ratio, w = b->W / b->c->mask_downsample_ratio;
    const int n = b->c->dec_layers;
    hm_graph_scope(b->g, "seg_head");
    hm_tensor *const bias = hm_graph_param(b->g, HEAD "bias", HM_SHAPE(1));
    hm_tensor *x = hm_resize(b->g, level0, h, w, HM_RESIZE_BILINEAR);
    hm_tensor *const enc_spatial = spatial(b, x);
    for (int i = 0; i <= n; i++) { /* i = n: the proposals, without blocks */
        hm_prediction *const p = &b->m->outputs[i == n ? n : i == n - 1 ? 0 : i + 1];
        if (i < n)
            x = block(b, x, i);
        hm_graph_scope(b->g, i < n ? "seg_head.output.%d" : "seg_head.enc", i);
        p->spatial = i < n ? spatial(b, x) : enc_spatial;
        p->query = query(b, i < n ? hs[i] : enc_hidden);
        p->bias = bias;
        p->mask_h = h;
        p->mask_w = w;
    }
}
