/* training_step.c: one batch into the graph and its losses out of it. */
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

/* Number of this batch in the run, skipped steps included: what its random draws are named after. */
static int64_t draw_of(const hm_training *t, int micro) {
    return (t->step + t->skipped) * t->accumulate + micro;
}

hm_status hm_training_batch(hm_training *t, const hm_batch *batch, int micro, hm_losses *losses) {
    const hm_criterion *const c = &t->graphs->criterion;
    if (micro == 0)
        memset(losses, 0, sizeof *losses);
    put_batch(t, batch, micro);
    const uint64_t seed = (uint64_t)t->options->seed;
    const bool audited = t->audit != NULL && micro == 0 && (t->step + t->skipped) % t->options->audit == 0;
    const double scale = (double)hm_store_find(t->store, HM_STATE_SCALE, NULL)[0];
    hm_exec_set_hook(t->exec, audited ? hm_audit_hook : NULL, t->audit);
    HM_TRY(hm_exec_run(t->exec, seed, draw_of(t, micro)));
    if (audited)
        HM_TRY(hm_audit_write(t->audit, t->step + t->skipped, scale > 0 ? scale : t->first_scale));
    hm_exec_set_hook(t->exec, NULL, NULL);
    if (scalar(t->exec, t->graphs->overflow) != 0 && !losses->overflow) {
        losses->overflow = true;
        HM_TRY(hm_overflow_describe(t, batch, seed, draw_of(t, micro), losses->cause, sizeof losses->cause));
    }
    losses->total += scalar(t->exec, c->total) / t->accumulate;
    for (int i = 0; i < c->n_terms; i++)
        losses->terms[i] += scalar(t->exec, c->terms[i].value) / t->accumulate;
    return HM_OK;
}

hm_status hm_training_update(hm_training *t, hm_losses *losses) {
    hm_exec *const e = t->update != NULL ? t->update : t->exec;
    if (t->update != NULL)
        HM_TRY(hm_exec_run(e, (uint64_t)t->options->seed, t->step));
    losses->grad_norm = scalar(e, t->graphs->optimizer.grad_norm);
    losses->overflow = scalar(e, t->graphs->optimizer.overflow) != 0;
    const float *const scale = hm_store_find(t->store, HM_STATE_SCALE, NULL);
    losses->scale_used = (double)scale[2];
    losses->scale_next = (double)scale[0];
    if (losses->overflow)
        t->skipped++;
    else
        t->step++;
    return HM_OK;
}
