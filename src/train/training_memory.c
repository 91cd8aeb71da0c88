/* training_memory.c: a run's memory, held against its device's before anything is allocated. */
#include <math.h>

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

/* Bytes that the run may need, and in words: "the GPU (NVIDIA H100) has 4000 MiB free". */
static hm_status allowance(const hm_training *t, size_t *bytes, char *words, size_t size) {
    const size_t limit = (size_t)t->options->memory_limit << 20;
    hm_room room;
    HM_TRY(hm_device_room(t->device, &room));
    const bool limited = limit > 0 && limit < room.free;
    *bytes = limited ? limit : room.free;
    if (limited)
        snprintf(words, size, "memory_limit allows %zu MiB of %s", limit >> 20, room.name);
    else
        snprintf(words, size, "%s has %zu MiB free", room.name, room.free >> 20);
    return HM_OK;
}

hm_status hm_training_plan_memory(hm_training *t) {
    const hm_memory_request r = request_of(t);
    char there[224], parts[320], nearest[400];
    size_t most;
    HM_TRY(hm_memory_plan(&t->memory, &r, NULL));
    HM_TRY(allowance(t, &most, there, sizeof there));
    hm_memory_text(&t->memory, parts, sizeof parts);
    const double need = ceil((double)hm_memory_total(&t->memory) / 0x1p20);
    if (hm_memory_total(&t->memory) > most) {
        hm_memory_nearest(&r, most, nearest, sizeof nearest);
        HM_FAIL(HM_ERR_MEMORY, "training needs %.0f MiB (%s) and %s; %s", need, parts, there, nearest);
    }
    if (t->progress != NULL)
        hm_progress_note(t->progress, "%s at %d x %d, batch %d, %s: %.0f MiB planned (%s); %s", t->config.name,
                         t->config.resolution, t->config.resolution, t->options->batch_size,
                         hm_precision_name(t->precision), need, parts, there);
    return HM_OK;
}
