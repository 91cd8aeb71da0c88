/* checkpoint_save.c: see checkpoint_save.h. Keys and their meaning: rfdetr/training/callbacks/best_model.py
 * (_build_checkpoint_payload), rfdetr/detr.py (from_checkpoint), rfdetr/config.py (ModelConfig). */
#include "weights/checkpoint_save.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/pickle_write.h"
#include "io/zip_write.h"
#include "weights/upstream_names.h"

#define FOLDER "archive/"
#define EXTRA  "_kp_active_mask"

enum { KEY_SIZE = 32, LARGE_HIDDEN = 768 };

bool hm_checkpoint_is_path(const char *path) {
    const char *const dot = strrchr(path, '.');
    return dot != NULL && (strcmp(dot, ".pth") == 0 || strcmp(dot, ".pt") == 0);
}

/* ---- values ---- */

static void put_int(hm_pickle_out *o, const char *key, int64_t x) {
    hm_pickle_put_text(o, key);
    hm_pickle_put_int(o, x);
}

static void put_bool(hm_pickle_out *o, const char *key, bool x) {
    hm_pickle_put_text(o, key);
    hm_pickle_put_bool(o, x);
}

static void put_text(hm_pickle_out *o, const char *key, const char *text) {
    hm_pickle_put_text(o, key);
    hm_pickle_put_text(o, text);
}

static void put_levels(hm_pickle_out *o, const hm_model_config *c) {
    hm_pickle_put_text(o, "projector_scale");
    hm_pickle_open_list(o);
    for (int i = 0; i < c->n_levels; i++) {
        char level[16];
        snprintf(level, sizeof level, "P%d", c->projector_scale[i]);
        hm_pickle_put_text(o, level);
    }
    hm_pickle_close_list(o);
}

/* What the loaders need of a model, and find in "args" or in "model_config". */
static void put_sizes(hm_pickle_out *o, const hm_model_config *c) {
    put_text(o, "encoder", c->encoder_hidden == LARGE_HIDDEN ? "dinov2_windowed_base" : "dinov2_windowed_small");
    hm_pickle_put_text(o, "out_feature_indexes");
    hm_pickle_put_ints(o, c->out_feature_indexes, c->n_features);
    put_levels(o, c);
    put_int(o, "dec_layers", c->dec_layers);
    put_int(o, "hidden_dim", c->hidden_dim);
    put_int(o, "patch_size", c->patch_size);
    put_int(o, "num_windows", c->num_windows);
    put_int(o, "sa_nheads", c->sa_nheads);
    put_int(o, "ca_nheads", c->ca_nheads);
    put_int(o, "dec_n_points", c->dec_n_points);
    put_int(o, "num_queries", c->num_queries);
    put_int(o, "num_select", c->num_select);
    put_int(o, "group_detr", c->group_detr);
    put_int(o, "num_classes", c->num_classes);
    put_int(o, "resolution", c->resolution);
    put_int(o, "positional_encoding_size", c->positional_encoding_size);
    put_int(o, "mask_downsample_ratio", c->mask_downsample_ratio);
    put_bool(o, "segmentation_head", c->segmentation);
}

static void put_names(hm_pickle_out *o, const hm_classes *classes) {
    hm_pickle_put_text(o, "class_names");
    if (classes->n == 0) {
        hm_pickle_put_none(o);
        return;
    }
    hm_pickle_open_list(o);
    for (int32_t i = 0; i < classes->n; i++)
        hm_pickle_put_text(o, classes->names[i]);
    hm_pickle_close_list(o);
}

static void put_args(hm_pickle_out *o, const hm_checkpoint_facts *f) {
    hm_pickle_put_text(o, "args");
    hm_pickle_open_dict(o, false);
    put_names(o, f->classes);
    hm_pickle_put_text(o, "pretrain_weights");
    hm_pickle_put_none(o);
    if (f->config != NULL)
        put_sizes(o, f->config);
    hm_pickle_close_dict(o);
}

/* What halfmask itself finds again: its own variants and the data set's category ids have no place in upstream's keys.
 */
static void put_ours(hm_pickle_out *o, const hm_checkpoint_facts *f) {
    hm_pickle_put_text(o, "halfmask");
    hm_pickle_open_dict(o, false);
    put_text(o, "version", HM_VERSION);
    if (f->config != NULL)
        put_text(o, "model", f->config->name);
    hm_pickle_put_text(o, "category_ids");
    hm_pickle_open_list(o);
    for (int32_t i = 0; i < f->classes->n; i++)
        hm_pickle_put_int(o, f->classes->ids[i]);
    hm_pickle_close_list(o);
    hm_pickle_close_dict(o);
}

/* The variants that rfdetr has. */
static void put_class(hm_pickle_out *o, const hm_model_config *c) {
    const char *const name = c != NULL ? hm_upstream_class(c->name) : NULL;
    if (name == NULL)
        return;
    put_text(o, "model_name", name);
    hm_pickle_put_text(o, "model_config");
    hm_pickle_open_dict(o, false);
    put_sizes(o, c);
    hm_pickle_close_dict(o);
}

/* ---- tensors ---- */

/* The storage of tensor i. */
static const char *key_of(char key[static KEY_SIZE], size_t i) {
    snprintf(key, KEY_SIZE, "%zu", i);
    return key;
}

static bool needs_extra(const hm_safetensor *tensors, size_t n, const hm_model_config *c) {
    bool needs = c != NULL && hm_upstream_class(c->name) != NULL;
    for (size_t i = 0; i < n && needs; i++)
        needs = strcmp(tensors[i].name, EXTRA) != 0;
    return needs;
}

static void put_model(hm_pickle_out *o, const hm_safetensor *tensors, size_t n, bool extra) {
    char key[KEY_SIZE];
    hm_pickle_put_text(o, "model");
    hm_pickle_open_dict(o, true);
    for (size_t i = 0; i < n; i++) {
        hm_pickle_put_text(o, tensors[i].name);
        hm_pickle_put_tensor(o, &tensors[i], key_of(key, i));
    }
    if (extra) {
        hm_pickle_put_text(o, EXTRA);
        hm_pickle_put_tensor(o, &(hm_safetensor){.name = EXTRA, .dtype = HM_ST_BOOL, .rank = 2}, key_of(key, n));
    }
    hm_pickle_close_dict(o);
}

static hm_status put_object(hm_pickle_out *o, const hm_safetensor *tensors, size_t n, bool extra,
                            const hm_checkpoint_facts *f) {
    hm_pickle_begin(o);
    hm_pickle_open_dict(o, false);
    put_model(o, tensors, n, extra);
    put_args(o, f);
    put_class(o, f->config);
    if (f->epoch != NULL)
        put_int(o, "epoch", strtoll(f->epoch, NULL, 10));
    if (f->source != NULL)
        put_text(o, "best_total_source", f->source);
    put_ours(o, f);
    hm_pickle_close_dict(o);
    return hm_pickle_end(o);
}

/* ---- the file ---- */

static hm_status add(hm_zip_out *z, const char *name, const void *data, size_t len) {
    char path[KEY_SIZE + sizeof FOLDER];
    snprintf(path, sizeof path, FOLDER "%s", name);
    return hm_zip_add(z, path, data, len);
}

static hm_status add_all(hm_zip_out *z, const hm_pickle_out *o, const hm_safetensor *tensors, size_t n, bool extra) {
    char key[KEY_SIZE] = "data/";
    const size_t prefix = strlen(key);
    HM_TRY(add(z, "data.pkl", o->data, o->len));
    HM_TRY(add(z, "byteorder", "little", strlen("little")));
    for (size_t i = 0; i < n + extra; i++) {
        snprintf(key + prefix, sizeof key - prefix, "%zu", i);
        HM_TRY(add(z, key, i < n ? tensors[i].data : NULL, i < n ? tensors[i].bytes : 0));
    }
    return add(z, "version", "3\n", 2);
}

hm_status hm_checkpoint_save(const char *path, const hm_safetensor *tensors, size_t n,
                             const hm_checkpoint_facts *facts) {
    hm_pickle_out o = {0};
    hm_zip_out *z = NULL;
    hm_status st;
    const bool extra = needs_extra(tensors, n, facts->config);
    HM_TRY_TO(st, done, put_object(&o, tensors, n, extra, facts));
    HM_TRY_TO(st, done, hm_zip_create(&z, path));
    HM_TRY_TO(st, done, add_all(z, &o, tensors, n, extra));
    st = hm_zip_commit(&z);
done:
    hm_zip_abort(z);
    free(o.data);
    return st;
}
