/* training_memory.c: a run's memory, held against its device's before anything is allocated. */
#include "train/training.h"

static hm_memory_request request_of(const hm_training *t) {
    const hm_train_options *const o = t->options;
    const bool wish = (o->eval_precision != NULL && o->eval_precision[0] != '\0') || o->fp16_eval;
    hm_memory_request r = {.config = t->config,
                           .multi_scale = o->multi_scale,
                           .expanded_scales = o->expanded_scales,
                           .step = hm_training_step_options(t, t->config.resolution),
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

/* "312 x 312", or "252 x 252 to 372 x 372". */
static void describe_sizes(const hm_training *t, char *out, size_t size) {
    const int first = t->sides[0], last = t->sides[t->n_sizes - 1];
    snprintf(out, size, t->n_sizes > 1 ? "%d x %d to %d x %d" : "%d x %d", first, first, last, last);
}

hm_status hm_training_plan_memory(hm_training *t) {
    const hm_memory_request r = request_of(t);
    const hm_step *steps[HM_SCALES_MOST];
    for (int i = 0; i < t->n_sizes; i++)
        steps[i] = t->sizes[i].graphs;
    HM_TRY(hm_memory_plan_built(&t->memory, &r, steps, t->n_sizes));
    return hm_memory_check(&t->memory, &r, (size_t)t->options->memory_limit << 20, t->memory_words,
                           sizeof t->memory_words);
}

void hm_training_tell_memory(const hm_training *t) {
    char sizes[64];
    describe_sizes(t, sizes, sizeof sizes);
    if (t->progress != NULL)
        hm_progress_note(t->progress, "%s at %s, batch %d, %s: %s", t->config.name, sizes, t->options->batch_size,
                         hm_precision_name(t->precision), t->memory_words);
}
