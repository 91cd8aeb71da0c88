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
#include "train/options.h"
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

static void add_setting(void *json, const hm_setting *s, const char *value) {
    if (s->type == HM_SETTING_BOOL)
        cJSON_AddBoolToObject(json, s->name, strcmp(value, "true") == 0);
    else if (s->type == HM_SETTING_STRING || s->type == HM_SETTING_ENUM)
        cJSON_AddStringToObject(json, s->name, value);
    else
        cJSON_AddRawToObject(json, s->name, value);
}

static void replace_text(cJSON *json, const char *name, const char *value) {
    cJSON_ReplaceItemInObjectCaseSensitive(json, name, cJSON_CreateString(value));
}

static void replace_number(cJSON *json, const char *name, double value) {
    cJSON_ReplaceItemInObjectCaseSensitive(json, name, cJSON_CreateNumber(value));
}

/* Every setting, as it was understood, and what it was applied to; `resume` reads it again. */
static cJSON *options_json(const hm_training *t) {
    cJSON *const j = cJSON_CreateObject();
    cJSON_AddStringToObject(j, "halfmask", HM_VERSION);
    hm_options_each(HM_COMMAND_TRAIN, t->options, add_setting, j);
    cJSON_DeleteItemFromObjectCaseSensitive(j, "resume");
    replace_text(j, "model", t->config.name);
    replace_text(j, "precision", hm_precision_name(t->precision));
    replace_number(j, "resolution", t->config.resolution);
    replace_number(j, "num_queries", t->config.num_queries);
    replace_number(j, "group_detr", t->config.group_detr);
    cJSON *const names = cJSON_AddArrayToObject(j, "class_names");
    for (int32_t i = 0; i < t->train.classes.n; i++)
        cJSON_AddItemToArray(names, cJSON_CreateString(t->train.classes.names[i]));
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

/* Index of the step that was made or tried. */
static int64_t step_of(const hm_training *t, const hm_losses *losses) {
    return losses->overflow ? t->step : t->step - 1;
}

double hm_training_lr(const hm_training *t, const hm_losses *losses) {
    return t->options->lr * hm_lr_factor(&t->schedule, step_of(t, losses));
}

hm_status hm_training_record(hm_training *t, const hm_losses *losses) {
    HM_TRY(hm_metrics_csv_set(t->csv, "epoch", (double)t->epoch));
    HM_TRY(hm_metrics_csv_set(t->csv, "step", (double)step_of(t, losses)));
    HM_TRY(hm_metrics_csv_set(t->csv, "train/loss", losses->total));
    HM_TRY(hm_metrics_csv_set(t->csv, "train/lr", hm_training_lr(t, losses)));
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
