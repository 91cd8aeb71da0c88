/* build.h: what the parts of the model share while they add themselves to a graph. */
#ifndef HM_MODEL_BUILD_H
#define HM_MODEL_BUILD_H

#include "graph/graph.h"
#include "model/rfdetr.h"
#include "ops/linear/linear.h"
#include "ops/proposals/proposals.h"

typedef struct hm_build {
    hm_graph *g;
    const hm_model_config *c;
    hm_model *m;     /* being filled */
    int64_t B, H, W; /* batch and input size, pixels */
    int64_t h, w;    /* patches */
    int groups;      /* group_detr in training, 1 in evaluation */
} hm_build;

/* The parameter called <prefix><suffix>. */
hm_tensor *hm_build_param(hm_build *b, const char *prefix, const char *suffix, hm_shape shape);
/* x W^T + bias with parameters <name>.weight [out, in] and <name>.bias. */
hm_tensor *hm_build_linear(hm_build *b, hm_tensor *x, const char *name, int64_t out, hm_act act);
/* Layer norm with parameters <name>.weight and <name>.bias. */
hm_tensor *hm_build_norm(hm_build *b, hm_tensor *x, const char *name, float eps);
/* Linear layers <name>.layers.0 ... with ReLU between: in -> width ... -> out. */
hm_tensor *hm_build_mlp(hm_build *b, hm_tensor *x, const char *name, int64_t width, int64_t out, int layers);
/* Notes an activation under upstream's name, for parity tests and dumps; returns t. */
hm_tensor *hm_build_tap(hm_build *b, hm_tensor *t, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Windowed DINOv2: images -> features[n_features], each [B, h, w, encoder_hidden]. */
void hm_build_dinov2(hm_build *b, hm_tensor *images, hm_tensor **features);
/* Multi-scale projector: features -> levels[n_levels], each [B, h_l, w_l, hidden_dim]; fills `sizes`. */
void hm_build_projector(hm_build *b, hm_tensor *const *features, hm_tensor **levels, hm_levels *sizes);

typedef struct hm_two_stage {
    hm_tensor *memory; /* [B, N, C] */
    hm_proposals grid;
    hm_tensor *hidden; /* [B, G*K, C]: the chosen rows after enc_output and its norm */
    hm_tensor *logits; /* [B, G*K, classes] */
    hm_tensor *boxes;  /* [B, G*K, 4] */
    hm_tensor *refs;   /* [B, G*Q, 4]: reference boxes of the decoder */
    hm_levels levels;
    bool padded;
} hm_two_stage;

void hm_build_two_stage(hm_build *b, hm_tensor *const *levels, hm_levels sizes, hm_tensor *padding, hm_two_stage *out);
/* hs[dec_layers], each [B, G*Q, C] after decoder.norm. */
void hm_build_decoder(hm_build *b, const hm_two_stage *ts, hm_tensor **hs);
/* Mask features of every output: hs[dec_layers] and the proposals' hidden rows. Fills the predictions' mask fields. */
void hm_build_seg_head(hm_build *b, hm_tensor *level0, hm_tensor *const *hs, hm_tensor *enc_hidden);
/* Dense logits of small masks for every decoder layer (config.mask_grid). */
void hm_build_mask_head(hm_build *b, hm_tensor *const *hs);

#endif
