/* trainer.c: hm_train: from a data set on disk to weights on disk. An epoch is: batches from the loader into the step's
 * graph, a row of metrics now and then, a validation, the weights. What a step computes is train/step.c's. */
#include <math.h>

#include "base/plain_numbers.h"
#include "device/turn.h"
#include "train/training.h"

static hm_status after_step(hm_training *t) {
    const hm_losses *const losses = &t->losses;
    hm_progress_value values[8];
    if (t->progress != NULL && t->reading == t->epoch)
        hm_progress_step(t->progress, t->epoch + 1, t->batch_of_epoch, values, hm_training_brief(t, losses, values),
                         hm_progress_memory());
    if (!losses->overflow && t->step % HM_LOG_EVERY != 0)
        return HM_OK;
    HM_TRY(hm_training_record(t, losses));
    HM_TRY(hm_metrics_csv_write_row(t->csv));
    return losses->overflow ? hm_overflow_report(t, losses) : HM_OK;
}

hm_status hm_training_look(hm_training *t, int left) {
    while (t->runs - t->seen > left) {
        bool done;
        HM_TRY(hm_training_outcome(t, &done));
        if (done)
            HM_TRY(after_step(t));
    }
    return HM_OK;
}

hm_status hm_training_take(hm_training *t, const hm_batch *batch) {
    HM_TRY(hm_training_batch(t, batch));
    return hm_training_look(t, t->late);
}

hm_status hm_training_keep_state(hm_training *t) {
    HM_TRY(hm_training_look(t, 0));
    return hm_training_keep(t, HM_KEEP_STATE);
}

static bool stops(const hm_training *t) {
    return t->options->stop != NULL && __atomic_load_n(t->options->stop, __ATOMIC_RELAXED) != 0;
}

static bool is_due(const hm_training *t) {
    const int32_t every = t->options->checkpoint_steps;
    return every > 0 && t->runs > 0 && t->runs % ((int64_t)every * t->accumulate) == 0 && t->runs != t->state_last;
}

/* From t->batch_of_epoch on. */
static hm_status begin_epoch(hm_training *t) {
    HM_TRY(hm_loader_epoch(t->train_loader, t->epoch, t->batch_of_epoch));
    t->reading = t->epoch;
    if (t->progress != NULL)
        hm_progress_begin(t->progress, "train", t->options->epochs, hm_loader_batches(t->train_loader),
                          t->options->batch_size);
    return HM_OK;
}

bool hm_training_epoch_done(const hm_training *t) {
    return t->batch_of_epoch >= hm_loader_batches(t->train_loader);
}

hm_status hm_training_step(hm_training *t) {
    if (t->reading != t->epoch)
        HM_TRY(begin_epoch(t));
    if (is_due(t))
        HM_TRY(hm_training_keep_state(t));
    for (int i = 0; i < t->accumulate; i++, t->batch_of_epoch++) {
        const hm_batch *batch;
        HM_TRY(hm_loader_next(t->train_loader, &batch));
        if (batch == NULL)
            HM_FAIL(HM_ERR_INTERNAL, "epoch %lld ended after %lld batches", (long long)t->epoch,
                    (long long)t->batch_of_epoch);
        HM_TRY(hm_training_take(t, batch));
    }
    return hm_training_epoch_done(t) ? hm_training_look(t, 0) : HM_OK;
}

void hm_training_next_epoch(hm_training *t) {
    t->epoch++;
    t->batch_of_epoch = 0;
}

/* A validation can take longer than a system that shuts down waits, so the state is saved before it, too. */
static hm_status validate(hm_training *t, bool *validated) {
    const int64_t done = t->epoch + 1;
    *validated = done == t->options->epochs || done % t->options->eval_interval == 0;
    if (!*validated)
        return HM_OK;
    HM_TRY(hm_training_keep(t, HM_KEEP_STATE));
    return hm_training_validate(t);
}

hm_status hm_training_end_epoch(hm_training *t, hm_epoch_report *out) {
    *out = (hm_epoch_report){.epoch = t->epoch};
    HM_TRY(validate(t, &out->validated));
    hm_training_next_epoch(t);
    const bool archived = t->epoch % t->options->checkpoint_interval == 0;
    out->best = t->chosen.total_regular || t->chosen.total_ema;
    out->valid = t->scores;
    return hm_training_keep(t, HM_KEEP_STATE | HM_KEEP_LAST | HM_KEEP_BEST | (archived ? HM_KEEP_EPOCH : 0));
}

/* To the end, unless the run is to stop. */
static hm_status train(hm_training *t) {
    hm_epoch_report report;
    while (!hm_training_ended(t)) {
        while (!hm_training_epoch_done(t) && !stops(t))
            HM_TRY(hm_training_step(t));
        if (stops(t))
            return hm_training_keep_state(t);
        HM_TRY(hm_training_end_epoch(t, &report));
    }
    return HM_OK;
}

static hm_status run(hm_training *t, hm_train_result *result) {
    HM_TRY(train(t));
    HM_TRY(hm_training_saved(t));
    *result = (hm_train_result){.steps = t->step,
                                .stopped = !hm_training_ended(t),
                                .stopped_early = hm_training_stopped_early(t),
                                .best = hm_selection_best(&t->selection),
                                .test_ap = NAN,
                                .test_ap50 = NAN};
    if (!result->stopped)
        HM_TRY(hm_training_finish(t, result));
    result->seconds = hm_training_clock() - t->started;
    if (t->progress != NULL)
        hm_progress_end(t->progress);
    return HM_OK;
}

hm_status hm_train(const hm_train_options *options, FILE *log, hm_train_result *result) {
    HM_PLAIN_NUMBERS;
    hm_train_result own;
    hm_training *t = NULL;
    HM_GPU_TURN(options->device);
    hm_status st = hm_training_open(&t, options, log);
    if (st == HM_OK)
        st = run(t, result != NULL ? result : &own);
    hm_training_close(t);
    return st;
}
