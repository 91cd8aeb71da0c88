/* decoder.c: the group-DETR decoder (upstream transformer.py). Self-attention within each query group,
 * deformable attention on the memory, feed-forward; post-norm. Reference boxes stay fixed (lite_refpoint_refine). */
#include <stdio.h>

#include "model/build.h"
#include "ops/attention/attention.h"
#include "ops/deform_attn/deform_attn.h"
#include "ops/elementwise/elementwise.h"
#include "ops/select/select.h"
#include "ops/shape/shape.h"
#include "ops/sine_embed/sine_embed.h"

#define EPS 1e-5f

/* Third `i` of the packed in_proj parameters as a linear layer. */
static hm_tensor *in_proj(hm_build *b, hm_tensor *x, const char *layer, int i) {
    const int64_t d = b->c->hidden_dim;
    hm_tensor *const weight = hm_build_param(b, layer, ".self_attn.in_proj_weight", HM_SHAPE(3 * d, d));
    hm_tensor *const bias = hm_build_param(b, layer, ".self_attn.in_proj_bias", HM_SHAPE(3 * d));
    return hm_linear(b->g, x, hm_slice(b->g, weight, 0, i * d, d), hm_slice(b->g, bias, 0, i * d, d), HM_ACT_NONE);
}

/* Each group of Q queries attends within itself: groups are consecutive rows, so they become batch entries. */
static hm_tensor *self_attention(hm_build *b, hm_tensor *tgt, hm_tensor *with_pos, const char *layer) {
    const int64_t d = b->c->hidden_dim, Q = b->c->num_queries, G = b->groups;
    hm_tensor *qkv[3];
    char name[160];
    for (int i = 0; i < 3; i++)
        qkv[i] = hm_reshape(b->g, in_proj(b, i < 2 ? with_pos : tgt, layer, i), HM_SHAPE(b->B * G, Q, d));
    hm_tensor *const x = hm_attention(b->g, qkv[0], qkv[1], qkv[2], b->c->sa_nheads);
    snprintf(name, sizeof name, "%s.self_attn.out_proj", layer);
    return hm_build_linear(b, hm_reshape(b->g, x, HM_SHAPE(b->B, G * Q, d)), name, d, HM_ACT_NONE);
}

static hm_tensor *cross_attention(hm_build *b, hm_tensor *query, const hm_two_stage *ts, const char *layer) {
    const hm_model_config *const c = b->c;
    const int64_t samples = (int64_t)c->ca_nheads * c->n_levels * c->dec_n_points;
    char name[160];
    snprintf(name, sizeof name, "%s.cross_attn.value_proj", layer);
    hm_tensor *value = hm_build_linear(b, ts->memory, name, c->hidden_dim, HM_ACT_NONE);
    if (ts->padded)
        value = hm_mask_rows(b->g, value, ts->grid.unpadded);
    snprintf(name, sizeof name, "%s.cross_attn.sampling_offsets", layer);
    hm_tensor *const offsets = hm_build_linear(b, query, name, samples * 2, HM_ACT_NONE);
    snprintf(name, sizeof name, "%s.cross_attn.attention_weights", layer);
    hm_tensor *const logits = hm_build_linear(b, query, name, samples, HM_ACT_NONE);
    hm_tensor *const x = hm_deform_attn(b->g, value, offsets, logits, ts->refs, ts->grid.ratios, ts->levels,
                                        c->ca_nheads, c->dec_n_points);
    snprintf(name, sizeof name, "%s.cross_attn.output_proj", layer);
    return hm_build_linear(b, x, name, c->hidden_dim, HM_ACT_NONE);
}

static hm_tensor *add_norm(hm_build *b, hm_tensor *x, hm_tensor *y, const char *layer, const char *norm) {
    char name[160];
    snprintf(name, sizeof name, "%s.%s", layer, norm);
    return hm_build_norm(b, hm_add(b->g, x, y), name, EPS);
}

static hm_tensor *decoder_layer(hm_build *b, hm_tensor *tgt, hm_tensor *pos, const hm_two_stage *ts, int i) {
    char layer[96], name[160];
    snprintf(layer, sizeof layer, "transformer.decoder.layers.%d", i);
    hm_graph_scope(b->g, "decoder.layer.%d", i);
    tgt = add_norm(b, tgt, self_attention(b, tgt, hm_add(b->g, tgt, pos), layer), layer, "norm1");
    hm_tensor *const cross = cross_attention(b, hm_add(b->g, tgt, pos), ts, layer);
    tgt = add_norm(b, tgt, hm_build_tap(b, cross, "act.decoder_layer.%d.cross_attn", i), layer, "norm2");
    snprintf(name, sizeof name, "%s.linear1", layer);
    hm_tensor *const wide = hm_build_linear(b, tgt, name, b->c->dim_feedforward, HM_ACT_RELU);
    snprintf(name, sizeof name, "%s.linear2", layer);
    hm_tensor *const ffn = hm_build_linear(b, wide, name, b->c->hidden_dim, HM_ACT_NONE);
    return hm_build_tap(b, add_norm(b, tgt, ffn, layer, "norm3"), "act.decoder_layer.%d", i);
}

void hm_build_decoder(hm_build *b, const hm_two_stage *ts, hm_tensor **hs) {
    const int64_t d = b->c->hidden_dim, Q = b->c->num_queries, rows = Q * b->groups;
    hm_graph_scope(b->g, "decoder");
    hm_tensor *tgt = hm_graph_param(b->g, "query_feat.weight", HM_SHAPE(Q * b->c->group_detr, d));
    tgt = hm_reshape(b->g, hm_slice(b->g, tgt, 0, 0, rows), HM_SHAPE(1, rows, d));
    tgt = hm_broadcast(b->g, tgt, HM_SHAPE(b->B, rows, d));
    hm_tensor *pos = hm_sine_embed(b->g, ts->refs, ts->grid.ratios, (int)d);
    pos = hm_build_mlp(b, pos, "transformer.decoder.ref_point_head", d, d, 2);
    hm_build_tap(b, pos, "act.decoder_query_pos");
    for (int i = 0; i < b->c->dec_layers; i++) {
        tgt = decoder_layer(b, tgt, pos, ts, i);
        hs[i] = hm_build_norm(b, tgt, "transformer.decoder.norm", EPS);
    }
}
