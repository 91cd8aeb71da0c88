/* training_step.c: batches into the graph and losses out of it. On the GPU the outcome of a batch is looked at when the
 * next one has been enqueued already, so that the device never waits for the host. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "model/drop_path.h"
#include "train/training.h"

/* What is watched: of every batch, then of every step; the scale's state has HM_LOSS_SCALE_STATE numbers. */
enum { WATCH_OVERFLOW, WATCH_TOTAL = HM_WATCHED_LOSS, WATCH_TERMS };
enum { WATCH_NORM, WATCH_SKIPPED, WATCH_SCALE, N_WATCH_STEP };

static int first_of_step(const hm_training *t) {
    return t->update != NULL ? 0 : WATCH_TERMS + hm_training_criterion(t)->n_terms;
}

/* The state as the graph has it after its update. */
static const hm_tensor *scale_state(const hm_graph *g) {
    const hm_tensor *found = NULL;
    for (size_t i = 0; i < g->n_tensors; i++)
        if (g->tensors[i]->base == NULL && strcmp(g->tensors[i]->name, HM_STATE_SCALE) == 0)
            found = g->tensors[i];
    return found;
}

int hm_training_watched(const hm_step *s, const hm_graph *g, const hm_tensor **list) {
    const hm_criterion *const c = &s->criterion;
    const hm_tensor *const step[N_WATCH_STEP] = {s->optimizer.grad_norm, s->optimizer.overflow, scale_state(g)};
    int n = 0;
    if (g == s->graph) {
        list[n++] = s->overflow;
        list[n++] = c->total;
        for (int i = 0; i < c->n_terms; i++)
            list[n++] = c->terms[i].value;
    }
    for (int i = 0; i < N_WATCH_STEP && (g == s->update || s->update == NULL); i++)
        list[n++] = step[i];
    return n;
}

static hm_status watch(hm_exec *e, const hm_step *s, const hm_graph *g) {
    const hm_tensor *list[HM_WATCHED_MOST];
    return hm_exec_watch(e, list, hm_training_watched(s, g, list));
}

hm_status hm_training_watch(hm_training *t) {
    const hm_step *const first = t->sizes[0].graphs;
    for (int i = 0; i < t->n_sizes; i++)
        HM_TRY(watch(t->sizes[i].exec, t->sizes[i].graphs, t->sizes[i].graphs->graph));
    return t->update != NULL ? watch(t->update, first, first->update) : HM_OK;
}

/* ---- in */

static hm_status put(hm_exec *e, const hm_tensor *t, const void *data) {
    return t != NULL ? hm_exec_write(e, t, data) : HM_OK;
}

hm_status hm_training_give(const hm_step *s, hm_exec *e, const hm_batch *b, double seed, bool keep) {
    const hm_targets *const targets = &s->criterion.targets;
    const float part = (float)seed, kept = (float)keep;
    HM_TRY(put(e, s->model->images, b->images));
    HM_TRY(put(e, targets->counts, b->counts));
    HM_TRY(put(e, targets->labels, b->labels));
    HM_TRY(put(e, targets->boxes, b->boxes));
    HM_TRY(put(e, targets->masks, b->masks));
    HM_TRY(put(e, s->seed, &part));
    return put(e, s->keep, &kept);
}

/* The factors of the batch that is next, where the encoder drops paths. */
static hm_status give_drop_path(const hm_training *t, const hm_training_size *size) {
    const hm_model *const m = size->graphs->model;
    float *factors = NULL;
    if (m->drop_path == NULL)
        return HM_OK;
    HM_TRY(hm_alloc(&factors, (size_t)hm_count(m->drop_path), sizeof *factors));
    hm_drop_path_draw(m, (uint64_t)t->options->seed, t->runs, factors);
    const hm_status st = hm_exec_write(size->exec, m->drop_path, factors);
    free(factors);
    return st;
}

static hm_training_size *size_of(hm_training *t, const hm_batch *b) {
    for (int i = 0; i < t->n_sizes; i++)
        if (t->sides[i] == b->h && t->sides[i] == b->w)
            return &t->sizes[i];
    return NULL;
}

static void remember(hm_training *t, const hm_training_size *size, const hm_batch *b) {
    hm_open_batch *const to = &t->open[t->runs % HM_LATE_MOST];
    to->size = size;
    to->run = size->runs;
    to->side = b->h;
    to->n = b->n < HM_BATCH_IMAGES ? b->n : HM_BATCH_IMAGES;
    memcpy(to->ids, b->image_ids, (size_t)to->n * sizeof *to->ids);
}

static hm_status run_audited(hm_training *t, hm_exec *e) {
    const double scale = (double)hm_store_find(t->store, HM_STATE_SCALE, NULL)[0];
    hm_exec_set_hook(e, hm_audit_hook, t->audit);
    HM_TRY(hm_exec_run(e, (uint64_t)t->options->seed, t->runs));
    hm_exec_set_hook(e, NULL, NULL);
    return hm_audit_write(t->audit, t->runs / t->accumulate, scale > 0 ? scale : t->first_scale);
}

hm_status hm_training_batch(hm_training *t, const hm_batch *batch) {
    const int micro = (int)(t->runs % t->accumulate);
    const int64_t step = t->runs / t->accumulate;
    hm_training_size *const size = size_of(t, batch);
    if (size == NULL)
        HM_FAIL(HM_ERR_INTERNAL, "a batch is %d x %d, a size that this run does not have", (int)batch->w,
                (int)batch->h);
    HM_TRY(hm_training_give(size->graphs, size->exec, batch, 1.0 / t->accumulate, micro > 0));
    HM_TRY(give_drop_path(t, size));
    remember(t, size, batch);
    if (t->audit != NULL && micro == 0 && step % t->options->audit == 0)
        HM_TRY(run_audited(t, size->exec));
    else
        HM_TRY(hm_exec_run(size->exec, (uint64_t)t->options->seed, t->runs));
    size->runs++;
    t->runs++;
    return t->update != NULL && micro == t->accumulate - 1 ? hm_exec_run(t->update, (uint64_t)t->options->seed, step)
                                                           : HM_OK;
}

/* ---- out */

static hm_status look(hm_exec *e, int ago, int which, double *out) {
    float v;
    HM_TRY(hm_exec_watched(e, ago, which, &v));
    *out = (double)v;
    return HM_OK;
}

static hm_status look_at_batch(hm_training *t, int64_t run, hm_losses *losses) {
    const hm_open_batch *const b = &t->open[run % HM_LATE_MOST];
    const int ago = hm_open_batch_ago(b), n_terms = hm_training_criterion(t)->n_terms;
    hm_exec *const e = b->size->exec;
    double v;
    HM_TRY(look(e, ago, WATCH_OVERFLOW, &v));
    if (v != 0 && !losses->overflow) {
        losses->overflow = true;
        HM_TRY(hm_overflow_describe(t, run, losses->cause, sizeof losses->cause));
    }
    HM_TRY(look(e, ago, WATCH_TOTAL, &v));
    losses->total += v / t->accumulate;
    for (int i = 0; i < n_terms; i++) {
        HM_TRY(look(e, ago, WATCH_TERMS + i, &v));
        losses->terms[i] += v / t->accumulate;
    }
    return HM_OK;
}

/* `ago` runs before the last of the executor that updates. */
static hm_status look_at_step(hm_training *t, hm_exec *e, int ago, hm_losses *losses) {
    const int first = first_of_step(t);
    float scale[HM_LOSS_SCALE_STATE];
    double skipped;
    HM_TRY(look(e, ago, first + WATCH_NORM, &losses->grad_norm));
    HM_TRY(look(e, ago, first + WATCH_SKIPPED, &skipped));
    HM_TRY(hm_exec_watched(e, ago, first + WATCH_SCALE, scale));
    losses->overflow = skipped != 0;
    losses->scale_used = (double)scale[2];
    losses->scale_next = t->last_scale = (double)scale[0];
    if (losses->overflow)
        t->skipped++;
    else
        t->step++;
    return HM_OK;
}

hm_status hm_training_outcome(hm_training *t, bool *step_done) {
    const int64_t run = t->seen;
    const hm_open_batch *const b = &t->open[run % HM_LATE_MOST];
    *step_done = run % t->accumulate == t->accumulate - 1;
    if (run % t->accumulate == 0)
        memset(&t->losses, 0, sizeof t->losses);
    HM_TRY(look_at_batch(t, run, &t->losses));
    if (*step_done && t->update != NULL)
        HM_TRY(look_at_step(t, t->update, (int)(t->runs / t->accumulate - 1 - run / t->accumulate), &t->losses));
    else if (*step_done)
        HM_TRY(look_at_step(t, b->size->exec, hm_open_batch_ago(b), &t->losses));
    t->seen++;
    return HM_OK;
}
