/* training_open.c: everything that stands before the first batch: data, model, graphs, memory, weights. */
#include <errno.h>
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
    if (o->epochs < 1 || o->batch_size < 1 || o->grad_accum_steps < 1 || o->eval_interval < 1 ||
        o->checkpoint_interval < 1)
        HM_FAIL(HM_ERR_ARG,
                "epochs, batch_size, grad_accum_steps, eval_interval and checkpoint_interval must be at least 1");
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
                           .sides = t->sides,
                           .n_sides = t->n_sizes,
                           .masks = t->config.segmentation,
                           .train = true,
                           .augment = {.flip = true, .scale_jitter = o->scale_jitter},
                           .seed = (uint64_t)o->seed,
                           .threads = o->num_workers};
    HM_TRY(hm_loader_new(&t->train_loader, &t->train, &l));
    l.train = false;
    l.n_sides = 0;
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
    if (o->num_queries > 0)
        t->config.num_queries = o->num_queries;
    if (o->group_detr > 0)
        t->config.group_detr = o->group_detr;
    HM_TRY(hm_model_check_size(&t->config, t->config.resolution, t->config.resolution));
    hm_training_choose_sizes(t);
    return HM_OK;
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

static hm_status open_output(hm_training *t) {
    static const char *const columns[] = {"epoch", "step", "train/loss", "train/lr"};
    char *path = NULL;
    const bool goes_on = t->state_last >= 0;
    HM_TRY(hm_training_write_config(t));
    HM_TRY(hm_training_path(t, "metrics.csv", &path));
    const hm_status st = hm_metrics_csv_open(&t->csv, path, columns, 4, goes_on ? t->rows : -1);
    free(path);
    return st;
}

/* What was recorded before the break: "audit_until_<step>.csv". */
static hm_status set_aside(const hm_training *t, const char *path) {
    char name[64], *aside = NULL;
    snprintf(name, sizeof name, "audit_until_%lld.csv", (long long)t->step);
    HM_TRY(hm_training_path(t, name, &aside));
    const bool moved = rename(path, aside) == 0 || errno == ENOENT;
    const hm_status st = moved ? HM_OK : hm_fail(HM_ERR_IO, "cannot rename %s: %s", path, strerror(errno));
    free(aside);
    return st;
}

static hm_status open_audit(hm_training *t) {
    const hm_graph *graphs[HM_SCALES_MOST];
    char *path = NULL;
    for (int i = 0; i < t->n_sizes; i++)
        graphs[i] = t->sizes[i].graphs->graph;
    HM_TRY(hm_training_path(t, HM_AUDIT_FILE, &path));
    hm_status st = t->state_last >= 0 ? set_aside(t, path) : HM_OK;
    if (st == HM_OK)
        st = hm_audit_begin(&t->audit, path, graphs, t->n_sizes);
    free(path);
    return st;
}

/* Of a run that does not go on from a state. */
static hm_status start_weights(hm_training *t) {
    const hm_train_options *const o = t->options;
    char words[HM_WEIGHTS_WORDS] = "";
    HM_TRY(hm_weights_start(t->store, &t->config, t->precision, (uint64_t)o->seed, o->pretrain_weights, words));
    if (t->progress != NULL && words[0] != '\0')
        hm_progress_note(t->progress, "%s", words);
    return HM_OK;
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
    HM_TRY(hm_training_build(t));
    HM_TRY(hm_training_plan_memory(t));
    HM_TRY(hm_training_make_store(t));
    HM_TRY(hm_make_dirs(t->options->output_dir));
    if (t->options->resume != NULL)
        HM_TRY(hm_training_resume(t));
    if (t->state_last < 0)
        HM_TRY(start_weights(t));
    hm_training_tell_memory(t);
    HM_TRY(hm_training_make_executors(t));
    HM_TRY(make_detectors(t));
    HM_TRY(open_output(t));
    return t->options->audit > 0 ? open_audit(t) : HM_OK;
}

hm_status hm_training_open(hm_training **out, const hm_train_options *options, FILE *log) {
    *out = NULL;
    hm_training *t = NULL;
    HM_TRY(hm_alloc(&t, 1, sizeof *t));
    t->options = options;
    t->reading = -1;
    t->selection = hm_selection_begin();
    t->state_last = t->state_before = -1;
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
    hm_background_free(t->writer);
    hm_store_free(t->kept);
    hm_loader_free(t->train_loader);
    hm_loader_free(t->valid_loader);
    hm_dataset_free(&t->train);
    hm_dataset_free(&t->valid);
    for (int i = 0; i < HM_EVAL_PRECISIONS; i++)
        hm_detector_free(t->detectors[i]);
    hm_exec_free(t->update);
    hm_training_free_sizes(t);
    hm_arena_free(t->arena);
    hm_store_free(t->judged);
    hm_store_free(t->store);
    hm_metrics_csv_free(t->csv);
    hm_audit_end(t->audit);
    hm_progress_free(t->progress);
    free(t);
}
