/* dinov2.c: the windowed DINOv2 backbone (Oquab et al. 2023; upstream dinov2_with_windowed_attn.py).
 * Tokens are cut into num_windows^2 windows once, after the embeddings, each with its own copy of the class token; a
 * layer whose index is an out feature attends over all windows of an image together. */
#include <stdio.h>

#include "model/build.h"
#include "model/drop_path.h"
#include "ops/attention/attention.h"
#include "ops/elementwise/elementwise.h"
#include "ops/patchify/patchify.h"
#include "ops/resize/resize.h"
#include "ops/shape/shape.h"

#define ENCODER "backbone.0.encoder.encoder."
#define EPS     1e-6f

static bool is_feature(const hm_model_config *c, int i) {
    for (int k = 0; k < c->n_features; k++)
        if (c->out_feature_indexes[k] == i)
            return true;
    return false;
}

/* Grid part of the position embedding at the input's size: [1, h*w, C]. */
static hm_tensor *position_grid(hm_build *b, hm_tensor *table) {
    const int64_t P = b->c->positional_encoding_size, C = b->c->encoder_hidden;
    hm_tensor *grid = hm_slice(b->g, table, 1, 1, P * P);
    if (P * P == b->h * b->w && b->H == b->W)
        return grid;
    grid = hm_reshape(b->g, grid, HM_SHAPE(1, P, P, C));
    grid = hm_resize(b->g, grid, b->h, b->w, HM_RESIZE_BICUBIC_AA);
    return hm_reshape(b->g, grid, HM_SHAPE(1, b->h * b->w, C));
}

/* [B, h*w, C] -> [B*nW*nW, (h/nW)*(w/nW), C], window row before window column. */
static hm_tensor *window(hm_build *b, hm_tensor *x) {
    const int64_t n = b->c->num_windows, C = b->c->encoder_hidden;
    if (n == 1)
        return x;
    x = hm_reshape(b->g, x, HM_SHAPE(b->B, n, b->h / n, n, b->w / n, C));
    x = hm_permute(b->g, x, (const int[]){0, 1, 3, 2, 4, 5});
    return hm_reshape(b->g, x, HM_SHAPE(b->B * n * n, (b->h / n) * (b->w / n), C));
}

/* The opposite, into a map [B, h, w, C]. */
static hm_tensor *unwindow(hm_build *b, hm_tensor *x) {
    const int64_t n = b->c->num_windows, C = b->c->encoder_hidden;
    if (n > 1) {
        x = hm_reshape(b->g, x, HM_SHAPE(b->B, n, n, b->h / n, b->w / n, C));
        x = hm_permute(b->g, x, (const int[]){0, 1, 3, 2, 4, 5});
    }
    return hm_reshape(b->g, x, HM_SHAPE(b->B, b->h, b->w, C));
}

static hm_tensor *embeddings(hm_build *b, hm_tensor *images) {
    const int64_t C = b->c->encoder_hidden, p = b->c->patch_size, P = b->c->positional_encoding_size;
    const int64_t n = b->c->num_windows;
    hm_graph_scope(b->g, "backbone.embeddings");
    hm_tensor *const weight =
        hm_build_param(b, ENCODER, "embeddings.patch_embeddings.projection.weight", HM_SHAPE(C, 3, p, p));
    hm_tensor *const bias = hm_build_param(b, ENCODER, "embeddings.patch_embeddings.projection.bias", HM_SHAPE(C));
    hm_tensor *x = hm_linear(b->g, hm_patchify(b->g, images, (int)p), weight, bias, HM_ACT_NONE);
    hm_tensor *const table = hm_build_param(b, ENCODER, "embeddings.position_embeddings", HM_SHAPE(1, 1 + P * P, C));
    hm_tensor *cls = hm_build_param(b, ENCODER, "embeddings.cls_token", HM_SHAPE(1, 1, C));
    hm_build_param(b, ENCODER, "embeddings.mask_token", HM_SHAPE(1, C)); /* in every checkpoint, used by nothing */
    x = window(b, hm_add(b->g, x, position_grid(b, table)));
    cls = hm_add(b->g, cls, hm_slice(b->g, table, 1, 0, 1));
    cls = hm_broadcast(b->g, cls, HM_SHAPE(b->B * n * n, 1, C));
    return hm_build_tap(b, hm_concat(b->g, (hm_tensor *[]){cls, x}, 2, 1), "act.embeddings");
}

static hm_tensor *self_attention(hm_build *b, hm_tensor *x, const char *layer, bool global) {
    if (b->g->status != HM_OK)
        return NULL;
    const int64_t C = b->c->encoder_hidden, n2 = (int64_t)b->c->num_windows * b->c->num_windows;
    const hm_shape windows = x->shape;
    static const char *const names[] = {"query", "key", "value"};
    hm_tensor *qkv[3];
    char name[256];
    if (global)
        x = hm_reshape(b->g, x, HM_SHAPE(b->B, n2 * windows.dim[1], C));
    for (int i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "%s.attention.attention.%s", layer, names[i]);
        qkv[i] = hm_build_linear(b, x, name, C, HM_ACT_NONE);
    }
    snprintf(name, sizeof name, "%s.attention.output.dense", layer);
    x = hm_attention(b->g, qkv[0], qkv[1], qkv[2], b->c->encoder_heads);
    return hm_reshape(b->g, hm_build_linear(b, x, name, C, HM_ACT_NONE), windows);
}

/* A branch of layer i (0 attention, 1 MLP) with each window's factor. */
static hm_tensor *drop_path(hm_build *b, hm_tensor *t, int i, int branch) {
    hm_tensor *const factors = b->m->drop_path;
    if (factors == NULL || b->g->status != HM_OK || hm_drop_path_rate(b->c, b->m->options.drop_path, i) == 0)
        return t;
    hm_tensor *const row = hm_slice(b->g, factors, 0, 2 * (int64_t)i + branch, 1);
    return hm_mul(b->g, t, hm_reshape(b->g, row, HM_SHAPE(hm_dim(t, 0), 1, 1)));
}

static hm_tensor *encoder_layer(hm_build *b, hm_tensor *x, int i) {
    const int64_t C = b->c->encoder_hidden;
    char layer[128], name[256];
    snprintf(layer, sizeof layer, ENCODER "encoder.layer.%d", i);
    hm_graph_scope(b->g, "backbone.layer.%d", i);
    snprintf(name, sizeof name, "%s.norm1", layer);
    hm_tensor *t = self_attention(b, hm_build_norm(b, x, name, EPS), layer, is_feature(b->c, i));
    t = drop_path(b, t, i, 0);
    x = hm_scale_residual(b->g, x, t, hm_build_param(b, layer, ".layer_scale1.lambda1", HM_SHAPE(C)));
    snprintf(name, sizeof name, "%s.norm2", layer);
    t = hm_build_norm(b, x, name, EPS);
    snprintf(name, sizeof name, "%s.mlp.fc1", layer);
    t = hm_build_linear(b, t, name, C * b->c->mlp_ratio, HM_ACT_GELU);
    snprintf(name, sizeof name, "%s.mlp.fc2", layer);
    t = drop_path(b, hm_build_linear(b, t, name, C, HM_ACT_NONE), i, 1);
    x = hm_scale_residual(b->g, x, t, hm_build_param(b, layer, ".layer_scale2.lambda1", HM_SHAPE(C)));
    return hm_build_tap(b, x, "act.encoder_layer.%d", i);
}

/* Parameters of layers behind the last feature: in every checkpoint, without effect or gradient. */
static void unused_layer(hm_build *b, int i) {
    const int64_t C = b->c->encoder_hidden, M = C * b->c->mlp_ratio;
    const struct {
        const char *name;
        hm_shape shape;
    } list[] = {
        {".norm1.weight", HM_SHAPE(C)},
        {".norm1.bias", HM_SHAPE(C)},
        {".attention.attention.query.weight", HM_SHAPE(C, C)},
        {".attention.attention.query.bias", HM_SHAPE(C)},
        {".attention.attention.key.weight", HM_SHAPE(C, C)},
        {".attention.attention.key.bias", HM_SHAPE(C)},
        {".attention.attention.value.weight", HM_SHAPE(C, C)},
        {".attention.attention.value.bias", HM_SHAPE(C)},
        {".attention.output.dense.weight", HM_SHAPE(C, C)},
        {".attention.output.dense.bias", HM_SHAPE(C)},
        {".layer_scale1.lambda1", HM_SHAPE(C)},
        {".norm2.weight", HM_SHAPE(C)},
        {".norm2.bias", HM_SHAPE(C)},
        {".mlp.fc1.weight", HM_SHAPE(M, C)},
        {".mlp.fc1.bias", HM_SHAPE(M)},
        {".mlp.fc2.weight", HM_SHAPE(C, M)},
        {".mlp.fc2.bias", HM_SHAPE(C)},
        {".layer_scale2.lambda1", HM_SHAPE(C)},
    };
    char layer[128];
    snprintf(layer, sizeof layer, ENCODER "encoder.layer.%d", i);
    for (size_t k = 0; k < sizeof list / sizeof list[0]; k++)
        hm_build_param(b, layer, list[k].name, list[k].shape);
}

/* Final norm of the patch tokens, windows undone. */
static hm_tensor *feature(hm_build *b, hm_tensor *x, int j) {
    if (b->g->status != HM_OK)
        return NULL;
    hm_graph_scope(b->g, "backbone.feature.%d", j);
    x = hm_slice(b->g, x, 1, 1, hm_dim(x, 1) - 1);
    x = unwindow(b, hm_build_norm(b, x, ENCODER "layernorm", EPS));
    return hm_build_tap(b, x, "act.backbone_feature.%d", j);
}

void hm_build_dinov2(hm_build *b, hm_tensor *images, hm_tensor **features) {
    const int last = b->c->out_feature_indexes[b->c->n_features - 1];
    hm_tensor *x = embeddings(b, images);
    for (int i = 0, j = 0; i <= last; i++) {
        if (is_feature(b->c, i)) {
            features[j] = feature(b, x, j);
            j++;
        }
        if (i < last)
            x = encoder_layer(b, x, i);
    }
    for (int i = last; i < b->c->encoder_layers; i++)
        unused_layer(b, i);
}
