/* train.c: training steps against the case: outputs, matches, losses, gradients, updated parameters. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "runs.h"

typedef struct run {
    parity_report *r;
    const parity_case *c;
    const char *tag;
    double eps;
    hm_step *step;
    hm_store *store;
    hm_exec *exec;
} run;

static void keep(hm_graph *g, hm_tensor *t) {
    if (t != NULL)
        hm_graph_output(g, t, "%s", t->name);
}

/* What is read after the run. */
static void mark_outputs(hm_step *s, bool details) {
    hm_model *const m = s->model;
    for (int g = 0; g < m->groups; g++) {
        keep(s->graph, m->scores[g]);
        if (!m->options.impose_topk)
            keep(s->graph, m->topk[g]);
    }
    for (int i = 0; i < m->n_outputs; i++) {
        keep(s->graph, s->criterion.match[i]);
        if (!details)
            continue;
        keep(s->graph, s->criterion.cost[i]);
        keep(s->graph, m->outputs[i].logits);
        keep(s->graph, m->outputs[i].boxes);
        keep(s->graph, m->outputs[i].spatial);
        keep(s->graph, m->outputs[i].query);
    }
    for (int i = 0; details && i < m->n_taps; i++)
        keep(s->graph, m->taps[i].t);
    for (int i = 0; details && i < s->n_params; i++)
        keep(s->graph, s->grads[i]);
}

hm_status feed_batch(const parity_case *c, const hm_step *s, hm_exec *e) {
    const hm_targets *const t = &s->criterion.targets;
    HM_TRY(hm_exec_write(e, s->model->images, c->images));
    if (c->padded)
        HM_TRY(hm_exec_write(e, s->model->padding, c->pad));
    HM_TRY(hm_exec_write(e, t->counts, c->counts32));
    HM_TRY(hm_exec_write(e, t->labels, c->labels));
    HM_TRY(hm_exec_write(e, t->boxes, c->boxes));
    return c->masks != NULL ? hm_exec_write(e, t->masks, c->masks) : HM_OK;
}

static hm_status open_run(run *u, bool details, bool imposed) {
    const parity_case *const c = u->c;
    hm_step_options o = {.model = {.batch = c->B,
                                   .height = c->H,
                                   .width = c->W,
                                   .training = true,
                                   .padded = c->padded,
                                   .impose_topk = imposed},
                         .targets = c->T,
                         .criterion = c->criterion,
                         .optim = c->optim};
    o.optim.eps = u->eps;
    HM_TRY(hm_step_build(&u->step, &c->model, &o));
    mark_outputs(u->step, details);
    HM_TRY(hm_graph_status(u->step->graph));
    HM_TRY(hm_store_create(&u->store));
    HM_TRY(hm_store_add(u->store, u->step->graph));
    HM_TRY(parity_case_weights(c, u->store));
    const hm_exec_options eo = parity_exec_options();
    HM_TRY(hm_exec_create(&u->exec, u->step->graph, u->store, &eo));
    HM_TRY(feed_batch(c, u->step, u->exec));
    return hm_exec_write(u->exec, u->step->seed, &(float){1});
}

static void close_run(run *u) {
    host_forget();
    hm_exec_free(u->exec);
    hm_store_free(u->store);
    hm_step_free(u->step);
}

/* --- outputs --- */

static void check_output(run *u, const char *output, const char *field, const hm_tensor *t) {
    char name[160], key[128];
    snprintf(name, sizeof name, "train.%s.%s", output, field);
    snprintf(key, sizeof key, "%s.%s", output, field);
    const double tol = report_tolerance(parity_number(u->c->tolerances, 0, "outputs_train", key, "rel"));
    const float *const x = host_of(u->exec, t);
    report_tensor(u->r, name, name, x, hm_count(t), 0, tol);
    report_keep(u->r, name, HM_ST_F32, t->shape.rank, t->shape.dim, x);
}

static void check_spatial(run *u, const char *output, const hm_prediction *p) {
    char name[160], key[128];
    snprintf(name, sizeof name, "train.%s.mask_spatial_features", output);
    snprintf(key, sizeof key, "%s.mask_spatial_features", output);
    const int64_t B = u->c->B, C = hm_dim(p->spatial, -1);
    float *const x = channels_first(host_of(u->exec, p->spatial), B, p->mask_h * p->mask_w, C);
    report_tensor(u->r, name, name, x, hm_count(p->spatial), 0,
                  report_tolerance(parity_number(u->c->tolerances, 0, "outputs_train", key, "rel")));
    report_keep(u->r, name, HM_ST_F32, 4, (const int64_t[]){B, C, p->mask_h, p->mask_w}, x);
    free(x);
}

/* Activations that the case knows under the name of a tap; maps are channels-last here. */
static void check_taps(run *u) {
    const hm_model *const m = u->step->model;
    for (int i = 0; i < m->n_taps; i++) {
        const hm_tensor *const t = m->taps[i].t;
        const char *const name = m->taps[i].name;
        const double tol =
            report_tolerance(parity_number(u->c->tolerances, 0, "activations", name + strlen("act."), "rel"));
        const float *const x = host_of(u->exec, t);
        const bool map = strncmp(name, "act.backbone_feature", 20) == 0 || strncmp(name, "act.projector", 13) == 0;
        float *const y = map ? channels_first(x, hm_dim(t, 0), hm_dim(t, 1) * hm_dim(t, 2), hm_dim(t, 3)) : NULL;
        report_tensor(u->r, name, name, map ? y : x, hm_count(t), 0, tol);
        free(y);
    }
}

static void check_topk(run *u, bool imposed) {
    const hm_model *const m = u->step->model;
    const topk_difference d = compare_topk(u->r, "train.topk", u->exec, m, imposed);
    report_topk(u->r, "train.topk", d, near_tie(u->c));
    const int64_t B = u->c->B, K = hm_dim(m->topk[0], 1), N = hm_dim(m->scores[0], 1), G = m->groups;
    int32_t *const chosen = malloc((size_t)(G * B * K) * 4 + 1);
    float *const scores = malloc((size_t)(G * B * N) * 4 + 1);
    for (int64_t g = 0; g < G; g++) {
        memcpy(chosen + g * B * K, host_of(u->exec, m->topk[g]), (size_t)(B * K) * 4);
        memcpy(scores + g * B * N, host_of(u->exec, m->scores[g]), (size_t)(B * N) * 4);
    }
    report_keep(u->r, "train.topk", HM_ST_I32, 3, (const int64_t[]){G, B, K}, chosen);
    report_keep(u->r, "train.two_stage_scores", HM_ST_F32, 3, (const int64_t[]){G, B, N}, scores);
    if (hm_safetensors_find(u->c->expected, "train.two_stage_scores") != NULL)
        report_tensor(u->r, "train.two_stage_scores", "train.two_stage_scores", scores, G * B * N, 0, 1e-5);
    free(chosen);
    free(scores);
}

/* --- matching --- */

/* Pairs of an image in the order of the queries, against "<prefix>.<output>.<b>.query|target". */
static void check_pairs(run *u, const char *prefix, int i, bool keep_them) {
    const hm_tensor *const match = u->step->criterion.match[i];
    const char *const output = u->step->model->output_names[i];
    const int64_t n = hm_dim(match, 1);
    int32_t *const pairs = malloc((size_t)n * 8 + 8);
    for (int64_t b = 0; b < u->c->B; b++) {
        const int32_t *const row = (const int32_t *)host_of(u->exec, match) + b * n;
        char name[200];
        int64_t k = 0;
        for (int64_t q = 0; q < n; q++)
            if (row[q] >= 0) {
                pairs[k] = (int32_t)q;
                pairs[n + k++] = row[q];
            }
        snprintf(name, sizeof name, "%s.%s.%lld.query", prefix, output, (long long)b);
        report_integers(u->r, name, pairs, k);
        if (keep_them)
            report_keep(u->r, name, HM_ST_I32, 1, &k, pairs);
        snprintf(name, sizeof name, "%s.%s.%lld.target", prefix, output, (long long)b);
        report_integers(u->r, name, pairs + n, k);
        if (keep_them)
            report_keep(u->r, name, HM_ST_I32, 1, &k, pairs + n);
    }
    free(pairs);
}

/* Costs [GQ, n]: the columns of an image's targets hold its own predictions' costs. */
static void check_cost(run *u, int i) {
    const parity_case *const c = u->c;
    const int64_t n = hm_dim(u->step->criterion.cost[i], 1), cols = c->n_targets;
    const float *const ours = host_of(u->exec, u->step->criterion.cost[i]);
    float *const cost = malloc((size_t)(n * cols) * 4 + 4);
    char name[128];
    for (int64_t b = 0, at = 0; b < c->B; at += c->counts[b], b++)
        for (int64_t q = 0; q < n; q++)
            memcpy(cost + q * cols + at, ours + (b * n + q) * c->T, (size_t)c->counts[b] * 4);
    snprintf(name, sizeof name, "match.%s.cost", u->step->model->output_names[i]);
    report_tensor(u->r, name, name, cost, n * cols, 0, 1e-5);
    report_keep(u->r, name, HM_ST_F32, 2, (const int64_t[]){n, cols}, cost);
    free(cost);
}

/* --- losses --- */

/* Whether a term counts queries, so that one near tie changes it by a whole step. */
static bool is_count(const char *term) {
    return strncmp(term, "cardinality_error", 17) == 0 || strncmp(term, "class_error", 11) == 0;
}

/* `least`: smallest tolerance; counts are compared only where it is 0, that is before the first update. */
static void check_losses(run *u, const cJSON *expected, const char *prefix, double least) {
    const hm_criterion *const k = &u->step->criterion;
    char name[160];
    snprintf(name, sizeof name, "%stotal", prefix);
    const double total = *(const float *)host_of(u->exec, k->total);
    report_number(u->r, name, total, parity_number(expected, NAN, "total", NULL, NULL),
                  fmax(least, report_tolerance(parity_number(u->c->tolerances, 0, "total", "rel", NULL))));
    for (int i = 0; i < k->n_terms; i++) {
        const double ours = *(const float *)host_of(u->exec, k->terms[i].value);
        if (least > 0 && is_count(k->terms[i].name))
            continue;
        double value = parity_number(expected, NAN, "terms", k->terms[i].name, "value");
        value = parity_number(expected, value, "terms", k->terms[i].name, NULL);
        snprintf(name, sizeof name, "%s%s", prefix, k->terms[i].name);
        report_number(
            u->r, name, ours, value,
            fmax(least, report_tolerance(parity_number(u->c->tolerances, 0, "losses", k->terms[i].name, "rel"))));
    }
    const cJSON *term;
    cJSON_ArrayForEach(term, cJSON_GetObjectItem(expected, "terms")) {
        bool known = false;
        for (int i = 0; i < k->n_terms; i++)
            known |= strcmp(k->terms[i].name, term->string) == 0;
        if (!known)
            report_value(u->r, term->string, NAN, 0, "the criterion has no such term");
    }
}

/* --- gradients and parameters --- */

static bool is_zero(const parity_case *c, const char *name) {
    return cJSON_GetObjectItemCaseSensitive(
               cJSON_GetObjectItemCaseSensitive(c->tolerances, "gradients_analytically_zero"), name) != NULL;
}

static bool has_grad(const parity_case *c, const char *name) {
    const cJSON *p;
    cJSON_ArrayForEach(p, c->params) if (strcmp(cJSON_GetStringValue(cJSON_GetObjectItem(p, "name")), name) ==
                                         0) return cJSON_IsTrue(cJSON_GetObjectItem(p, "has_grad"));
    return false;
}

/* Whether rounding can change a gradient by a jump: the derivatives of bilinear sampling and of ReLU are discontinuous,
 * and a few of a million samples and hidden units lie close enough to a pixel border or to zero to change sides. */
static bool has_kink(const char *name) {
    const bool relu = strstr(name, "bbox_embed.") != NULL || strstr(name, "ref_point_head.") != NULL;
    return strstr(name, ".cross_attn.") != NULL || strstr(name, ".linear1.") != NULL ||
           (relu && (strstr(name, ".layers.0.") != NULL || strstr(name, ".layers.1.") != NULL));
}

/* PyTorch's own error of a gradient. Where it jumps, which tensor is hit is chance: at least the error of the whole
 * gradient and, in the decoder, that of the same tensor in every layer. */
static double listed_gradient(const parity_case *c, const char *name) {
    static const char layers[] = "transformer.decoder.layers.";
    double most = parity_number(c->tolerances, 0, "gradients", name, NULL);
    if (!has_kink(name))
        return most;
    most = fmax(most, parity_number(c->tolerances, 0, "gradient_overall", "rel", NULL));
    const char *const part = strncmp(name, layers, strlen(layers)) == 0 ? strchr(name + strlen(layers), '.') : NULL;
    for (int i = 0; part != NULL && i < c->model.dec_layers; i++) {
        char other[300];
        snprintf(other, sizeof other, "%s%d%s", layers, i, part);
        most = fmax(most, parity_number(c->tolerances, 0, "gradients", other, NULL));
    }
    return most;
}

static void check_gradient(run *u, const hm_tensor *p, const hm_tensor *grad) {
    char name[300];
    snprintf(name, sizeof name, "grad.%s", p->name);
    const bool expected = has_grad(u->c, p->name);
    if (expected != (grad != NULL)) {
        report_value(u->r, name, NAN, 0, expected ? "no gradient here" : "upstream gives it no gradient");
        return;
    }
    float *const none = grad == NULL ? calloc((size_t)hm_count(p) + 1, sizeof(float)) : NULL;
    const float *const x = grad == NULL ? none : host_of(u->exec, grad);
    report_keep(u->r, name, HM_ST_F32, p->shape.rank, p->shape.dim, x);
    free(none);
    if (grad == NULL)
        return;
    const double overall = parity_number(u->c->tolerances, 0, "gradient_overall", "fp64_norm", NULL);
    if (is_zero(u->c, p->name)) { /* compared on the scale of the whole gradient */
        report_tensor(u->r, name, name, x, hm_count(p), overall, 1e-6);
        return;
    }
    report_tensor(u->r, name, name, x, hm_count(p), 0, report_tolerance(listed_gradient(u->c, p->name)));
}

/* Length of the expected step of a parameter, from its summary; 0 when there is none. */
static double step_length(const run *u, const char *name) {
    char sum[420];
    double s[19] = {0};
    snprintf(sum, sizeof sum, "sum.%s", name);
    const hm_safetensor *const t = u->c->summaries == NULL ? NULL : hm_safetensors_find(u->c->summaries, sum);
    if (t != NULL && t->bytes == sizeof s)
        memcpy(s, t->data, sizeof s);
    return s[1];
}

/* Where a parameter is after k steps, relative to its length. With eps 1e-8 a step is about lr * sign(gradient), so
 * numbers whose gradient is rounding noise go anywhere: there a tenth of the step is allowed,
 * and to parameters whose gradient is analytically zero twice the step. */
static double parameter_tolerance(const run *u, const char *name, const char *delta, double norm) {
    const double step = u->eps < 1e-6 && norm > 0 ? step_length(u, delta) / norm : 0;
    return fmax(1e-5, (is_zero(u->c, name) ? 2 : 0.1) * step);
}

static void check_parameter(run *u, const hm_tensor *p, int k) {
    char name[400], probe[300];
    hm_shape s;
    const float *const x = hm_store_find(u->store, p->name, &s);
    const int64_t n = hm_shape_count(s);
    float *const delta = malloc((size_t)n * 4 + 4);
    double norm = 0;
    const cJSON *q = NULL, *at;
    cJSON_ArrayForEach(at, u->c->params) if (strcmp(cJSON_GetStringValue(cJSON_GetObjectItem(at, "name")), p->name) ==
                                             0) q = at;
    const uint64_t key = hm_rng_key(u->c->seed, p->name);
    const float offset = (float)parity_number(q, 0, "offset", NULL, NULL);
    const float scale = (float)parity_number(q, 0, "scale", NULL, NULL);
    for (int64_t i = 0; i < n; i++) {
        delta[i] = x[i] - parity_fill(key, (uint64_t)i, offset, scale);
        norm += (double)x[i] * x[i];
    }
    snprintf(name, sizeof name, "step.%s.after%d.delta.%s", u->tag, k, p->name);
    snprintf(probe, sizeof probe, "delta.%s", p->name);
    const double tolerance = parameter_tolerance(u, p->name, name, sqrt(norm));
    report_tensor(u->r, name, probe, delta, n, sqrt(norm), tolerance);
    report_keep(u->r, name, HM_ST_F32, s.rank, s.dim, delta);
    snprintf(name, sizeof name, "step.%s.after%d.param.%s", u->tag, k, p->name);
    if (hm_safetensors_find(u->c->expected, name) != NULL)
        report_tensor(u->r, name, name, x, n, 0, tolerance);
    free(delta);
}

/* --- the run --- */

static void first_step(run *u, bool imposed) {
    const hm_step *const s = u->step;
    const hm_model *const m = s->model;
    check_topk(u, imposed);
    check_taps(u);
    for (int i = 0; i < m->n_outputs; i++) {
        check_output(u, m->output_names[i], "pred_logits", m->outputs[i].logits);
        check_output(u, m->output_names[i], "pred_boxes", m->outputs[i].boxes);
        if (m->outputs[i].spatial != NULL) {
            check_spatial(u, m->output_names[i], &m->outputs[i]);
            check_output(u, m->output_names[i], "mask_query_features", m->outputs[i].query);
        }
        check_cost(u, i);
        check_pairs(u, "match", i, true);
    }
    const cJSON *const l = cJSON_GetObjectItem(u->c->losses, "step0");
    check_losses(u, l, "", 0);
    report_number(u->r, "grad_norm", *(const float *)host_of(u->exec, s->optimizer.grad_norm),
                  parity_number(l, NAN, "grad_norm", NULL, NULL),
                  report_tolerance(parity_number(u->c->tolerances, 0, "gradient_overall", "rel", NULL)));
    for (int i = 0; i < s->n_params; i++)
        check_gradient(u, s->params[i], s->grads[i]);
}

static void later_step(run *u, int k) {
    char prefix[64];
    snprintf(prefix, sizeof prefix, "step.%s.%d.match", u->tag, k);
    for (int i = 0; k > 0 && i < u->step->model->n_outputs; i++)
        check_pairs(u, prefix, i, false);
    const cJSON *const l =
        cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItem(u->c->losses, "steps"), u->tag), k);
    snprintf(prefix, sizeof prefix, "step.%s.%d.", u->tag, k);
    check_losses(u, l, prefix,
                 k == 0 ? 0 : 1e-3); /* one uncertain point that changes places moves a mask loss by 1e-4 */
    snprintf(prefix, sizeof prefix, "step.%s.%d.grad_norm", u->tag, k);
    report_number(u->r, prefix, *(const float *)host_of(u->exec, u->step->optimizer.grad_norm),
                  parity_number(l, NAN, "grad_norm_before_clip", NULL, NULL), k == 0 ? 1e-4 : 1e-3);
}

static void topk_name(const run *u, int k, char name[static 64]) {
    if (k == 0)
        snprintf(name, 64, "train.topk");
    else
        snprintf(name, 64, "step.%s.%d.topk", u->tag, k);
}

/* One step; *near counts the proposals that changed places. */
static hm_status one_step(run *u, int k, bool imposed, topk_difference *d) {
    char name[64];
    topk_name(u, k, name);
    if (imposed)
        HM_TRY(impose_topk(u->r, name, u->exec, u->step->model));
    host_forget();
    HM_TRY(hm_exec_run(u->exec, u->c->seed, k));
    *d = compare_topk(u->r, name, u->exec, u->step->model, imposed);
    return HM_OK;
}

static hm_status all_steps(run *u, bool details, bool imposed, bool *swapped) {
    for (int k = 0; k < 3; k++) {
        topk_difference d;
        char name[64];
        HM_TRY(one_step(u, k, imposed, &d));
        if (d.swapped > 0 && d.gap <= (k == 0 ? near_tie(u->c) : NEAR_TIE_AFTER_STEP) && !imposed) {
            *swapped = true;
            return HM_OK;
        }
        topk_name(u, k, name);
        if (k > 0)
            report_topk(u->r, name, d, NEAR_TIE_AFTER_STEP);
        if (k == 0 && details)
            first_step(u, imposed);
        later_step(u, k);
        for (int i = 0; k != 1 && i < u->step->n_params; i++)
            if (u->step->grads[i] != NULL)
                check_parameter(u, u->step->params[i], k + 1);
    }
    return HM_OK;
}

hm_status run_training(parity_report *r, const char *tag, double eps, bool details, bool imposed, bool *swapped) {
    run u = {.r = r, .c = r->c, .tag = tag, .eps = eps};
    const parity_report before = *r;
    *swapped = false;
    hm_status st = open_run(&u, details, imposed);
    if (st == HM_OK)
        st = all_steps(&u, details, imposed, swapped);
    close_run(&u);
    if (st == HM_OK && *swapped) { /* what was compared so far is compared again */
        r->passed = before.passed;
        r->failed = before.failed;
        while (r->n_dump > before.n_dump) {
            r->n_dump--;
            free((void *)r->dump[r->n_dump].name);
            free((void *)r->dump[r->n_dump].data);
        }
        printf("%s: near ties among the proposals; the run is repeated with the stored choice\n", tag);
    }
    return st;
}
