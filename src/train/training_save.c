/* training_save.c: what a run leaves on disk to be used and to be gone on from. The store is copied between two steps
 * and written by a thread meanwhile; the state comes last, so that what it speaks of is there. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/atomic.h"
#include "train/training.h"
#include "weights/weights.h"

#define PASSING HM_STATE_SUM /* between two steps nothing depends on them */

/* ---- writing */

/* Files hold fp32: half weights are widened, which is exact. */
static hm_status save_widened(const hm_training *t, const char *path, const hm_weights_notes *notes) {
    hm_store *full = NULL;
    hm_status st = hm_weights_store(&full, &t->config);
    if (st == HM_OK)
        st = hm_store_copy(full, t->kept);
    if (st == HM_OK)
        st = hm_weights_save_noted(path, full, NULL, &t->config, &t->train.classes, notes);
    hm_store_free(full);
    return st;
}

/* `source` NULL: no choice was made between weights and averages. */
static hm_status save_kept(const hm_training *t, bool averages, const char *path, const char *source) {
    char epoch[24];
    snprintf(epoch, sizeof epoch, "%" PRId64, t->kept_epoch);
    const hm_weights_notes notes = {epoch, source};
    return !averages && hm_precision_true(t->precision)
               ? save_widened(t, path, &notes)
               : hm_weights_save_noted(path, t->kept, averages ? "ema." : NULL, &t->config, &t->train.classes, &notes);
}

static hm_status save_weights(const hm_training *t, bool averages, const char *name, const char *source) {
    char *path = NULL;
    HM_TRY(hm_training_path(t, name, &path));
    const hm_status st = save_kept(t, averages, path, source);
    free(path);
    return st;
}

static hm_status save_best(const hm_training *t) {
    if (t->kept_as.regular)
        HM_TRY(save_weights(t, false, "checkpoint_best_regular.pth", NULL));
    if (t->kept_as.ema)
        HM_TRY(save_weights(t, true, "checkpoint_best_ema.pth", NULL));
    if (t->kept_as.total_regular)
        HM_TRY(save_weights(t, false, HM_BEST, "regular"));
    return t->kept_as.total_ema ? save_weights(t, true, HM_BEST, "ema") : HM_OK;
}

static hm_status save_last(const hm_training *t) {
    HM_TRY(save_weights(t, false, HM_LAST, NULL));
    return t->options->use_ema ? save_weights(t, true, "last_ema.pth", NULL) : HM_OK;
}

static hm_status save_epoch(const hm_training *t) {
    char name[48];
    snprintf(name, sizeof name, "checkpoint_%" PRId64 ".pth", t->kept_epoch);
    return save_weights(t, false, name, NULL);
}

static void set(hm_state_settings *s, const char *name, const char *value) {
    s->name[s->n] = name;
    snprintf(s->value[s->n++], sizeof s->value[0], "%s", value);
}

static void set_number(hm_state_settings *s, const char *name, int64_t value) {
    s->name[s->n] = name;
    snprintf(s->value[s->n++], sizeof s->value[0], "%" PRId64, value);
}

/* What decides which batch comes next, what it is made of and what the tensors mean. */
static hm_state_settings settings_of(const hm_training *t) {
    const hm_train_options *const o = t->options;
    hm_state_settings s = {0};
    set(&s, "model", t->config.name);
    set_number(&s, "resolution", t->config.resolution);
    set_number(&s, "num_classes", t->config.num_classes);
    set_number(&s, "num_queries", t->config.num_queries);
    set_number(&s, "group_detr", t->config.group_detr);
    set(&s, "precision", hm_precision_name(t->precision));
    set(&s, "use_ema", o->use_ema ? "true" : "false");
    set(&s, "freeze_encoder", o->freeze_encoder ? "true" : "false");
    set_number(&s, "batch_size", o->batch_size);
    set_number(&s, "grad_accum_steps", o->grad_accum_steps);
    set_number(&s, "seed", o->seed);
    set_number(&s, "batches of an epoch", hm_loader_batches(t->train_loader));
    set(&s, "multi_scale", o->multi_scale ? "true" : "false");
    set(&s, "expanded_scales", o->expanded_scales ? "true" : "false");
    set(&s, "scale_jitter", o->scale_jitter ? "true" : "false");
    return s;
}

static hm_status save_state(const hm_training *t) {
    const hm_state_settings settings = settings_of(t);
    return hm_state_write(t->options->output_dir, t->kept, &t->kept_state, &settings);
}

/* The writer's work. */
static hm_status write_kept(void *arg) {
    hm_training *const t = arg;
    if (t->kept_what & HM_KEEP_BEST)
        HM_TRY(save_best(t));
    if (t->kept_what & HM_KEEP_EPOCH)
        HM_TRY(save_epoch(t));
    if (t->kept_what & HM_KEEP_LAST)
        HM_TRY(save_last(t));
    return t->kept_what & HM_KEEP_STATE ? save_state(t) : HM_OK;
}

/* What the last validation chose is written once; a run that ends without a choice gets one. */
static void choose_best(hm_training *t) {
    t->kept_as = t->chosen;
    t->chosen = (hm_chosen){0};
    if (!hm_training_ended(t))
        return;
    const hm_chosen end = hm_selection_end(&t->selection, t->options->use_ema, hm_training_judges_base(t));
    t->kept_as.ema |= end.ema;
    t->kept_as.total_ema |= end.total_ema;
}

hm_status hm_training_saved(hm_training *t) {
    return t->writer != NULL ? hm_background_wait(t->writer) : HM_OK;
}

/* What is stored now, copied once the copy before has been written. */
static hm_status copy_store(hm_training *t) {
    HM_TRY(hm_training_saved(t));
    if (t->kept == NULL)
        HM_TRY(hm_store_like(&t->kept, t->store, PASSING));
    return hm_store_copy(t->kept, t->store);
}

/* The epoch that the weights are of. */
static int64_t epoch_of(const hm_training *t) {
    return t->epoch - (t->batch_of_epoch == 0 && t->epoch > 0);
}

hm_status hm_training_save_weights(hm_training *t, const char *path) {
    HM_TRY(copy_store(t));
    t->kept_epoch = epoch_of(t);
    return save_kept(t, t->options->use_ema, path, NULL);
}

hm_status hm_training_keep(hm_training *t, unsigned what) {
    if (t->writer == NULL)
        HM_TRY(hm_background_new(&t->writer));
    HM_TRY(copy_store(t));
    if ((what & HM_KEEP_STATE) && t->runs != t->state_last) {
        t->state_before = t->state_last;
        t->state_last = t->runs;
    }
    t->kept_what = what;
    t->kept_epoch = epoch_of(t);
    if (what & HM_KEEP_BEST)
        choose_best(t);
    t->kept_state = (hm_state){.epoch = t->epoch,
                               .batch = t->batch_of_epoch,
                               .runs = t->runs,
                               .step = t->step,
                               .skipped = t->skipped,
                               .rows = hm_metrics_csv_rows(t->csv),
                               .last_scale = t->last_scale,
                               .selection = t->selection,
                               .before = t->state_before};
    return hm_background_run(t->writer, write_kept, t);
}

/* ---- going on */

static void note(void *user, const char *text) {
    hm_training *const t = user;
    if (t->progress != NULL)
        hm_progress_note(t->progress, "%s", text);
}

static void take_up(hm_training *t, const hm_state *s) {
    t->epoch = s->epoch;
    t->batch_of_epoch = s->batch;
    t->runs = t->seen = s->runs;
    t->step = s->step;
    t->rows = s->rows;
    t->skipped = s->skipped;
    t->last_scale = s->last_scale;
    t->selection = s->selection;
    t->state_last = s->runs;
}

static hm_status take_up_file(hm_training *t, const hm_state_file *f) {
    const hm_state *const s = hm_state_of(f);
    const hm_state_settings now = settings_of(t);
    char text[4400];
    HM_TRY(hm_state_check(f, &now));
    HM_TRY(hm_state_load(f, t->store, PASSING));
    take_up(t, s);
    snprintf(text, sizeof text, "going on from %s: %" PRId64 " steps are done", hm_state_path(f), s->step);
    note(t, text);
    return HM_OK;
}

hm_status hm_training_resume(hm_training *t) {
    hm_state_file *f = NULL;
    HM_TRY(hm_atomic_sweep(t->options->output_dir));
    HM_TRY(hm_state_open(&f, t->options->resume, note, t));
    hm_status st = HM_OK;
    if (f != NULL)
        st = take_up_file(t, f);
    else
        note(t, "there is no state to go on from yet: the run begins anew");
    hm_state_close(f);
    return st;
}
