/* training_open.c: everything that stands before the first batch: data, model, graphs, memory, weights. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/atomic.h"
#include "train/training.h"
#include "weights/weights.h"

static hm_status check(const hm_train_options *o) {
    if (o->dataset_dir == NULL)
        HM_FAIL(HM_ERR_ARG, "no data set is given: name the folder that holds train/ and valid/");
    if (o->epochs < 1 || o->batch_size < 1 || o->grad_accum_steps < 1 || o->eval_interval < 1)
        HM_FAIL(HM_ERR_ARG, "epochs, batch_size, grad_accum_steps and eval_interval must be at least 1");
    return HM_OK;
}

static hm_status open_data(hm_training *t) {
    const hm_train_options *const o = t->options;
    HM_TRY(hm_dataset_open(&t->train, o->dataset_dir, "train", NULL));
    HM_TRY(hm_dataset_open(&t->valid, o->dataset_dir, "valid", &t->train.classes));
    hm_loader_options l = {.batch = o->batch_size,
                           .accumulate = o->grad_accum_steps,
                           .h = t->config.resolution,
                           .w = t->config.resolution,
                           .masks = t->config.segmentation,
                           .train = true,
                           .augment = {.flip = true, .scale_jitter = o->scale_jitter},
                           .seed = (uint64_t)o->seed,
                           .threads = o->num_workers};
    HM_TRY(hm_loader_new(&t->train_loader, &t->train, &l));
    l.train = false;
    l.accumulate = 1;
    l.masks = false;
    return hm_loader_new(&t->valid_loader, &t->valid, &l);
}

static hm_status choose_model(hm_training *t) {
    const hm_train_options *const o = t->options;
    HM_TRY(hm_device_choose(o->device, &t->device));
    t->late = t->device == HM_DEVICE_CUDA ? HM_LATE_MOST - 1 : 0;
    t->precision = o->amp ? hm_precision_resolve(o->precision, t->device) : HM_PRECISION_FP32;
    HM_TRY(hm_precision_check(t->precision, t->device));
    HM_TRY(hm_model_config_named(o->model, &t->config));
    if (o->resolution > 0)
        t->config.resolution = o->resolution;
    return hm_model_check_size(&t->config, t->config.resolution, t->config.resolution);
}

static void make_schedule(hm_training *t) {
    const hm_train_options *const o = t->options;
    const int64_t steps = hm_loader_batches(t->train_loader) / o->grad_accum_steps;
    t->accumulate = o->grad_accum_steps;
    t->schedule = (hm_schedule){.cosine = o->lr_scheduler == 1,
                                .warmup = (int64_t)(o->warmup_epochs * (double)steps),
                                .drop = o->lr_drop * steps,
                                .total = o->epochs * steps,
                                .min_factor = o->lr_min_factor};
}

/* Only fp16's range is so small that gradients need one. */
static hm_loss_scale loss_scale(const hm_training *t) {
    hm_loss_scale s = hm_loss_scale_defaults();
    s.dynamic = hm_precision_half(t->precision) == HM_F16;
    s.initial = s.dynamic ? t->options->loss_scale : 1;
    return s;
}

hm_step_options hm_training_step_options(const hm_training *t) {
    const hm_train_options *const o = t->options;
    const int64_t T = hm_loader_targets(t->train_loader);
    return (hm_step_options){.model = {.batch = o->batch_size,
                                       .height = t->config.resolution,
                                       .width = t->config.resolution,
                                       .training = true},
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

static hm_status build_graphs(hm_training *t) {
    const hm_step_options s = hm_training_step_options(t);
    HM_TRY(hm_step_build(&t->graphs, &t->config, &s));
    HM_TRY(hm_store_create(&t->store));
    HM_TRY(hm_store_add(t->store, t->graphs->graph));
    if (t->graphs->update != NULL)
        HM_TRY(hm_store_add(t->store, t->graphs->update));
    return HM_OK;
}

/* "fp32,bf16" into judged_in. */
static hm_status parse_eval_precision(hm_training *t, const char *text) {
    while (*text != '\0') {
        const size_t len = strcspn(text, ",");
        char name[16];
        hm_precision p;
        snprintf(name, sizeof name, "%.*s", (int)len, text);
        if (len >= sizeof name || !hm_precision_named(name, &p) || p > HM_PRECISION_FP16)
            HM_FAIL(HM_ERR_ARG,
                    "eval_precision \"%.40s\" is not understood: give one or more of fp32, bf16 and fp16, "
                    "with commas between them",
                    t->options->eval_precision);
        for (int i = 0; i < t->n_detectors; i++)
            if (t->judged_in[i] == p)
                HM_FAIL(HM_ERR_ARG, "eval_precision names %s twice", name);
        t->judged_in[t->n_detectors++] = p;
        text += len + (text[len] == ',');
    }
    return HM_OK;
}

/* Without a wish: the format in which training computes. */
static hm_status choose_eval_precision(hm_training *t) {
    if (t->options->eval_precision != NULL && t->options->eval_precision[0] != '\0')
        return parse_eval_precision(t, t->options->eval_precision);
    t->judged_in[t->n_detectors++] = t->options->fp16_eval ? HM_PRECISION_FP16 : hm_memory_judged_in(t->precision);
    return HM_OK;
}

static hm_status make_detectors(hm_training *t) {
    if (t->options->use_ema || hm_precision_true(t->precision))
        HM_TRY(hm_store_create(&t->judged));
    for (int i = 0; i < t->n_detectors; i++) {
        const hm_detector_options d = {.batch = t->options->batch_size,
                                       .threads = t->options->threads,
                                       .precision = t->judged_in[i],
                                       .device = t->device};
        HM_TRY(hm_detector_new(&t->detectors[i], &t->config, t->judged != NULL ? t->judged : t->store, &d));
    }
    return HM_OK;
}

static hm_status make_executors(hm_training *t) {
    hm_exec_options eo = hm_exec_defaults();
    if (t->options->threads > 0)
        eo.threads = t->options->threads;
    eo.device = t->device;
    eo.deterministic = t->options->deterministic;
    eo.tf32 = hm_precision_half(t->precision) != HM_F32;
    HM_TRY(hm_exec_create(&t->exec, t->graphs->graph, t->store, &eo));
    if (t->graphs->update != NULL)
        HM_TRY(hm_exec_create(&t->update, t->graphs->update, t->store, &eo));
    HM_TRY(hm_training_watch(t));
    return make_detectors(t);
}

static hm_status open_output(hm_training *t) {
    static const char *const columns[] = {"epoch", "step", "train/loss", "train/lr"};
    char *path = NULL;
    HM_TRY(hm_make_dirs(t->options->output_dir));
    HM_TRY(hm_training_write_config(t));
    HM_TRY(hm_training_path(t, "metrics.csv", &path));
    const hm_status st = hm_metrics_csv_open(&t->csv, path, columns, 4, -1);
    free(path);
    return st;
}

static hm_status open_audit(hm_training *t) {
    char *path = NULL;
    HM_TRY(hm_training_path(t, HM_AUDIT_FILE, &path));
    const hm_status st = hm_audit_begin(&t->audit, path, t->graphs->graph);
    free(path);
    return st;
}

static hm_status start_weights(const hm_training *t, hm_store *store) {
    HM_TRY(hm_model_init(&t->config, store, (uint64_t)t->options->seed));
    const char *const path = t->options->pretrain_weights;
    return path != NULL ? hm_weights_pretrain(path, &t->config, store) : HM_OK;
}

/* Half weights are made in fp32 and rounded once. */
static hm_status fill_weights(hm_training *t) {
    hm_store *full = NULL;
    if (!hm_precision_true(t->precision))
        return start_weights(t, t->store);
    hm_status st = hm_weights_store(&full, &t->config);
    if (st == HM_OK)
        st = start_weights(t, full);
    if (st == HM_OK)
        st = hm_store_copy(t->store, full);
    hm_store_free(full);
    return st;
}

static hm_status open_all(hm_training *t, FILE *log) {
    HM_TRY(check(t->options));
    if (log != NULL)
        HM_TRY(hm_progress_new(&t->progress, log, 50));
    HM_TRY(choose_model(t));
    HM_TRY(open_data(t));
    t->config.num_classes = t->train.classes.n;
    make_schedule(t);
    HM_TRY(choose_eval_precision(t));
    HM_TRY(hm_training_plan_memory(t));
    HM_TRY(build_graphs(t));
    t->first_scale = loss_scale(t).initial;
    HM_TRY(fill_weights(t));
    HM_TRY(make_executors(t));
    HM_TRY(open_output(t));
    return t->options->audit > 0 ? open_audit(t) : HM_OK;
}

hm_status hm_training_open(hm_training **out, const hm_train_options *options, FILE *log) {
    *out = NULL;
    hm_training *t = NULL;
    HM_TRY(hm_alloc(&t, 1, sizeof *t));
    t->options = options;
    t->best = NAN;
    t->started = hm_training_clock();
    const hm_status st = open_all(t, log);
    if (st != HM_OK) {
        hm_training_close(t);
        return st;
    }
    *out = t;
    return HM_OK;
}

void hm_training_close(hm_training *t) {
    if (t == NULL)
        return;
    hm_loader_free(t->train_loader);
    hm_loader_free(t->valid_loader);
    hm_dataset_free(&t->train);
    hm_dataset_free(&t->valid);
    for (int i = 0; i < HM_EVAL_PRECISIONS; i++)
        hm_detector_free(t->detectors[i]);
    hm_exec_free(t->exec);
    hm_exec_free(t->update);
    hm_store_free(t->judged);
    hm_store_free(t->store);
    hm_step_free(t->graphs);
    hm_metrics_csv_free(t->csv);
    hm_audit_end(t->audit);
    hm_progress_free(t->progress);
    free(t);
}
