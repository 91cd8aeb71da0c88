/* projector.c: the multi-scale projector (upstream projector.py): features of the backbone, resampled,
 * joined, through a C2f block of 3x3 convolutions into maps of hidden_dim channels. Channels last throughout. */
#include <stdio.h>

#include "model/build.h"
#include "ops/activation/activation.h"
#include "ops/conv2d/conv2d.h"
#include "ops/elementwise/elementwise.h"
#include "ops/shape/shape.h"

#define PROJECTOR "backbone.0.projector."
#define EPS       1e-6f

/* Convolution without bias, layer norm over channels (named bn upstream), activation. */
static hm_tensor *conv_norm_act(hm_build *b, hm_tensor *x, const char *name, int64_t out, int k, int stride,
                                hm_act act) {
    if (b->g->status != HM_OK)
        return NULL;
    char norm[256];
    hm_tensor *const weight = hm_build_param(b, name, ".conv.weight", HM_SHAPE(out, hm_dim(x, -1), k, k));
    x = k == 1 ? hm_linear(b->g, x, weight, NULL, HM_ACT_NONE) : hm_conv2d(b->g, x, weight, stride, k / 2);
    snprintf(norm, sizeof norm, "%s.bn", name);
    return hm_activation(b->g, hm_build_norm(b, x, norm, EPS), act);
}

/* Transposed convolution 2x2, stride 2, C -> C/2: a product per pixel, its four results laid out as 2x2 pixels. */
static hm_tensor *upsample(hm_build *b, hm_tensor *x, const char *name) {
    if (b->g->status != HM_OK)
        return NULL;
    const int64_t h = hm_dim(x, 1), w = hm_dim(x, 2), C = hm_dim(x, 3), O = C / 2;
    hm_tensor *weight = hm_build_param(b, name, ".weight", HM_SHAPE(C, O, 2, 2));
    hm_tensor *const bias = hm_build_param(b, name, ".bias", HM_SHAPE(O));
    weight = hm_reshape(b->g, weight, HM_SHAPE(C, O * 4));
    x = hm_matmul(b->g, hm_reshape(b->g, x, HM_SHAPE(b->B, h * w, C)), weight, false, false);
    x = hm_permute(b->g, hm_reshape(b->g, x, HM_SHAPE(b->B * h, w, O, 2, 2)), (const int[]){0, 3, 1, 4, 2});
    return hm_add(b->g, hm_reshape(b->g, x, HM_SHAPE(b->B, 2 * h, 2 * w, O)), bias);
}

static hm_tensor *resampled(hm_build *b, hm_tensor *x, int level, int j) {
    if (b->g->status != HM_OK)
        return NULL;
    char name[128];
    snprintf(name, sizeof name, PROJECTOR "stages_sampling.%d.%d.0", level, j);
    switch (b->c->projector_scale[level]) {
    case 3:
        return upsample(b, x, name);
    case 5:
        return conv_norm_act(b, x, name, hm_dim(x, -1), 3, 2, HM_ACT_RELU);
    default:
        return x;
    }
}

/* C2f: half of cv1's channels pass through three bottlenecks; everything is joined by cv2. */
static hm_tensor *c2f(hm_build *b, hm_tensor *x, const char *name) {
    const int64_t c = b->c->hidden_dim / 2;
    hm_tensor *parts[4];
    char part[256];
    snprintf(part, sizeof part, "%s.cv1", name);
    parts[0] = conv_norm_act(b, x, part, 2 * c, 1, 1, HM_ACT_SILU);
    x = hm_slice(b->g, parts[0], -1, c, c);
    for (int i = 0; i < 3; i++) {
        snprintf(part, sizeof part, "%s.m.%d.cv1", name, i);
        x = conv_norm_act(b, x, part, c, 3, 1, HM_ACT_SILU);
        snprintf(part, sizeof part, "%s.m.%d.cv2", name, i);
        parts[i + 1] = x = conv_norm_act(b, x, part, c, 3, 1, HM_ACT_SILU);
    }
    snprintf(part, sizeof part, "%s.cv2", name);
    return conv_norm_act(b, hm_concat(b->g, parts, 4, -1), part, 2 * c, 1, 1, HM_ACT_SILU);
}

void hm_build_projector(hm_build *b, hm_tensor *const *features, hm_tensor **levels, hm_levels *sizes) {
    *sizes = (hm_levels){.n = b->c->n_levels};
    for (int level = 0; level < b->c->n_levels; level++) {
        hm_tensor *parts[HM_MAX_FEATURES];
        char name[128];
        hm_graph_scope(b->g, "projector.%d", level);
        for (int j = 0; j < b->c->n_features; j++)
            parts[j] = resampled(b, features[j], level, j);
        snprintf(name, sizeof name, PROJECTOR "stages.%d.0", level);
        hm_tensor *const x = c2f(b, hm_concat(b->g, parts, b->c->n_features, -1), name);
        snprintf(name, sizeof name, PROJECTOR "stages.%d.1", level);
        levels[level] = hm_build_norm(b, x, name, EPS);
        if (b->g->status != HM_OK)
            return;
        sizes->h[level] = hm_dim(levels[level], 1);
        sizes->w[level] = hm_dim(levels[level], 2);
        sizes->power[level] = level;
        hm_build_tap(b, levels[level], "act.projector.%d", level);
    }
}
