/* build.c: the small pieces that every part of the model uses. */
#include "model/build.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/mem.h"
#include "ops/layer_norm/layer_norm.h"

hm_tensor *hm_build_param(hm_build *b, const char *prefix, const char *suffix, hm_shape shape) {
    char name[256];
    snprintf(name, sizeof name, "%s%s", prefix, suffix);
    return hm_graph_param(b->g, name, shape);
}

hm_tensor *hm_build_linear(hm_build *b, hm_tensor *x, const char *name, int64_t out, hm_act act) {
    if (b->g->status != HM_OK)
        return NULL;
    hm_tensor *const weight = hm_build_param(b, name, ".weight", HM_SHAPE(out, hm_dim(x, -1)));
    hm_tensor *const bias = hm_build_param(b, name, ".bias", HM_SHAPE(out));
    const char *const outer = b->g->scope;
    hm_graph_scope(b->g, "%s", name);
    hm_tensor *const y = hm_linear(b->g, x, weight, bias, act);
    b->g->scope = outer;
    return y;
}

hm_tensor *hm_build_norm(hm_build *b, hm_tensor *x, const char *name, float eps) {
    if (b->g->status != HM_OK)
        return NULL;
    const hm_shape shape = HM_SHAPE(hm_dim(x, -1));
    hm_tensor *const gain = hm_build_param(b, name, ".weight", shape);
    hm_tensor *const bias = hm_build_param(b, name, ".bias", shape);
    const char *const outer = b->g->scope;
    hm_graph_scope(b->g, "%s", name);
    hm_tensor *const y = hm_layer_norm(b->g, x, gain, bias, eps);
    b->g->scope = outer;
    return y;
}

hm_tensor *hm_build_mlp(hm_build *b, hm_tensor *x, const char *name, int64_t width, int64_t out, int layers) {
    for (int i = 0; i < layers; i++) {
        char layer[256];
        snprintf(layer, sizeof layer, "%s.layers.%d", name, i);
        x = hm_build_linear(b, x, layer, i < layers - 1 ? width : out, i < layers - 1 ? HM_ACT_RELU : HM_ACT_NONE);
    }
    return x;
}

hm_tensor *hm_build_tap(hm_build *b, hm_tensor *t, const char *fmt, ...) {
    char name[128];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(name, sizeof name, fmt, ap);
    va_end(ap);
    if (b->g->status != HM_OK)
        return t;
    size_t cap = (size_t)b->m->cap_taps;
    if (hm_grow(&b->m->taps, &cap, (size_t)b->m->n_taps + 1, sizeof *b->m->taps) != HM_OK)
        return hm_graph_fail(b->g, HM_ERR_MEMORY, "%s", hm_error_message());
    b->m->cap_taps = (int)cap;
    b->m->taps[b->m->n_taps++] = (hm_model_tap){hm_graph_text(b->g, "%s", name), t};
    return t;
}
