/* training_record.c: what a run writes about itself: training_config.json and the rows of its steps. */
#include <cjson/cJSON.h>
#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "io/atomic.h"
#include "train/training.h"

double hm_training_clock(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

hm_status hm_training_path(const hm_training *t, const char *name, char **out) {
    const size_t room = strlen(t->options->output_dir) + strlen(name) + 2;
    HM_TRY(hm_alloc(out, room, 1));
    snprintf(*out, room, "%s/%s", t->options->output_dir, name);
    return HM_OK;
}

static cJSON *options_json(const hm_training *t) {
    const hm_train_options *const o = t->options;
    cJSON *const j = cJSON_CreateObject();
    cJSON_AddStringToObject(j, "halfmask", HM_VERSION);
    cJSON_AddStringToObject(j, "model", t->config.name);
    cJSON_AddStringToObject(j, "dataset_dir", o->dataset_dir);
    cJSON_AddStringToObject(j, "output_dir", o->output_dir);
    if (o->pretrain_weights != NULL)
        cJSON_AddStringToObject(j, "pretrain_weights", o->pretrain_weights);
    cJSON *const names = cJSON_AddArrayToObject(j, "class_names");
    for (int32_t i = 0; i < t->train.classes.n; i++)
        cJSON_AddItemToArray(names, cJSON_CreateString(t->train.classes.names[i]));
    cJSON_AddNumberToObject(j, "resolution", t->config.resolution);
    cJSON_AddStringToObject(j, "precision", hm_precision_name(t->precision));
    if (o->precision_override != NULL)
        cJSON_AddStringToObject(j, "precision_override", o->precision_override);
    cJSON_AddStringToObject(j, "lr_scheduler", o->lr_scheduler == 1 ? "cosine" : "step");
#define ADD(member) cJSON_AddNumberToObject(j, #member, (double)o->member)
    ADD(epochs), ADD(batch_size), ADD(grad_accum_steps), ADD(lr), ADD(lr_encoder), ADD(lr_vit_layer_decay);
    ADD(lr_component_decay), ADD(weight_decay), ADD(adamw_eps), ADD(clip_max_norm), ADD(warmup_epochs), ADD(lr_drop);
    ADD(lr_min_factor), ADD(ema_decay), ADD(ema_tau), ADD(seed), ADD(num_workers), ADD(eval_interval);
    ADD(eval_max_dets), ADD(threads), ADD(loss_scale), ADD(memory_limit);
#undef ADD
    cJSON_AddBoolToObject(j, "multi_scale", o->multi_scale);
    cJSON_AddBoolToObject(j, "expanded_scales", o->expanded_scales);
    cJSON_AddBoolToObject(j, "use_ema", o->use_ema);
    cJSON_AddBoolToObject(j, "scale_jitter", o->scale_jitter);
    cJSON_AddBoolToObject(j, "run_test", o->run_test);
    return j;
}

hm_status hm_training_write_config(const hm_training *t) {
    cJSON *const json = options_json(t);
    char *const text = cJSON_Print(json), *path = NULL;
    cJSON_Delete(json);
    if (text == NULL)
        HM_FAIL(HM_ERR_MEMORY, "no memory for training_config.json");
    hm_status st = hm_training_path(t, "training_config.json", &path);
    if (st == HM_OK)
        st = hm_file_write(path, text, strlen(text));
    free(path);
    cJSON_free(text);
    return st;
}

/* Length of a term's name without the suffix of its output ("_0", "_enc"). */
static size_t base_length(const char *name) {
    const char *const last = strrchr(name, '_');
    const bool suffixed = last != NULL && (isdigit((unsigned char)last[1]) || strcmp(last, "_enc") == 0);
    return suffixed ? (size_t)(last - name) : strlen(name);
}

/* Weighted terms of the other outputs are added up under "<term>_aux", as upstream's compact log does. */
static hm_status record_terms(hm_training *t, const hm_losses *losses) {
    const hm_criterion *const c = hm_training_criterion(t);
    for (int i = 0; i < c->n_terms; i++) {
        const size_t n = base_length(c->terms[i].name);
        const bool first = n == strlen(c->terms[i].name);
        char column[96];
        snprintf(column, sizeof column, "train/%s", c->terms[i].name);
        if (first || c->terms[i].weight == 0) {
            HM_TRY(hm_metrics_csv_set(t->csv, column, losses->terms[i]));
            continue;
        }
        double sum = 0;
        for (int k = 0; k < c->n_terms; k++)
            if (c->terms[k].name[n] == '_' && base_length(c->terms[k].name) == n &&
                strncmp(c->terms[k].name, c->terms[i].name, n) == 0)
                sum += losses->terms[k];
        snprintf(column, sizeof column, "train/%.*s_aux", (int)n, c->terms[i].name);
        HM_TRY(hm_metrics_csv_set(t->csv, column, sum));
    }
    return HM_OK;
}

hm_status hm_training_record(hm_training *t, int64_t epoch, const hm_losses *losses) {
    HM_TRY(hm_metrics_csv_set(t->csv, "epoch", (double)epoch));
    const int64_t step = losses->overflow ? t->step : t->step - 1; /* the one that was made or tried */
    HM_TRY(hm_metrics_csv_set(t->csv, "step", (double)step));
    HM_TRY(hm_metrics_csv_set(t->csv, "train/loss", losses->total));
    HM_TRY(hm_metrics_csv_set(t->csv, "train/lr", t->options->lr * hm_lr_factor(&t->schedule, step)));
    HM_TRY(hm_metrics_csv_set(t->csv, "train/grad_norm", losses->grad_norm));
    HM_TRY(hm_metrics_csv_set(t->csv, "train/loss_scale", losses->scale_next));
    HM_TRY(hm_metrics_csv_set(t->csv, "train/skipped_steps", (double)t->skipped));
    if (losses->overflow)
        HM_TRY(hm_metrics_csv_set_text(t->csv, "train/overflow", losses->cause));
    return record_terms(t, losses);
}

size_t hm_training_brief(const hm_training *t, const hm_losses *losses, hm_progress_value *values) {
    static const char *const names[][2] = {{"loss_ce", "ce"},
                                           {"loss_bbox", "bbox"},
                                           {"loss_giou", "giou"},
                                           {"loss_mask_ce", "mask_ce"},
                                           {"loss_mask_dice", "mask_dice"}};
    const hm_criterion *const c = hm_training_criterion(t);
    size_t n = 0;
    values[n++] = (hm_progress_value){"loss", losses->total};
    for (size_t k = 0; k < sizeof names / sizeof names[0]; k++)
        for (int i = 0; i < c->n_terms; i++)
            if (strcmp(c->terms[i].name, names[k][0]) == 0)
                values[n++] = (hm_progress_value){names[k][1], losses->terms[i]};
    if (hm_precision_half(t->precision) == HM_F16)
        values[n++] = (hm_progress_value){"scale", losses->scale_next};
    if (t->skipped > 0)
        values[n++] = (hm_progress_value){"skipped", (double)t->skipped};
    return n;
}
