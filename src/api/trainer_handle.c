/* trainer_handle.c: hm_trainer: a run of train/training.h, one call at a time, and what a call came to. */
#include <stdio.h>
#include <stdlib.h>

#include "api/caller_batch.h"
#include "api/log_stream.h"
#include "base/mem.h"
#include "base/plain_numbers.h"
#include "device/turn.h"
#include "train/options.h"
#include "train/training.h"

struct hm_trainer {
    hm_train_options *options;
    FILE *log;
    hm_training *run;
    bool gpu;
    bool failed;    /* in the middle of something */
    hm_batch batch; /* of the caller's images; empty before the first */
    hm_step_report step;
    hm_step_term terms[HM_MAX_TERMS];
    hm_epoch_report epoch;
};

/* ---- opening */

static hm_status open_run(hm_trainer *t) {
    t->gpu = hm_turn_needed(t->options->device);
    hm_turn_take(t->gpu);
    const hm_status st = hm_training_open(&t->run, t->options, t->log);
    hm_turn_give(t->gpu);
    return st;
}

hm_status hm_trainer_new(hm_trainer **out, const hm_train_options *options, hm_log *log, void *user) {
    HM_PLAIN_NUMBERS;
    hm_trainer *t = NULL;
    hm_status st;
    *out = NULL;
    HM_TRY(hm_alloc(&t, 1, sizeof *t));
    HM_TRY_TO(st, fail, hm_options_copy(HM_COMMAND_TRAIN, &t->options, options));
    HM_TRY_TO(st, fail, hm_log_stream(&t->log, log, user));
    HM_TRY_TO(st, fail, open_run(t));
    *out = t;
    return HM_OK;
fail:
    hm_trainer_free(t);
    return st;
}

void hm_trainer_free(hm_trainer *t) {
    if (t == NULL)
        return;
    hm_turn_take(t->gpu);
    hm_training_close(t->run);
    hm_turn_give(t->gpu);
    if (t->log != NULL)
        fclose(t->log);
    hm_options_free(HM_COMMAND_TRAIN, t->options);
    hm_batch_free(&t->batch);
    free(t);
}

/* ---- calls */

/* A call that may fail in the middle begins with this ... */
static hm_status begin(const hm_trainer *t) {
    if (t->failed)
        HM_FAIL(HM_ERR_ARG, "this trainer has failed before and can only be freed: make one that resumes from %s",
                t->options->output_dir);
    hm_turn_take(t->gpu);
    return HM_OK;
}

/* ... and ends with this. */
static hm_status finish(hm_trainer *t, hm_status st) {
    hm_turn_give(t->gpu);
    t->failed = st != HM_OK;
    return st;
}

static void report(hm_trainer *t, int64_t epoch, int64_t step_of_epoch) {
    const hm_training *const run = t->run;
    const hm_losses *const l = &run->losses;
    const hm_criterion *const c = hm_training_criterion(run);
    for (int i = 0; i < c->n_terms; i++)
        t->terms[i] =
            (hm_step_term){.name = c->terms[i].name, .value = l->terms[i], .weight = (double)c->terms[i].weight};
    t->step = (hm_step_report){.step = run->step,
                               .epoch = epoch,
                               .step_of_epoch = step_of_epoch,
                               .steps_of_epoch = hm_loader_batches(run->train_loader) / run->accumulate,
                               .epoch_done = step_of_epoch > 0 && hm_training_epoch_done(run),
                               .skipped = l->overflow,
                               .why = l->cause,
                               .loss = l->total,
                               .lr = hm_training_lr(run, l),
                               .grad_norm = l->grad_norm,
                               .loss_scale = l->scale_used,
                               .n_terms = (size_t)c->n_terms,
                               .terms = t->terms};
}

/* What came of the step just made, if the caller wants to know. */
static hm_status look(hm_trainer *t, int64_t step_of_epoch, const hm_step_report **out) {
    if (out == NULL)
        return HM_OK;
    HM_TRY(hm_training_look(t->run, 0));
    report(t, t->run->epoch, step_of_epoch);
    *out = &t->step;
    return HM_OK;
}

bool hm_trainer_done(const hm_trainer *t) {
    const hm_training *const run = t->run;
    const int64_t last = run->options->epochs - 1;
    return hm_training_ended(run) || (run->epoch == last && hm_training_epoch_done(run));
}

static hm_status step(hm_trainer *t, const hm_step_report **out) {
    if (hm_training_epoch_done(t->run))
        hm_training_next_epoch(t->run);
    HM_TRY(hm_training_step(t->run));
    return look(t, t->run->batch_of_epoch / t->run->accumulate, out);
}

hm_status hm_trainer_step(hm_trainer *t, const hm_step_report **out) {
    HM_PLAIN_NUMBERS;
    if (hm_trainer_done(t))
        HM_FAIL(HM_ERR_ARG, "the run has ended: all %d epochs are done, or early stopping has ended it",
                (int)t->options->epochs);
    HM_TRY(begin(t));
    return finish(t, step(t, out));
}

/* ---- the caller's images */

size_t hm_trainer_most_objects(const hm_trainer *t) {
    const int32_t most = hm_loader_targets(t->run->train_loader);
    return most > 0 ? (size_t)most : 1;
}

int32_t hm_trainer_classes(const hm_trainer *t) {
    return t->run->train.classes.n;
}

const char *hm_trainer_class_name(const hm_trainer *t, int32_t label) {
    return label >= 0 && label < t->run->train.classes.n ? t->run->train.classes.names[label] : NULL;
}

static hm_status step_on(hm_trainer *t, const hm_train_image *images, const hm_step_report **out) {
    const int32_t b = t->options->batch_size;
    for (int32_t k = 0; k < t->options->grad_accum_steps; k++) {
        HM_TRY(hm_caller_batch_fill(&t->batch, images + (size_t)k * (size_t)b, (int64_t)k * b));
        HM_TRY(hm_training_take(t->run, &t->batch));
    }
    return look(t, 0, out);
}

static hm_status make_batch(hm_trainer *t) {
    const int32_t side = t->run->config.resolution;
    if (t->batch.images != NULL)
        return HM_OK;
    return hm_batch_new(&t->batch, t->options->batch_size, (int32_t)hm_trainer_most_objects(t), side, side,
                        t->run->config.segmentation);
}

hm_status hm_trainer_step_on(hm_trainer *t, const hm_train_image *images, size_t n, const hm_step_report **out) {
    HM_PLAIN_NUMBERS;
    const size_t want = (size_t)t->options->batch_size * (size_t)t->options->grad_accum_steps;
    const hm_caller_limits limits = {
        .objects = hm_trainer_most_objects(t), .classes = hm_trainer_classes(t), .masks = t->run->config.segmentation};
    if (n != want)
        HM_FAIL(HM_ERR_ARG, "%zu images are not a step: batch_size %d times grad_accum_steps %d are %zu", n,
                (int)t->options->batch_size, (int)t->options->grad_accum_steps, want);
    HM_TRY(hm_caller_images_check(images, n, &limits));
    HM_TRY(make_batch(t));
    HM_TRY(begin(t));
    return finish(t, step_on(t, images, out));
}

/* ---- between steps */

hm_status hm_trainer_end_epoch(hm_trainer *t, const hm_epoch_report **out) {
    HM_PLAIN_NUMBERS;
    const hm_training *const run = t->run;
    if (run->epoch >= run->options->epochs || !hm_training_epoch_done(run))
        HM_FAIL(HM_ERR_ARG,
                "no epoch waits for its end: %lld of %d have ended, and the next has had %lld of %lld steps",
                (long long)run->epoch, (int)run->options->epochs, (long long)(run->batch_of_epoch / run->accumulate),
                (long long)(hm_loader_batches(run->train_loader) / run->accumulate));
    HM_TRY(begin(t));
    HM_TRY(finish(t, hm_training_end_epoch(t->run, &t->epoch)));
    if (out != NULL)
        *out = &t->epoch;
    return HM_OK;
}

static hm_status validate(hm_training *run) {
    HM_TRY(hm_training_look(run, 0));
    return hm_training_validate(run);
}

hm_status hm_trainer_validate(hm_trainer *t, const hm_scores **out) {
    HM_PLAIN_NUMBERS;
    HM_TRY(begin(t));
    HM_TRY(finish(t, validate(t->run)));
    if (out != NULL)
        *out = &t->run->scores;
    return HM_OK;
}

static hm_status save(hm_training *run, const char *path) {
    HM_TRY(hm_training_look(run, 0));
    return hm_training_save_weights(run, path);
}

/* Nothing is half done by a file that cannot be written. */
hm_status hm_trainer_save(hm_trainer *t, const char *path) {
    HM_PLAIN_NUMBERS;
    HM_TRY(begin(t));
    const hm_status st = save(t->run, path);
    hm_turn_give(t->gpu);
    return st;
}

static hm_status save_state(hm_training *run) {
    HM_TRY(hm_training_keep_state(run));
    return hm_training_saved(run);
}

hm_status hm_trainer_save_state(hm_trainer *t) {
    HM_PLAIN_NUMBERS;
    HM_TRY(begin(t));
    const hm_status st = save_state(t->run);
    hm_turn_give(t->gpu);
    return st;
}
