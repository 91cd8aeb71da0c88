/* criterion.c: one matching and up to five losses for every output of the model. Draw k of a step belongs to the
 * matching of output k, draws n + 2i and n + 2i + 1 to the mask losses of output i, as upstream counts them. */
#include "loss/criterion.h"

#include <string.h>

#include "ops/assign/assign.h"
#include "ops/box_loss/box_loss.h"
#include "ops/class_loss/class_loss.h"
#include "ops/grid_mask_loss/grid_mask_loss.h"
#include "ops/loss_stats/loss_stats.h"
#include "ops/mask_loss/mask_loss.h"
#include "ops/weighted_sum/weighted_sum.h"

hm_criterion_options hm_criterion_defaults(void) {
    return (hm_criterion_options){.cost = {.bbox = 5, .cls = 2, .giou = 2, .mask_ce = 5, .mask_dice = 5},
                                  .ce = 1,
                                  .bbox = 5,
                                  .giou = 2,
                                  .mask_ce = 5,
                                  .mask_dice = 5,
                                  .mask_point_sample_ratio = 16};
}

static void make_targets(hm_targets *t, hm_graph *g, const hm_model *m, int64_t T) {
    const int64_t B = m->options.batch, H = m->options.height, W = m->options.width;
    t->counts = hm_graph_input(g, "counts", HM_I32, HM_SHAPE(B));
    t->labels = hm_graph_input(g, "labels", HM_I32, HM_SHAPE(B, T));
    t->boxes = hm_graph_input(g, "boxes", HM_F32, HM_SHAPE(B, T, 4));
    if (!m->config.segmentation)
        return;
    t->masks = hm_graph_input(g, "masks", HM_U8, HM_SHAPE(B, T, (H * W + 7) / 8));
    t->mask_h = H;
    t->mask_w = W;
}

/* "<name>", "<name>_<i>" or "<name>_enc", as upstream names the terms of final, aux.<i> and enc. */
static void add_term(hm_criterion *c, hm_graph *g, const char *name, const char *output, hm_tensor *value,
                     float weight) {
    const char *const suffix = strcmp(output, "final") == 0      ? NULL
                               : strncmp(output, "aux.", 4) == 0 ? output + 4
                                                                 : output;
    const char *const full = hm_graph_text(g, suffix == NULL ? "%s" : "%s_%s", name, suffix);
    c->terms[c->n_terms++] = (hm_loss_term){full, hm_graph_output(g, value, "%s", full), weight};
}

/* Outputs with equally many queries at once. The proposals have fewer where the input has fewer tokens than queries. */
static void assign_all(hm_criterion *c, hm_graph *g, const hm_model *m) {
    if (g->status != HM_OK)
        return;
    for (int i = 0, n; i < m->n_outputs; i += n) {
        for (n = 1; i + n < m->n_outputs && hm_dim(c->cost[i + n], 1) == hm_dim(c->cost[i], 1);)
            n++;
        hm_assign_all(g, c->match + i, c->cost + i, n, c->targets.counts, m->groups);
    }
}

/* All costs, then all assignments. */
static void match_all(hm_criterion *c, hm_graph *g, const hm_model *m, const hm_criterion_options *opt) {
    for (int i = 0; i < m->n_outputs; i++) {
        const hm_tensor *const boxes = m->outputs[i].boxes;
        hm_graph_scope(g, "matcher.%s", m->output_names[i]);
        c->cost[i] = hm_match_cost(g, &m->outputs[i], &c->targets, opt->cost, opt->mask_point_sample_ratio, i);
        if (opt->impose_match && boxes != NULL)
            c->match[i] = hm_graph_input(g, hm_graph_text(g, "match.%s", m->output_names[i]), HM_I32,
                                         HM_SHAPE(hm_dim(boxes, 0), hm_dim(boxes, 1)));
    }
    hm_graph_scope(g, "matcher");
    if (!opt->impose_match)
        assign_all(c, g, m);
}

static void losses(hm_criterion *c, hm_graph *g, const hm_model *m, int i, const hm_criterion_options *opt) {
    const hm_prediction *const p = &m->outputs[i];
    const char *const output = m->output_names[i];
    hm_tensor *class_error, *cardinality_error, *l1, *giou, *ce, *dice;
    hm_graph_scope(g, "criterion.%s", output);
    hm_loss_stats(g, p, &c->targets, c->match[i], &class_error, &cardinality_error);
    add_term(c, g, "loss_ce", output, hm_class_loss(g, p, &c->targets, c->match[i], m->groups), opt->ce);
    if (i == 0)
        add_term(c, g, "class_error", output, class_error, 0);
    hm_box_loss(g, p, &c->targets, c->match[i], m->groups, &l1, &giou);
    add_term(c, g, "loss_bbox", output, l1, opt->bbox);
    add_term(c, g, "loss_giou", output, giou, opt->giou);
    add_term(c, g, "cardinality_error", output, cardinality_error, 0);
    if (p->spatial == NULL && p->grid == NULL)
        return;
    if (p->grid != NULL)
        hm_grid_mask_loss(g, p, &c->targets, c->match[i], m->groups, &ce, &dice);
    else
        hm_mask_loss(g, p, &c->targets, c->match[i], m->groups, opt->mask_point_sample_ratio, m->n_outputs + 2 * i, &ce,
                     &dice);
    add_term(c, g, "loss_mask_ce", output, ce, opt->mask_ce);
    add_term(c, g, "loss_mask_dice", output, dice, opt->mask_dice);
}

static hm_tensor *total(const hm_criterion *c, hm_graph *g) {
    hm_tensor *values[HM_MAX_TERMS];
    float weights[HM_MAX_TERMS];
    int n = 0;
    for (int i = 0; i < c->n_terms; i++)
        if (c->terms[i].weight != 0) {
            values[n] = c->terms[i].value;
            weights[n++] = c->terms[i].weight;
        }
    hm_graph_scope(g, "criterion");
    return hm_graph_output(g, hm_weighted_sum(g, values, weights, n), "loss");
}

hm_status hm_criterion_build(hm_criterion *out, hm_graph *g, const hm_model *m, int64_t targets,
                             const hm_criterion_options *opt) {
    memset(out, 0, sizeof *out);
    make_targets(&out->targets, g, m, targets);
    match_all(out, g, m, opt);
    for (int i = 0; i < m->n_outputs; i++)
        losses(out, g, m, i, opt);
    out->total = total(out, g);
    hm_graph_scope(g, "%s", "");
    return hm_graph_status(g);
}
