/* options_run.c: the options of a run that is gone on with, from its training_config.json. */
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/plain_numbers.h"
#include "io/atomic.h"
#include "train/options.h"

enum { MAX_CONFIG = 1 << 24 };

/* *out = the folder itself, or the one that the file lies in. */
static hm_status folder_of(char **out, const char *run) {
    struct stat info;
    HM_TRY(hm_strdup(out, run));
    if (stat(run, &info) != 0 || S_ISDIR(info.st_mode))
        return HM_OK;
    char *const slash = strrchr(*out, '/');
    if (slash != NULL) {
        *slash = '\0';
        return HM_OK;
    }
    free(*out);
    return hm_strdup(out, ".");
}

/* What is no setting (class names, the version) is passed over. */
static hm_status take(hm_train_options *o, const cJSON *item, const char *path) {
    char number[40];
    const char *value = cJSON_GetStringValue(item);
    if (cJSON_IsBool(item))
        value = cJSON_IsTrue(item) ? "true" : "false";
    if (cJSON_IsNumber(item)) {
        snprintf(number, sizeof number, "%.17g", cJSON_GetNumberValue(item));
        value = number;
    }
    if (value == NULL || !hm_options_has(HM_COMMAND_TRAIN, item->string))
        return HM_OK;
    return hm_options_set(HM_COMMAND_TRAIN, o, item->string, value, path);
}

static hm_status take_all(hm_train_options *o, const char *path) {
    char *text = NULL;
    size_t len;
    const cJSON *item;
    HM_TRY(hm_file_read(path, MAX_CONFIG, &text, &len));
    cJSON *const json = cJSON_ParseWithLength(text, len);
    hm_status st = cJSON_IsObject(json) ? HM_OK : hm_fail(HM_ERR_FORMAT, "%s is no JSON object of settings", path);
    cJSON_ArrayForEach(item, json) {
        if (st == HM_OK)
            st = take(o, item, path);
    }
    cJSON_Delete(json);
    free(text);
    return st;
}

hm_status hm_options_load_run(hm_train_options *options, const char *run) {
    HM_PLAIN_NUMBERS;
    char *folder = NULL, *path = NULL;
    HM_TRY(folder_of(&folder, run));
    const size_t room = strlen(folder) + sizeof "/training_config.json";
    hm_status st = hm_alloc(&path, room, 1);
    if (st == HM_OK) {
        snprintf(path, room, "%s/training_config.json", folder);
        if (access(path, F_OK) == 0)
            st = take_all(options, path);
    }
    if (st == HM_OK)
        st = hm_options_set(HM_COMMAND_TRAIN, options, "output_dir", folder, NULL);
    free(path);
    free(folder);
    return st;
}
