/* trainer.c: hm_train: from a data set on disk to weights on disk. An epoch is: batches from the loader into the step's
 * graph, a row of metrics now and then, a validation, the weights. What a step computes is train/step.c's. */
#include "train/training.h"

static hm_status after_step(hm_training *t, int64_t epoch) {
    const hm_losses *const losses = &t->losses;
    hm_progress_value values[8];
    if (t->progress != NULL)
        hm_progress_step(t->progress, epoch + 1, t->batch_of_epoch, values, hm_training_brief(t, losses, values),
                         hm_progress_memory());
    if (!losses->overflow && t->step % HM_LOG_EVERY != 0)
        return HM_OK;
    HM_TRY(hm_training_record(t, epoch, losses));
    HM_TRY(hm_metrics_csv_write_row(t->csv));
    return losses->overflow ? hm_overflow_report(t, losses) : HM_OK;
}

/* Looks at outcomes until no more than `left` are open. */
static hm_status look(hm_training *t, int64_t epoch, int left) {
    while (t->runs - t->seen > left) {
        bool done;
        HM_TRY(hm_training_outcome(t, &done));
        if (done)
            HM_TRY(after_step(t, epoch));
    }
    return HM_OK;
}

static hm_status train_epoch(hm_training *t, int64_t epoch) {
    HM_TRY(hm_loader_epoch(t->train_loader, epoch, 0));
    if (t->progress != NULL)
        hm_progress_begin(t->progress, "train", t->options->epochs, hm_loader_batches(t->train_loader),
                          t->options->batch_size);
    for (t->batch_of_epoch = 0;; t->batch_of_epoch++) {
        const hm_batch *batch;
        HM_TRY(hm_loader_next(t->train_loader, &batch));
        if (batch == NULL)
            return look(t, epoch, 0);
        HM_TRY(hm_training_batch(t, batch));
        HM_TRY(look(t, epoch, t->late));
    }
}

static hm_status run(hm_training *t, hm_train_result *result) {
    const int64_t epochs = t->options->epochs;
    for (int64_t epoch = 0; epoch < epochs; epoch++) {
        HM_TRY(train_epoch(t, epoch));
        if (epoch + 1 == epochs || (epoch + 1) % t->options->eval_interval == 0)
            HM_TRY(hm_training_validate(t, epoch));
        HM_TRY(hm_training_save(t, HM_LAST));
    }
    return hm_training_finish(t, result);
}

hm_status hm_train(const hm_train_options *options, FILE *log, hm_train_result *result) {
    hm_train_result own;
    hm_training *t = NULL;
    hm_status st = hm_training_open(&t, options, log);
    if (st == HM_OK)
        st = run(t, result != NULL ? result : &own);
    hm_training_close(t);
    return st;
}
