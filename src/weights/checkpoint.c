/* checkpoint.c: finds the state dict and what is known of the model. Layouts: rfdetr/models/weights.py
 * (load_pretrain_weights), rfdetr/training/callbacks/best_model.py, rfdetr/training/checkpoint.py. */
#include "weights/checkpoint.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "weights/upstream_names.h"

/* Bytes of a tensor's name and of all classes' names: texts in a pickle may be referred to without end. */
enum { LONGEST_NAME = 512, MOST_CLASS_TEXT = 1 << 20 };

typedef struct found {
    const hm_pickle_value *dict;
    const char *layout;
    const char *prefix; /* only what begins with it is taken; "" for all */
} found;

/* ---- where the weights are ---- */

/* A dict of which some value is a tensor. */
static bool has_tensors(const hm_pickle_value *v) {
    if (v == NULL || v->kind != HM_PICKLE_DICT)
        return false;
    for (size_t i = 1; i < v->n; i += 2)
        if (hm_torch_is_tensor(v->items[i]))
            return true;
    return false;
}

static bool begins(const hm_pickle_value *v, const char *prefix) {
    const size_t n = strlen(prefix);
    return v->kind == HM_PICKLE_STRING && v->len >= n && memcmp(v->text, prefix, n) == 0;
}

static bool has_prefix(const hm_pickle_value *dict, const char *prefix) {
    for (size_t i = 0; i + 1 < dict->n; i += 2)
        if (begins(dict->items[i], prefix))
            return true;
    return false;
}

static bool find_under(const hm_pickle_value *root, const char *key, found *out) {
    const hm_pickle_value *const v = hm_pickle_get(root, key);
    if (has_tensors(v))
        *out = (found){v, key, ""};
    return has_tensors(v);
}

static bool find_weights(const hm_pickle_value *root, found *out) {
    if (find_under(root, "model", out))
        return true;
    if (find_under(root, "state_dict", out)) {
        out->prefix = has_prefix(out->dict, "model.") ? "model." : "";
        return true;
    }
    *out = (found){root, "bare state dict", ""};
    return has_tensors(root);
}

static bool find_averages(const hm_pickle_value *root, found *out) {
    static const char *const keys[] = {"ema_model", "ema", "legacy_ema_state_dict"};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
        if (find_under(root, keys[i], out))
            return true;
    const hm_pickle_value *const callbacks = hm_pickle_get(root, "callbacks");
    for (size_t i = 1; callbacks != NULL && callbacks->kind == HM_PICKLE_DICT && i < callbacks->n; i += 2)
        if (find_under(callbacks->items[i], "average_model_state_dict", out)) {
            out->prefix = has_prefix(out->dict, "module.model.") ? "module.model." : "";
            return true;
        }
    return false;
}

/* ---- tensors ---- */

static const char *without(const char *name, const char *prefix) {
    const size_t n = strlen(prefix);
    return strncmp(name, prefix, n) == 0 ? name + n : name;
}

/* *out = the key without prefixes; free(). */
static hm_status tensor_name(const char *path, const hm_pickle_value *key, const char *prefix, char **out) {
    if (key->kind != HM_PICKLE_STRING || key->len > LONGEST_NAME || memchr(key->text, '\0', key->len) != NULL)
        HM_FAIL(HM_ERR_FORMAT, "%s: a key of its state dict is no name of a tensor", path);
    char *const whole = strndup(key->text, key->len);
    if (whole == NULL)
        HM_FAIL(HM_ERR_MEMORY, "not enough memory for the names of %s", path);
    const char *const name = without(without(without(whole, prefix), "module."), "_orig_mod.");
    memmove(whole, name, strlen(name) + 1);
    *out = whole;
    return HM_OK;
}

static hm_status add_tensor(hm_checkpoint *c, const char *path, const found *f, size_t at) {
    char **const name = &c->names[c->n];
    HM_TRY(tensor_name(path, f->dict->items[at], f->prefix, name));
    hm_safetensor *const t = &c->tensors[c->n++];
    return hm_torch_tensor(c->file, f->dict->items[at + 1], *name, t);
}

static hm_status list_tensors(hm_checkpoint *c, const char *path, const found *f) {
    HM_TRY(hm_alloc(&c->tensors, f->dict->n / 2, sizeof *c->tensors));
    HM_TRY(hm_alloc(&c->names, f->dict->n / 2, sizeof *c->names));
    for (size_t i = 0; i + 1 < f->dict->n; i += 2)
        if (begins(f->dict->items[i], f->prefix) || f->dict->items[i]->kind != HM_PICKLE_STRING)
            HM_TRY(add_tensor(c, path, f, i));
    return HM_OK;
}

/* ---- facts ---- */

/* Takes `value` over; NULL is no fact. */
static void add_fact(hm_checkpoint *c, const char *key, char *value) {
    if (value == NULL)
        return;
    c->values[c->n_facts] = value;
    c->facts[c->n_facts++] = (hm_st_pair){key, value};
}

static char *copy_text(const hm_pickle_value *v) {
    const bool whole = v != NULL && v->kind == HM_PICKLE_STRING && memchr(v->text, '\0', v->len) == NULL;
    return whole ? strndup(v->text, v->len) : NULL;
}

static char *copy_number(const hm_pickle_value *v) {
    char *text = NULL;
    if (v == NULL || v->kind != HM_PICKLE_INT || asprintf(&text, "%" PRId64, v->integer) < 0)
        return NULL;
    return text;
}

static bool is_list(const hm_pickle_value *v) {
    return v != NULL && (v->kind == HM_PICKLE_LIST || v->kind == HM_PICKLE_TUPLE);
}

/* Rows of the class head: one more than classes. */
static int64_t class_rows(const hm_checkpoint *c) {
    for (size_t i = 0; i < c->n; i++)
        if (strcmp(c->tensors[i].name, "class_embed.bias") == 0)
            return c->tensors[i].rank == 1 ? c->tensors[i].shape[0] : 0;
    return 0;
}

/* The names as a JSON list, or NULL when they are no list of strings. */
static char *names_json(const hm_pickle_value *names) {
    cJSON *const list = cJSON_CreateArray();
    size_t i = 0, total = 0;
    for (; i < names->n; i++) {
        total += names->items[i]->kind == HM_PICKLE_STRING ? names->items[i]->len : 0;
        char *const name = total <= MOST_CLASS_TEXT ? copy_text(names->items[i]) : NULL;
        if (name == NULL)
            break;
        cJSON_AddItemToArray(list, cJSON_CreateString(name));
        free(name);
    }
    char *const text = i == names->n ? cJSON_PrintUnformatted(list) : NULL;
    cJSON_Delete(list);
    return text;
}

/* Category ids between commas: those that we wrote, else upstream's, which are the labels. */
static char *ids_text(const hm_pickle_value *ids, size_t n) {
    char *text = NULL;
    size_t len = 0;
    const bool ours = is_list(ids) && ids->n == n;
    FILE *const to = open_memstream(&text, &len);
    if (to == NULL)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        const bool number = ours && ids->items[i]->kind == HM_PICKLE_INT;
        fprintf(to, i > 0 ? ",%" PRId64 : "%" PRId64, number ? ids->items[i]->integer : (int64_t)i);
    }
    fclose(to);
    return text;
}

/* More names than the head has rows cannot be its classes. */
static void add_classes(hm_checkpoint *c, const hm_pickle_value *args, const hm_pickle_value *ours) {
    const hm_pickle_value *const names = hm_pickle_get(args, "class_names");
    if (!is_list(names) || names->n == 0 || (int64_t)names->n > class_rows(c))
        return;
    char *const text = names_json(names), *const ids = ids_text(hm_pickle_get(ours, "category_ids"), names->n);
    if (text != NULL && ids != NULL) {
        add_fact(c, "class_names", text);
        add_fact(c, "category_ids", ids);
        return;
    }
    free(text);
    free(ids);
}

static char *variant_of(const hm_pickle_value *root, const hm_pickle_value *ours) {
    const hm_pickle_value *const name = hm_pickle_get(root, "model_name");
    char *const stated = copy_text(hm_pickle_get(ours, "model"));
    if (stated != NULL || name == NULL || name->kind != HM_PICKLE_STRING)
        return stated;
    const char *const variant = hm_upstream_variant(name->text, name->len);
    return variant != NULL ? strdup(variant) : NULL;
}

static void list_facts(hm_checkpoint *c) {
    const hm_pickle_value *const root = hm_torch_root(c->file), *const ours = hm_pickle_get(root, "halfmask");
    const hm_pickle_value *const config = hm_pickle_get(root, "model_config");
    const hm_pickle_value *args = hm_pickle_get(root, "args");
    if (args == NULL)
        args = hm_pickle_get(root, "hyper_parameters");
    const hm_pickle_value *size = hm_pickle_get(config, "resolution");
    if (size == NULL)
        size = hm_pickle_get(args, "resolution");
    add_fact(c, "halfmask", copy_text(hm_pickle_get(ours, "version")));
    add_fact(c, "model", variant_of(root, ours));
    add_fact(c, "resolution", copy_number(size));
    add_fact(c, "epoch", copy_number(hm_pickle_get(root, "epoch")));
    add_fact(c, "best_total_source", copy_text(hm_pickle_get(root, "best_total_source")));
    add_classes(c, args, ours);
}

/* ---- all of it ---- */

static hm_status find(const hm_checkpoint *c, const char *path, bool averages, found *out) {
    const hm_pickle_value *const root = hm_torch_root(c->file);
    if (averages && !find_averages(root, out))
        HM_FAIL(
            HM_ERR_ARG,
            "%s holds no moving averages (ema_model, ema, legacy_ema_state_dict, or those of Lightning's callback): "
            "take its weights",
            path);
    if (!averages && !find_weights(root, out))
        HM_FAIL(HM_ERR_FORMAT,
                "%s holds no weights: it is neither a state dict nor has it one under \"model\" or \"state_dict\"",
                path);
    return HM_OK;
}

hm_status hm_checkpoint_open(hm_checkpoint *out, const char *path, const void *data, size_t len, bool averages) {
    found f = {0};
    hm_status st;
    *out = (hm_checkpoint){0};
    HM_TRY_TO(st, fail, hm_torch_open(&out->file, path, data, len));
    HM_TRY_TO(st, fail, find(out, path, averages, &f));
    out->layout = f.layout;
    HM_TRY_TO(st, fail, list_tensors(out, path, &f));
    list_facts(out);
    return HM_OK;
fail:
    hm_checkpoint_close(out);
    return st;
}

void hm_checkpoint_close(hm_checkpoint *c) {
    for (size_t i = 0; i < c->n; i++)
        free(c->names[i]);
    for (size_t i = 0; i < c->n_facts; i++)
        free(c->values[i]);
    free(c->names);
    free(c->tensors);
    hm_torch_close(c->file);
    *c = (hm_checkpoint){0};
}
