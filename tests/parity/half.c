/* half.c: one training batch in half precision beside the same in fp32. Proposals and assignments are the case's in
 * both, so that only rounding differs; PyTorch's error under the same conditions is autocast.json's "frozen". */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runs.h"

#define SMALL 1000 /* tensors of at most so many numbers count in the whole gradient only */

/* Where a ReLU's or an absolute value's derivative jumps, one unit or coordinate of a few that changes sides moves a
 * tensor's gradient by a third, whatever the size of the rounding. PyTorch's run has such jumps too, at other places.
 */
#define JUMP 0.35

static bool can_jump(const char *name) {
    return strstr(name, "bbox_embed.") != NULL || strstr(name, "enc_output") != NULL ||
           strstr(name, ".linear1.") != NULL || strstr(name, ".linear2.") != NULL ||
           strstr(name, "ref_point_head.") != NULL;
}

typedef struct side {
    hm_step *step;
    hm_store *store;
    hm_exec *exec;
    float scale; /* of the loss */
} side;

static void close_side(side *s) {
    host_forget();
    hm_exec_free(s->exec);
    hm_store_free(s->store);
    hm_step_free(s->step);
}

/* Queries and targets of image b, stored as two lists, into the row that says the target of each query. */
static hm_status impose_image(const parity_case *c, const char *output, int64_t b, int32_t *row, int64_t n) {
    char name[160];
    snprintf(name, sizeof name, "match.%s.%lld.query", output, (long long)b);
    const hm_safetensor *const query = hm_safetensors_find(c->expected, name);
    snprintf(name, sizeof name, "match.%s.%lld.target", output, (long long)b);
    const hm_safetensor *const target = hm_safetensors_find(c->expected, name);
    if (query == NULL || target == NULL || query->bytes != target->bytes)
        HM_FAIL(HM_ERR_FORMAT, "expected.safetensors has no assignment %s", name);
    const int32_t *const q = query->data, *const t = target->data;
    for (int64_t i = 0; i < n; i++)
        row[i] = -1;
    for (size_t i = 0; i < query->bytes / 4; i++)
        row[q[i]] = t[i];
    return HM_OK;
}

static hm_status impose_matches(const parity_case *c, const side *s) {
    for (int i = 0; i < s->step->model->n_outputs; i++) {
        const hm_tensor *const match = s->step->criterion.match[i];
        const int64_t n = hm_dim(match, 1);
        hm_status st = HM_OK;
        int32_t *const rows = malloc((size_t)hm_count(match) * sizeof *rows + 1);
        if (rows == NULL)
            HM_FAIL(HM_ERR_MEMORY, "no memory for the assignments");
        for (int64_t b = 0; b < c->B && st == HM_OK; b++)
            st = impose_image(c, s->step->model->output_names[i], b, rows + b * n, n);
        if (st == HM_OK)
            st = hm_exec_write(s->exec, match, rows);
        free(rows);
        HM_TRY(st);
    }
    return HM_OK;
}

static void keep_outputs(hm_step *s) {
    for (int i = 0; i < s->model->n_outputs; i++) {
        const hm_prediction *const p = &s->model->outputs[i];
        hm_tensor *const all[] = {p->logits, p->boxes, p->spatial, p->query};
        for (int k = 0; k < 4; k++)
            if (all[k] != NULL)
                hm_graph_output(s->graph, all[k], "%s", all[k]->name);
    }
}

static hm_status run_side(parity_report *r, side *s, hm_precision precision, bool imposed) {
    const parity_case *const c = r->c;
    hm_step_options o = {.model = {.batch = c->B,
                                   .height = c->H,
                                   .width = c->W,
                                   .training = true,
                                   .padded = c->padded,
                                   .impose_topk = imposed},
                         .targets = c->T,
                         .criterion = c->criterion,
                         .optim = c->optim,
                         .precision = precision};
    o.criterion.impose_match = imposed;
    HM_TRY(hm_step_build(&s->step, &c->model, &o));
    for (int i = 0; i < s->step->n_params; i++)
        if (s->step->grads[i] != NULL)
            hm_graph_output(s->step->graph, s->step->grads[i], "%s", s->step->grads[i]->name);
    keep_outputs(s->step);
    HM_TRY(hm_store_create(&s->store));
    HM_TRY(hm_store_add(s->store, s->step->graph));
    HM_TRY(parity_case_weights(c, s->store));
    const hm_exec_options eo = parity_exec_options();
    HM_TRY(hm_exec_create(&s->exec, s->step->graph, s->store, &eo));
    HM_TRY(feed_batch(c, s->step, s->exec));
    HM_TRY(hm_exec_write(s->exec, s->step->seed, &s->scale));
    if (imposed) {
        HM_TRY(impose_topk(r, "train.topk", s->exec, s->step->model));
        HM_TRY(impose_matches(c, s));
    }
    return hm_exec_run(s->exec, c->seed, 0);
}

typedef struct sums {
    double error, norm; /* squared */
} sums;

static sums compare(const side *half, const side *full, int i) {
    const hm_tensor *const h = half->step->grads[i], *const f = full->step->grads[i];
    const void *const x = host_of(half->exec, h);
    const float *const y = host_of(full->exec, f);
    sums s = {0, 0};
    for (int64_t k = 0; k < hm_count(f); k++) {
        const double d = (double)(hm_float_at(h->dtype, x, (size_t)k) / half->scale) - (double)y[k];
        s.error += d * d;
        s.norm += (double)y[k] * (double)y[k];
    }
    return s;
}

static void keep_gradient(parity_report *r, const char *name, const side *half, int i) {
    const hm_tensor *const t = half->step->grads[i];
    float *const x = malloc((size_t)hm_count(t) * sizeof *x + 1);
    const void *const numbers = host_of(half->exec, t);
    for (int64_t k = 0; x != NULL && k < hm_count(t); k++)
        x[k] = hm_float_at(t->dtype, numbers, (size_t)k) / half->scale;
    if (x != NULL)
        report_keep(r, name, HM_ST_F32, t->shape.rank, t->shape.dim, x);
    free(x);
}

static double tensor_bound(const cJSON *run, const char *name) {
    const double listed = 2 * parity_number(run, NAN, "rel_grad_error", name, NULL);
    return can_jump(name) ? fmax(listed, JUMP) : listed;
}

/* The whole gradient's relative error; with `run`, each large tensor's beside twice PyTorch's. */
static double gradients(parity_report *r, const side *half, const side *full, const cJSON *run) {
    sums all = {0, 0};
    for (int i = 0; i < full->step->n_params; i++) {
        const hm_tensor *const p = full->step->params[i];
        if (full->step->grads[i] == NULL)
            continue;
        const sums s = compare(half, full, i);
        all.error += s.error;
        all.norm += s.norm;
        char name[300];
        snprintf(name, sizeof name, "grad.%s", p->name);
        if (run == NULL)
            continue;
        keep_gradient(r, name, half, i);
        if (hm_count(p) > SMALL)
            report_value(r, name, sqrt(s.error / s.norm), tensor_bound(run, p->name), "");
    }
    return sqrt(all.error / all.norm);
}

/* A prediction's relative error, beside PyTorch's. */
static void report_output(parity_report *r, const side *half, const side *full, int i, const char *field, hm_tensor *h,
                          hm_tensor *f, const cJSON *run) {
    char key[160];
    snprintf(key, sizeof key, "%s.%s", full->step->model->output_names[i], field);
    if (h == NULL)
        return;
    const void *const x = host_of(half->exec, h);
    const float *const y = host_of(full->exec, f);
    double error = 0, norm = 0;
    for (int64_t k = 0; k < hm_count(f); k++) {
        const double d = (double)hm_float_at(h->dtype, x, (size_t)k) - (double)y[k];
        error += d * d;
        norm += (double)y[k] * (double)y[k];
    }
    report_value(r, key, sqrt(error / norm), 2 * parity_number(run, NAN, "output_rel_error", key, NULL), "");
}

static void report_outputs(parity_report *r, const side *half, const side *full, const cJSON *run) {
    for (int i = 0; i < full->step->model->n_outputs; i++) {
        const hm_prediction *const h = &half->step->model->outputs[i], *const f = &full->step->model->outputs[i];
        report_output(r, half, full, i, "pred_logits", h->logits, f->logits, run);
        report_output(r, half, full, i, "pred_boxes", h->boxes, f->boxes, run);
        report_output(r, half, full, i, "mask_spatial_features", h->spatial, f->spatial, run);
        report_output(r, half, full, i, "mask_query_features", h->query, f->query, run);
    }
}

/* What is left to chance when nothing is imposed: proposals and assignments flip. No bound, beside PyTorch's figure. */
static hm_status report_free_choice(parity_report *r, side *half, const side *full, hm_precision p, const char *name) {
    HM_TRY(run_side(r, half, p, false));
    printf("%s: error of the whole gradient with choices of its own: %.3g; PyTorch's autocast %.3g\n", r->c->model.name,
           gradients(r, half, full, NULL),
           parity_number(cJSON_GetObjectItem(r->c->autocast, "runs"), NAN, name, "rel_grad_error_overall", NULL));
    return HM_OK;
}

hm_status run_half(parity_report *r, hm_precision precision) {
    const char *const type = precision == HM_PRECISION_BF16 ? "bfloat16" : "float16";
    char frozen[64], plain[64];
    snprintf(frozen, sizeof frozen, "%s.frozen", type);
    snprintf(plain, sizeof plain, "%s.plain", type);
    const cJSON *const run = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItem(r->c->autocast, "runs"), frozen);
    if (run == NULL)
        HM_FAIL(HM_ERR_FORMAT, "autocast.json has no run %s to compare with", frozen);
    side full = {.scale = 1}, half = {.scale = (float)parity_number(run, 1, "loss_scale", NULL, NULL)},
         own = {.scale = half.scale};
    hm_status st;
    HM_TRY_TO(st, done, run_side(r, &full, HM_PRECISION_FP32, true));
    HM_TRY_TO(st, done, run_side(r, &half, precision, true));
    report_outputs(r, &half, &full, run);
    report_value(r, "gradient of all parameters", gradients(r, &half, &full, run),
                 parity_number(run, NAN, "rel_grad_error_overall", NULL, NULL), "");
    st = report_free_choice(r, &own, &full, precision, plain);
done:
    close_side(&full);
    close_side(&half);
    close_side(&own);
    return st;
}
