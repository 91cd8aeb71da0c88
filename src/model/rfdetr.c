/* rfdetr.c: backbone, projector, proposals, decoder, heads, in the order of the data. */
#include "model/rfdetr.h"

#include <stdlib.h>

#include "base/mem.h"
#include "model/build.h"
#include "model/drop_path.h"
#include "ops/box_reparam/box_reparam.h"
#include "ops/elementwise/elementwise.h"

/* Classes and boxes of a decoder layer; the heads are shared by all layers. */
static void heads(hm_build *b, hm_tensor *hs, hm_tensor *refs, hm_prediction *p) {
    p->logits = hm_build_linear(b, hs, "class_embed", b->c->num_classes + 1, HM_ACT_NONE);
    p->boxes = hm_box_reparam(b->g, hm_build_mlp(b, hs, "bbox_embed", b->c->hidden_dim, 4, 3), refs);
}

static void build(hm_build *b) {
    hm_model *const m = b->m;
    const int n = b->c->dec_layers;
    hm_tensor *features[HM_MAX_FEATURES], *levels[HM_MAX_LEVELS], *hs[HM_MAX_OUTPUTS];
    hm_levels sizes;
    hm_two_stage ts;
    hm_build_dinov2(b, m->images, features);
    for (int i = 0; i < b->c->n_features && m->options.freeze_encoder; i++)
        features[i] = hm_detach(b->g, features[i]);
    hm_build_projector(b, features, levels, &sizes);
    hm_build_two_stage(b, levels, sizes, m->padding, &ts);
    hm_build_decoder(b, &ts, hs);
    for (int i = 0; i < n; i++) {
        const int at = i == n - 1 ? 0 : i + 1;
        hm_graph_scope(b->g, "heads.%d", i);
        heads(b, hs[i], ts.refs, &m->outputs[at]);
        m->output_names[at] = at == 0 ? "final" : hm_graph_text(b->g, "aux.%d", i);
    }
    m->outputs[n].logits = ts.logits;
    m->outputs[n].boxes = ts.boxes;
    m->output_names[n] = "enc";
    m->n_outputs = n + 1;
    if (b->c->mask_grid > 0)
        hm_build_mask_head(b, hs);
    else if (b->c->segmentation)
        hm_build_seg_head(b, levels[0], hs, ts.hidden);
    hm_graph_scope(b->g, "%s", "");
}

hm_status hm_model_build(hm_model **out, hm_graph *g, const hm_model_config *c, const hm_model_options *opt) {
    *out = NULL;
    HM_TRY(hm_model_check_size(c, opt->height, opt->width));
    if (c->dec_layers >= HM_MAX_OUTPUTS || c->group_detr > HM_MAX_GROUPS)
        HM_FAIL(HM_ERR_UNSUPPORTED, "%d decoder layers and %d groups are too many: at most %d and %d", c->dec_layers,
                c->group_detr, HM_MAX_OUTPUTS - 1, HM_MAX_GROUPS);
    hm_model *m = NULL;
    HM_TRY(hm_alloc(&m, 1, sizeof *m));
    m->config = *c;
    m->options = *opt;
    m->groups = opt->training ? c->group_detr : 1;
    m->images = hm_graph_input(g, "images", HM_F32, HM_SHAPE(opt->batch, 3, opt->height, opt->width));
    if (opt->padded)
        m->padding = hm_graph_input(g, "padding", HM_U8, HM_SHAPE(opt->batch, opt->height, opt->width));
    if (opt->drop_path > 0)
        m->drop_path = hm_graph_input(g, "drop_path", HM_F32, hm_drop_path_shape(c, opt->batch));
    hm_build b = {.g = g,
                  .c = &m->config,
                  .m = m,
                  .B = opt->batch,
                  .H = opt->height,
                  .W = opt->width,
                  .h = opt->height / c->patch_size,
                  .w = opt->width / c->patch_size,
                  .groups = m->groups};
    build(&b);
    const hm_status st = hm_graph_status(g);
    if (st != HM_OK) {
        hm_model_free(m);
        return st;
    }
    *out = m;
    return HM_OK;
}

void hm_model_free(hm_model *m) {
    if (m == NULL)
        return;
    free(m->taps);
    free(m);
}
