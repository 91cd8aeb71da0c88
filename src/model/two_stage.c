/* two_stage.c: the proposal stage (upstream transformer.py). For each query group every token is
 * scored, the best K become proposals and, refined by learned offsets, the decoder's reference boxes. Scoring all
 * tokens needs no gradient, so only the chosen rows are computed a second time with one: the same numbers at an eighth
 * of the work. */
#include <stdio.h>

#include "model/build.h"
#include "ops/box_reparam/box_reparam.h"
#include "ops/elementwise/elementwise.h"
#include "ops/select/select.h"
#include "ops/shape/shape.h"

#define EPS 1e-5f

/* With no padding and every grid position inside (0.01, 0.99) no proposal is invalid. */
static bool all_valid(const hm_levels *l, hm_tensor *padding) {
    bool all = padding == NULL;
    for (int i = 0; i < l->n; i++)
        all &= 0.5 / (double)l->h[i] > 0.0101 && 0.5 / (double)l->w[i] > 0.0101;
    return all;
}

static hm_tensor *join_levels(hm_build *b, hm_tensor *const *levels, const hm_levels *sizes) {
    hm_tensor *rows[HM_MAX_LEVELS];
    for (int i = 0; i < sizes->n; i++)
        rows[i] = hm_reshape(b->g, levels[i], HM_SHAPE(b->B, sizes->h[i] * sizes->w[i], b->c->hidden_dim));
    return sizes->n == 1 ? rows[0] : hm_concat(b->g, rows, sizes->n, 1);
}

static hm_tensor *enc_output(hm_build *b, hm_tensor *x, int group) {
    char name[64];
    snprintf(name, sizeof name, "transformer.enc_output.%d", group);
    x = hm_build_linear(b, x, name, b->c->hidden_dim, HM_ACT_NONE);
    snprintf(name, sizeof name, "transformer.enc_output_norm.%d", group);
    return hm_build_norm(b, x, name, EPS);
}

static hm_tensor *enc_class(hm_build *b, hm_tensor *x, int group) {
    char name[64];
    snprintf(name, sizeof name, "transformer.enc_out_class_embed.%d", group);
    return hm_build_linear(b, x, name, b->c->num_classes + 1, HM_ACT_NONE);
}

/* The K best of the tokens, which are detached, by a group's scores: I32 [B, K]. */
static hm_tensor *choose(hm_build *b, hm_tensor *tokens, int group, int K) {
    hm_model *const m = b->m;
    m->scores[group] = hm_max_last(b->g, enc_class(b, enc_output(b, tokens, group), group));
    if (!m->options.impose_topk)
        return hm_topk(b->g, m->scores[group], K);
    char name[32];
    snprintf(name, sizeof name, "topk.%d", group);
    return hm_graph_input(b->g, name, HM_I32, HM_SHAPE(b->B, K));
}

/* Learned boxes applied to the proposals; when there are fewer tokens than queries the rest of the table is used as it
 * is. */
static hm_tensor *references(hm_build *b, hm_tensor *boxes, int64_t rows) {
    const int64_t total = (int64_t)b->groups * b->c->num_queries;
    hm_tensor *table =
        hm_graph_param(b->g, "refpoint_embed.weight", HM_SHAPE((int64_t)b->c->group_detr * b->c->num_queries, 4));
    table = hm_slice(b->g, table, 0, 0, total);
    table = hm_broadcast(b->g, hm_reshape(b->g, table, HM_SHAPE(1, total, 4)), HM_SHAPE(b->B, total, 4));
    if (rows == total)
        return hm_box_reparam(b->g, table, hm_detach(b->g, boxes));
    hm_tensor *const used = hm_box_reparam(b->g, hm_slice(b->g, table, 1, 0, rows), hm_detach(b->g, boxes));
    return hm_concat(b->g, (hm_tensor *[]){used, hm_slice(b->g, table, 1, rows, total - rows)}, 2, 1);
}

void hm_build_two_stage(hm_build *b, hm_tensor *const *levels, hm_levels sizes, hm_tensor *padding, hm_two_stage *out) {
    hm_tensor *hidden[HM_MAX_GROUPS], *logits[HM_MAX_GROUPS], *boxes[HM_MAX_GROUPS];
    *out = (hm_two_stage){.levels = sizes, .padded = padding != NULL};
    hm_graph_scope(b->g, "two_stage");
    out->memory = join_levels(b, levels, &sizes);
    out->grid = hm_make_proposals(b->g, padding, b->B, sizes);
    if (b->g->status != HM_OK)
        return;
    const int64_t N = hm_dim(out->memory, 1);
    const int K = (int)(b->c->num_queries < N ? b->c->num_queries : N);
    hm_tensor *const tokens =
        all_valid(&sizes, padding) ? out->memory : hm_mask_rows(b->g, out->memory, out->grid.valid);
    hm_tensor *const detached = hm_detach(b->g, tokens);
    for (int group = 0; group < b->groups; group++) {
        char name[64];
        hm_graph_scope(b->g, "two_stage.group.%d", group);
        hm_tensor *const index = b->m->topk[group] = choose(b, detached, group, K);
        hidden[group] = enc_output(b, hm_gather_rows(b->g, tokens, index), group);
        logits[group] = enc_class(b, hidden[group], group);
        snprintf(name, sizeof name, "transformer.enc_out_bbox_embed.%d", group);
        hm_tensor *const delta = hm_build_mlp(b, hidden[group], name, b->c->hidden_dim, 4, 3);
        boxes[group] = hm_box_reparam(b->g, delta, hm_gather_rows(b->g, out->grid.boxes, index));
    }
    hm_graph_scope(b->g, "two_stage");
    out->hidden = hm_build_tap(b, hm_concat(b->g, hidden, b->groups, 1), "act.two_stage_memory");
    out->logits = hm_concat(b->g, logits, b->groups, 1);
    out->boxes = hm_build_tap(b, hm_concat(b->g, boxes, b->groups, 1), "act.two_stage_boxes");
    out->refs = hm_build_tap(b, references(b, out->boxes, (int64_t)b->groups * K), "act.decoder_refpoints");
}
