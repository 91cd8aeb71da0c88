/* half.c: one training batch in half precision beside the same in fp32. Proposals and assignments are the case's in
 * both, so that only rounding differs; PyTorch's error under the same conditions is autocast.json's "frozen".
 *
 * A ReLU or an absolute value whose argument changes sides, or a sample that crosses a pixel's border, can move the
 * gradient of a small network by more than all rounding does, and chance decides which do, in PyTorch's runs and in
 * ours. So errors are geometric means over copies of the case whose weights differ by less than fp16 can tell. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "half_errors.h"
#include "runs.h"

#define SMALL        1000 /* tensors of at most so many numbers count in the whole gradient only */
#define COPIES       25
#define COPIES_LARGE 5 /* of a model of real size, where single jumps drown */

int parity_copies = 0;

typedef struct side {
    hm_step *step;
    hm_store *store;
    hm_exec *exec;
    float scale;  /* of the loss */
    bool imposed; /* proposals and assignments are the case's */
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

static hm_status open_side(const parity_case *c, side *s, hm_precision precision, bool imposed) {
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
    s->imposed = imposed;
    HM_TRY(hm_step_build(&s->step, &c->model, &o));
    for (int i = 0; i < s->step->n_params; i++)
        if (s->step->grads[i] != NULL)
            hm_graph_output(s->step->graph, s->step->grads[i], "%s", s->step->grads[i]->name);
    keep_outputs(s->step);
    HM_TRY(hm_store_create(&s->store));
    HM_TRY(hm_store_add(s->store, s->step->graph));
    HM_TRY(parity_case_weights(c, s->store));
    const hm_exec_options eo = parity_exec_options();
    return hm_exec_create(&s->exec, s->step->graph, s->store, &eo);
}

static hm_status run_side(const parity_report *r, side *s, uint64_t copy) {
    const parity_case *const c = r->c;
    HM_TRY(parity_case_copy(c, s->store, copy));
    HM_TRY(feed_batch(c, s->step, s->exec));
    HM_TRY(hm_exec_write(s->exec, s->step->seed, &s->scale));
    if (s->imposed) {
        HM_TRY(impose_topk(r, "train.topk", s->exec, s->step->model));
        HM_TRY(impose_matches(c, s));
    }
    return hm_exec_run(s->exec, c->seed, 0);
}

typedef struct sums {
    double error, norm; /* squared */
} sums;

/* Tensor h of the half run, divided by `scale`, beside f of the other. */
static sums compare(const side *half, const side *full, const hm_tensor *h, const hm_tensor *f, float scale) {
    const void *const x = host_of(half->exec, h);
    const float *const y = host_of(full->exec, f);
    sums s = {0, 0};
    for (int64_t k = 0; k < hm_count(f); k++) {
        const double d = (double)(hm_float_at(h->dtype, x, (size_t)k) / scale) - (double)y[k];
        s.error += d * d;
        s.norm += (double)y[k] * (double)y[k];
    }
    return s;
}

static sums compare_gradient(const side *half, const side *full, int i) {
    return compare(half, full, half->step->grads[i], full->step->grads[i], half->scale);
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

/* Whether what of two tensors is the same in another decoder layer or group of proposals: which of them has a jump is
 * chance. That number is the first of the name. */
static bool same_but_for_layer(const char *a, const char *b) {
    if (strncmp(a, "transformer.", 12) != 0)
        return strcmp(a, b) == 0;
    const size_t head = strcspn(a, "0123456789");
    return strncmp(a, b, head) == 0 &&
           strcmp(a + head + strspn(a + head, "0123456789"), b + head + strspn(b + head, "0123456789")) == 0;
}

/* The largest listed error of the tensor in any layer or group. */
static double listed_error(const cJSON *run, const char *name) {
    double most = NAN;
    const cJSON *one;
    cJSON_ArrayForEach(one, cJSON_GetObjectItemCaseSensitive(run, "rel_grad_error")) {
        if (same_but_for_layer(name, one->string))
            most = fmax(most, cJSON_GetNumberValue(one));
    }
    return most;
}

typedef struct autocast {
    const cJSON *run;    /* of autocast.json */
    const cJSON *copies; /* means over copies; NULL where the case has none */
} autocast;

static double whole_error(const side *half, const side *full) {
    sums all = {0, 0};
    for (int i = 0; i < full->step->n_params; i++) {
        if (full->step->grads[i] == NULL)
            continue;
        const sums s = compare_gradient(half, full, i);
        all.error += s.error;
        all.norm += s.norm;
    }
    return sqrt(all.error / all.norm);
}

static void note_gradients(half_errors *errors, const side *half, const side *full, const autocast *torch) {
    for (int i = 0; i < full->step->n_params; i++) {
        const hm_tensor *const p = full->step->params[i];
        if (full->step->grads[i] == NULL || hm_count(p) <= SMALL)
            continue;
        const sums s = compare_gradient(half, full, i);
        char name[300];
        snprintf(name, sizeof name, "grad.%s", p->name);
        half_errors_add(errors, name, sqrt(s.error / s.norm),
                        2 * fmax(listed_error(torch->run, p->name), listed_error(torch->copies, p->name)));
    }
    half_errors_add(errors, "gradient of all parameters", whole_error(half, full),
                    fmax(parity_number(torch->run, NAN, "rel_grad_error_overall", NULL, NULL),
                         parity_number(torch->copies, NAN, "rel_grad_error_overall", NULL, NULL)));
}

/* A prediction's relative error, beside PyTorch's. */
static void note_output(half_errors *errors, const side *half, const side *full, int i, const char *field, hm_tensor *h,
                        hm_tensor *f, const cJSON *run) {
    char key[160];
    snprintf(key, sizeof key, "%s.%s", full->step->model->output_names[i], field);
    if (h == NULL)
        return;
    const sums s = compare(half, full, h, f, 1);
    half_errors_add(errors, key, sqrt(s.error / s.norm), 2 * parity_number(run, NAN, "output_rel_error", key, NULL));
}

static void note_outputs(half_errors *errors, const side *half, const side *full, const cJSON *run) {
    for (int i = 0; i < full->step->model->n_outputs; i++) {
        const hm_prediction *const h = &half->step->model->outputs[i], *const f = &full->step->model->outputs[i];
        note_output(errors, half, full, i, "pred_logits", h->logits, f->logits, run);
        note_output(errors, half, full, i, "pred_boxes", h->boxes, f->boxes, run);
        note_output(errors, half, full, i, "mask_spatial_features", h->spatial, f->spatial, run);
        note_output(errors, half, full, i, "mask_query_features", h->query, f->query, run);
    }
}

/* What is left to chance when nothing is imposed: proposals and assignments flip. No bound, beside PyTorch's figure. */
static hm_status report_free_choice(const parity_report *r, side *half, side *full, hm_precision p,
                                    const cJSON *plain) {
    HM_TRY(open_side(r->c, half, p, false));
    HM_TRY(run_side(r, full, 0));
    HM_TRY(run_side(r, half, 0));
    printf("%s: error of the whole gradient with choices of its own: %.3g; PyTorch's autocast %.3g\n", r->c->model.name,
           whole_error(half, full), parity_number(plain, NAN, "rel_grad_error_overall", NULL, NULL));
    return HM_OK;
}

static void keep_gradients(parity_report *r, const side *half) {
    for (int i = 0; i < half->step->n_params; i++) {
        char name[300];
        snprintf(name, sizeof name, "grad.%s", half->step->params[i]->name);
        if (half->step->grads[i] != NULL)
            keep_gradient(r, name, half, i);
    }
}

static hm_status run_copies(parity_report *r, half_errors *errors, side *half, side *full, const autocast *torch) {
    const int n = parity_copies > 0 ? parity_copies : torch->copies != NULL ? COPIES : COPIES_LARGE;
    for (int copy = 0; copy < n; copy++) {
        HM_TRY(run_side(r, full, (uint64_t)copy));
        HM_TRY(run_side(r, half, (uint64_t)copy));
        note_outputs(errors, half, full, torch->run);
        note_gradients(errors, half, full, torch);
        if (copy == 0)
            keep_gradients(r, half);
        host_forget();
    }
    return HM_OK;
}

hm_status run_half(parity_report *r, hm_precision precision) {
    const char *const type = precision == HM_PRECISION_BF16 ? "bfloat16" : "float16";
    char frozen[64], plain[64];
    snprintf(frozen, sizeof frozen, "%s.frozen", type);
    snprintf(plain, sizeof plain, "%s.plain", type);
    const cJSON *const runs = cJSON_GetObjectItem(r->c->autocast, "runs");
    const autocast torch = {cJSON_GetObjectItemCaseSensitive(runs, frozen),
                            cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItem(r->c->copies, "runs"), frozen)};
    if (torch.run == NULL)
        HM_FAIL(HM_ERR_FORMAT, "autocast.json has no run %s to compare with", frozen);
    side full = {.scale = 1}, half = {.scale = (float)parity_number(torch.run, 1, "loss_scale", NULL, NULL)},
         own = {.scale = half.scale};
    half_errors errors = {0};
    hm_status st;
    HM_TRY_TO(st, done, open_side(r->c, &full, HM_PRECISION_FP32, true));
    HM_TRY_TO(st, done, open_side(r->c, &half, precision, true));
    HM_TRY_TO(st, done, run_copies(r, &errors, &half, &full, &torch));
    half_errors_report(&errors, r);
    st = report_free_choice(r, &own, &full, precision, cJSON_GetObjectItemCaseSensitive(runs, plain));
done:
    half_errors_free(&errors);
    close_side(&full);
    close_side(&half);
    close_side(&own);
    return st;
}
