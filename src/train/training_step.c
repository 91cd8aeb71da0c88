/* training_step.c: one batch into the graph and its losses out of it. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "train/training.h"

static void put(hm_exec *e, const hm_tensor *t, const void *data) {
    if (t != NULL)
        memcpy(hm_exec_data(e, t), data, (size_t)hm_count(t) * hm_dtype_size(t->dtype));
}

static void put_scalar(hm_exec *e, const hm_tensor *t, double value) {
    const float v = (float)value;
    if (t != NULL)
        put(e, t, &v);
}

static double scalar(hm_exec *e, const hm_tensor *t) {
    return *(const float *)hm_exec_data(e, t);
}

/* What the optimizer's nodes want to know of the update that is being made. */
static void put_schedule(const hm_training *t, hm_exec *e) {
    const hm_optimizer *const o = &t->graphs->optimizer;
    put_scalar(e, o->lr_factor, hm_lr_factor(&t->schedule, t->step));
    put_scalar(e, o->step, (double)(t->step + 1));
    put_scalar(e, o->ema_decay, hm_ema_decay(t->options->ema_decay, t->options->ema_tau, t->step + 1));
}

static void put_batch(const hm_training *t, const hm_batch *b, int micro) {
    const hm_targets *const targets = &t->graphs->criterion.targets;
    put(t->exec, t->graphs->model->images, b->images);
    put(t->exec, targets->counts, b->counts);
    put(t->exec, targets->labels, b->labels);
    put(t->exec, targets->boxes, b->boxes);
    put(t->exec, targets->masks, b->masks);
    put_scalar(t->exec, t->graphs->seed, 1.0 / t->accumulate);
    put_scalar(t->exec, t->graphs->keep, micro > 0);
}

static hm_status check_finite(const hm_training *t, const hm_batch *b) {
    const hm_criterion *const c = &t->graphs->criterion;
    if (isfinite(scalar(t->exec, c->total)))
        return HM_OK;
    const char *term = "loss";
    for (int i = c->n_terms - 1; i >= 0; i--)
        if (!isfinite(scalar(t->exec, c->terms[i].value)))
            term = c->terms[i].name;
    char ids[128] = "";
    for (int32_t i = 0; i < b->n; i++) {
        const size_t at = strlen(ids);
        snprintf(ids + at, sizeof ids - at, "%s%lld", i ? ", " : "", (long long)b->image_ids[i]);
    }
    HM_FAIL(HM_ERR_FORMAT, "%s is not finite in step %lld (images %s): lower lr, or look at those images' annotations",
            term, (long long)t->step, ids);
}

hm_status hm_training_batch(hm_training *t, const hm_batch *batch, int micro, hm_losses *losses) {
    const hm_criterion *const c = &t->graphs->criterion;
    if (micro == 0)
        memset(losses, 0, sizeof *losses);
    put_batch(t, batch, micro);
    if (t->update == NULL)
        put_schedule(t, t->exec);
    HM_TRY(hm_exec_run(t->exec, (uint64_t)t->options->seed, t->step * t->accumulate + micro));
    HM_TRY(check_finite(t, batch));
    losses->total += scalar(t->exec, c->total) / t->accumulate;
    for (int i = 0; i < c->n_terms; i++)
        losses->terms[i] += scalar(t->exec, c->terms[i].value) / t->accumulate;
    return HM_OK;
}

hm_status hm_training_update(hm_training *t, hm_losses *losses) {
    hm_exec *const e = t->update != NULL ? t->update : t->exec;
    if (t->update != NULL) {
        put_schedule(t, e);
        HM_TRY(hm_exec_run(e, (uint64_t)t->options->seed, t->step));
    }
    losses->grad_norm = scalar(e, t->graphs->optimizer.grad_norm);
    t->step++;
    return HM_OK;
}
