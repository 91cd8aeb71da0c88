/* training_memory.c: a run's memory, held against its device's before anything is allocated. */
#include "train/training.h"

static hm_memory_request request_of(const hm_training *t) {
    const hm_train_options *const o = t->options;
    const bool wish = (o->eval_precision != NULL && o->eval_precision[0] != '\0') || o->fp16_eval;
    hm_memory_request r = {.config = t->config,
                           .step = hm_training_step_options(t),
                           .grad_accum_steps = o->grad_accum_steps,
                           .device = t->device,
                           .threads = o->threads,
                           .n_judged = t->n_detectors,
                           .judged_follows = !wish,
                           .valid_targets = hm_loader_targets(t->valid_loader)};
    for (int i = 0; i < t->n_detectors; i++)
        r.judged_in[i] = t->judged_in[i];
    return r;
}

hm_status hm_training_plan_memory(hm_training *t) {
    const hm_memory_request r = request_of(t);
    char words[640];
    HM_TRY(hm_memory_plan(&t->memory, &r, NULL));
    HM_TRY(hm_memory_check(&t->memory, &r, (size_t)t->options->memory_limit << 20, words, sizeof words));
    if (t->progress != NULL)
        hm_progress_note(t->progress, "%s at %d x %d, batch %d, %s: %s", t->config.name, t->config.resolution,
                         t->config.resolution, t->options->batch_size, hm_precision_name(t->precision), words);
    return HM_OK;
}
