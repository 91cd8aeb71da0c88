/* training_sizes.c: a graph and an executor for every input size of a run, all made before the first batch. They share
 * parameters and states, and one arena, since only one of them runs at a time. */
#include <stdlib.h>
#include <unistd.h>

#include "train/training.h"

void hm_training_choose_sizes(hm_training *t) {
    t->sides[0] = t->config.resolution;
    t->n_sizes = t->options->multi_scale ? hm_scales(&t->config, t->options->expanded_scales, t->sides) : 1;
}

/* ---- graphs */

/* Only fp16's range is so small that gradients need one. */
static hm_loss_scale loss_scale(const hm_training *t) {
    hm_loss_scale s = hm_loss_scale_defaults();
    s.dynamic = hm_precision_half(t->precision) == HM_F16;
    s.initial = s.dynamic ? t->options->loss_scale : 1;
    return s;
}

static hm_step_options step_options(const hm_training *t, int32_t side) {
    const hm_train_options *const o = t->options;
    const int64_t T = hm_loader_targets(t->train_loader);
    return (hm_step_options){.model = {.batch = o->batch_size, .height = side, .width = side, .training = true},
                             .targets = T > 0 ? T : 1,
                             .criterion = hm_criterion_defaults(),
                             .optim = {.lr = o->lr,
                                       .lr_encoder = o->lr_encoder,
                                       .lr_vit_layer_decay = o->lr_vit_layer_decay,
                                       .lr_component_decay = o->lr_component_decay,
                                       .weight_decay = o->weight_decay,
                                       .beta1 = 0.9,
                                       .beta2 = 0.999,
                                       .eps = o->adamw_eps,
                                       .clip_max_norm = (float)o->clip_max_norm,
                                       .ema = o->use_ema,
                                       .fused = o->fused_optimizer,
                                       .schedules = {t->schedule, o->ema_decay, o->ema_tau},
                                       .loss_scale = loss_scale(t)},
                             .precision = t->precision,
                             .precision_override = o->precision_override,
                             .accumulate = o->grad_accum_steps > 1};
}

hm_status hm_training_build(hm_training *t) {
    t->first_scale = loss_scale(t).initial;
    HM_TRY(hm_store_create(&t->store));
    for (int i = 0; i < t->n_sizes; i++) {
        const hm_step_options o = step_options(t, t->sides[i]);
        HM_TRY(hm_step_build(&t->sizes[i].graphs, &t->config, &o));
        HM_TRY(hm_store_add(t->store, t->sizes[i].graphs->graph));
    }
    hm_graph *const update = t->sizes[0].graphs->update;
    return update != NULL ? hm_store_add(t->store, update) : HM_OK;
}

/* ---- memory */

/* Bytes that the device has for a run, and its name in a sentence. */
static hm_status device_memory(const hm_training *t, double *bytes, char *name, size_t size) {
    hm_cuda_about gpu;
    if (t->device == HM_DEVICE_CPU) {
        *bytes = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
        snprintf(name, size, "this machine");
        return HM_OK;
    }
    HM_TRY(hm_cuda_describe(&gpu));
    *bytes = (double)gpu.free;
    snprintf(name, size, "the GPU (%s)", gpu.name);
    return HM_OK;
}

/* What the hungriest of all sizes needs. */
static hm_status plan_all(const hm_training *t, const hm_exec_options *eo, size_t *bytes, size_t *inputs) {
    *bytes = *inputs = 0;
    for (int i = 0; i < t->n_sizes; i++) {
        hm_plan plan;
        HM_TRY(hm_plan_make(&plan, t->sizes[i].graphs->graph, eo));
        *bytes = plan.bytes > *bytes ? plan.bytes : *bytes;
        *inputs = plan.inputs > *inputs ? plan.inputs : *inputs;
        hm_plan_free(&plan);
    }
    return HM_OK;
}

/* "312 x 312", or "252 x 252 to 372 x 372". */
static void describe_sizes(const hm_training *t, char *out, size_t size) {
    const int first = t->sides[0], last = t->sides[t->n_sizes - 1];
    snprintf(out, size, t->n_sizes > 1 ? "%d x %d to %d x %d" : "%d x %d", first, first, last, last);
}

/* The planned peak, held against the device's memory before anything is allocated. */
static hm_status check_memory(const hm_training *t, size_t bytes) {
    const double arena = (double)bytes, store = (double)hm_store_bytes(t->store), MiB = 1024.0 * 1024.0;
    char name[160], sizes[64];
    double there;
    HM_TRY(device_memory(t, &there, name, sizeof name));
    describe_sizes(t, sizes, sizeof sizes);
    if (t->progress != NULL)
        hm_progress_note(t->progress,
                         "%s at %s, batch %d, %s on %s: weights, moments and averages %.1f MiB, one step %.1f MiB",
                         t->config.name, sizes, t->options->batch_size, hm_precision_name(t->precision), name,
                         store / MiB, arena / MiB);
    if (arena + store > there)
        HM_FAIL(HM_ERR_MEMORY,
                "training at %s needs %.0f MiB and %s has %.0f: a smaller batch_size (with more grad_accum_steps), "
                "resolution or model would fit%s",
                sizes, (arena + store) / MiB, name, there / MiB,
                t->n_sizes > 1 ? ", or one size (multi_scale false)" : "");
    return HM_OK;
}

/* ---- executors */

hm_status hm_training_make_executors(hm_training *t) {
    hm_exec_options eo = hm_exec_defaults();
    hm_graph *const update = t->sizes[0].graphs->update; /* every size has the same */
    size_t bytes, inputs;
    if (t->options->threads > 0)
        eo.threads = t->options->threads;
    eo.device = t->device;
    eo.deterministic = t->options->deterministic;
    eo.tf32 = hm_precision_half(t->precision) != HM_F32;
    HM_TRY(plan_all(t, &eo, &bytes, &inputs));
    HM_TRY(check_memory(t, bytes));
    if (update != NULL)
        HM_TRY(hm_exec_create(&t->update, update, t->store, &eo));
    HM_TRY(hm_arena_create(&t->arena, t->device, bytes, inputs));
    eo.arena = t->arena;
    for (int i = 0; i < t->n_sizes; i++)
        HM_TRY(hm_exec_create(&t->sizes[i].exec, t->sizes[i].graphs->graph, t->store, &eo));
    return hm_training_watch(t);
}

void hm_training_free_sizes(hm_training *t) {
    for (int i = 0; i < t->n_sizes; i++) {
        hm_exec_free(t->sizes[i].exec);
        hm_step_free(t->sizes[i].graphs);
    }
}
