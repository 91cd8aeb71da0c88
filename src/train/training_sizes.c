/* training_sizes.c: a graph and an executor for every input size of a run, all made before the first batch. They share
 * parameters and states, and one arena, since only one of them runs at a time. */
#include "train/training.h"

void hm_training_choose_sizes(hm_training *t) {
    t->n_sizes = hm_scales_of_run(&t->config, t->options->multi_scale, t->options->expanded_scales, t->sides);
}

/* ---- graphs */

/* Only fp16's range is so small that gradients need one. */
static hm_loss_scale loss_scale(const hm_training *t) {
    hm_loss_scale s = hm_loss_scale_defaults();
    s.dynamic = hm_precision_half(t->precision) == HM_F16;
    s.initial = s.dynamic ? t->options->loss_scale : 1;
    return s;
}

hm_step_options hm_training_step_options(const hm_training *t, int32_t side) {
    const hm_train_options *const o = t->options;
    const int64_t T = hm_loader_targets(t->train_loader);
    return (hm_step_options){.model = {.batch = o->batch_size,
                                       .height = side,
                                       .width = side,
                                       .training = true,
                                       .freeze_encoder = o->freeze_encoder,
                                       .drop_path = o->drop_path},
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
    for (int i = 0; i < t->n_sizes; i++) {
        const hm_step_options o = hm_training_step_options(t, t->sides[i]);
        HM_TRY(hm_step_build(&t->sizes[i].graphs, &t->config, &o));
    }
    return HM_OK;
}

hm_status hm_training_make_store(hm_training *t) {
    HM_TRY(hm_store_create(&t->store));
    for (int i = 0; i < t->n_sizes; i++)
        HM_TRY(hm_store_add(t->store, t->sizes[i].graphs->graph));
    hm_graph *const update = t->sizes[0].graphs->update;
    return update != NULL ? hm_store_add(t->store, update) : HM_OK;
}

/* ---- executors */

hm_status hm_training_make_executors(hm_training *t) {
    hm_exec_options eo = hm_exec_defaults();
    hm_graph *const update = t->sizes[0].graphs->update; /* every size has the same */
    if (t->options->threads > 0)
        eo.threads = t->options->threads;
    eo.device = t->device;
    eo.deterministic = t->options->deterministic;
    eo.tf32 = hm_precision_tf32(t->precision);
    if (update != NULL)
        HM_TRY(hm_exec_create(&t->update, update, t->store, &eo));
    HM_TRY(hm_arena_create(&t->arena, t->device, t->memory.batch, t->memory.inputs_of_run));
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
