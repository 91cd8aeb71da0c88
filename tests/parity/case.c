/* case.c: from files to model configuration, weights and batch. */
#include "case.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"

static hm_status read_json(const char *dir, const char *file, bool optional, cJSON **out) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", dir, file);
    FILE *const f = fopen(path, "rb");
    if (f == NULL && optional)
        return HM_OK;
    if (f == NULL)
        HM_FAIL(HM_ERR_IO, "%s cannot be read", path);
    fseek(f, 0, SEEK_END);
    const long n = ftell(f);
    rewind(f);
    char *const text = malloc((size_t)n + 1);
    const size_t got = text == NULL ? 0 : fread(text, 1, (size_t)n, f);
    fclose(f);
    *out = got == (size_t)n && text != NULL ? cJSON_ParseWithLength(text, got) : NULL;
    free(text);
    if (*out == NULL)
        HM_FAIL(HM_ERR_FORMAT, "%s is not sound JSON", path);
    return HM_OK;
}

static hm_status open_tensors(const char *dir, const char *file, bool optional, hm_safetensors **out) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", dir, file);
    FILE *const f = optional ? fopen(path, "rb") : NULL;
    if (optional && f == NULL)
        return HM_OK;
    if (f != NULL)
        fclose(f);
    return hm_safetensors_open(path, out);
}

double parity_number(const cJSON *json, double otherwise, const char *a, const char *b, const char *c) {
    const char *const keys[] = {a, b, c};
    for (int i = 0; i < 3 && json != NULL; i++)
        if (keys[i] != NULL)
            json = cJSON_GetObjectItemCaseSensitive(json, keys[i]);
    return cJSON_IsNumber(json) ? json->valuedouble : otherwise;
}

static int integer(const cJSON *o, const char *key) {
    return (int)parity_number(o, -1, key, NULL, NULL);
}

static void read_model(parity_case *c) {
    const cJSON *const m = cJSON_GetObjectItem(c->config, "model"), *const b = cJSON_GetObjectItem(m, "backbone");
    const cJSON *item;
    hm_model_config *const k = &c->model;
    snprintf(k->name, sizeof k->name, "%s", cJSON_GetStringValue(cJSON_GetObjectItem(c->config, "case")));
    k->segmentation = cJSON_IsTrue(cJSON_GetObjectItem(m, "segmentation"));
    k->resolution = integer(m, "resolution");
    k->patch_size = integer(m, "patch_size");
    k->num_windows = integer(m, "num_windows");
    k->positional_encoding_size = integer(m, "positional_encoding_size");
    k->encoder_hidden = integer(b, "hidden");
    k->encoder_heads = integer(b, "heads");
    k->encoder_layers = integer(b, "layers");
    k->mlp_ratio = integer(b, "mlp_ratio");
    cJSON_ArrayForEach(item, cJSON_GetObjectItem(m, "out_feature_indexes")) if (k->n_features < HM_MAX_FEATURES)
        k->out_feature_indexes[k->n_features++] = item->valueint;
    cJSON_ArrayForEach(item, cJSON_GetObjectItem(m, "projector_scale")) if (k->n_levels < HM_MAX_LEVELS)
        k->projector_scale[k->n_levels++] = atoi(cJSON_GetStringValue(item) + 1);
    k->hidden_dim = integer(m, "hidden_dim");
    k->sa_nheads = integer(m, "sa_nheads");
    k->ca_nheads = integer(m, "ca_nheads");
    k->dec_n_points = integer(m, "dec_n_points");
    k->dec_layers = integer(m, "dec_layers");
    k->dim_feedforward = integer(m, "dim_feedforward");
    k->num_queries = integer(m, "num_queries");
    k->num_select = integer(m, "num_select");
    k->group_detr = integer(m, "group_detr");
    k->num_classes = integer(m, "num_classes_arg");
    k->mask_downsample_ratio = integer(m, "mask_downsample_ratio");
}

static void read_settings(parity_case *c) {
    const cJSON *const l = cJSON_GetObjectItem(c->config, "loss"), *const m = cJSON_GetObjectItem(c->config, "matcher");
    const cJSON *const o = cJSON_GetObjectItem(c->config, "optim");
#define GET(json, to, key) (to) = (__typeof__(to))parity_number((json), (double)(to), (key), NULL, NULL)
    c->criterion = hm_criterion_defaults();
    GET(l, c->criterion.ce, "cls_loss_coef");
    GET(l, c->criterion.bbox, "bbox_loss_coef");
    GET(l, c->criterion.giou, "giou_loss_coef");
    GET(l, c->criterion.mask_ce, "mask_ce_loss_coef");
    GET(l, c->criterion.mask_dice, "mask_dice_loss_coef");
    GET(l, c->criterion.mask_point_sample_ratio, "mask_point_sample_ratio");
    GET(m, c->criterion.cost.cls, "cost_class");
    GET(m, c->criterion.cost.bbox, "cost_bbox");
    GET(m, c->criterion.cost.giou, "cost_giou");
    GET(m, c->criterion.cost.mask_ce, "cost_mask_ce");
    GET(m, c->criterion.cost.mask_dice, "cost_mask_dice");
    c->optim = hm_optim_defaults();
    c->optim.ema = false;
    GET(o, c->optim.lr, "lr");
    GET(o, c->optim.lr_encoder, "lr_encoder");
    GET(o, c->optim.lr_vit_layer_decay, "lr_vit_layer_decay");
    GET(o, c->optim.lr_component_decay, "lr_component_decay");
    GET(o, c->optim.weight_decay, "weight_decay");
    GET(o, c->optim.clip_max_norm, "clip_max_norm");
#undef GET
}

float parity_fill(uint64_t key, uint64_t i, float offset, float scale) {
    const float v = scale * (2.0f * hm_rng_uniform(key, i) - 1.0f);
    return v + offset;
}

static const void *item(const hm_safetensors *s, const char *name, hm_st_dtype dtype, size_t bytes) {
    const hm_safetensor *const t = hm_safetensors_find(s, name);
    return t != NULL && t->dtype == dtype && t->bytes == bytes ? t->data : NULL;
}

static hm_status make_images(parity_case *c) {
    const cJSON *const i = cJSON_GetObjectItem(cJSON_GetObjectItem(c->config, "batch"), "images");
    const char *const name = cJSON_GetStringValue(cJSON_GetObjectItem(i, "fill"));
    const uint64_t key = hm_rng_key(c->seed, name);
    const float offset = (float)parity_number(i, 0, "offset", NULL, NULL);
    const float scale = (float)parity_number(i, 1, "scale", NULL, NULL);
    const int64_t plane = c->H * c->W, n = c->B * 3 * plane;
    HM_TRY(hm_alloc(&c->images, (size_t)n, sizeof(float)));
    for (int64_t k = 0; k < n; k++)
        c->images[k] = parity_fill(key, (uint64_t)k, offset, scale);
    const float *const head = item(c->batch, "images_head", HM_ST_F32, (size_t)c->B * 32);
    for (int64_t b = 0; head != NULL && b < c->B; b++)
        if (c->pad == NULL && memcmp(head + b * 8, c->images + b * 3 * plane, 32) != 0)
            HM_FAIL(HM_ERR_FORMAT, "image %lld does not begin as the case says: the fill rule differs", (long long)b);
    for (int64_t k = 0; c->pad != NULL && k < n; k++)
        if (c->pad[k / (3 * plane) * plane + k % plane])
            c->images[k] = 0;
    return HM_OK;
}

static hm_status make_targets(parity_case *c) {
    const size_t n = (size_t)c->n_targets, B = (size_t)c->B, T = (size_t)c->T;
    const int64_t *const labels = item(c->batch, "labels", HM_ST_I64, n * 8);
    const float *const boxes = item(c->batch, "boxes", HM_ST_F32, n * 16);
    const uint8_t *const masks = item(c->batch, "masks_bits", HM_ST_U8, n * c->mask_bytes);
    if (labels == NULL || boxes == NULL || (c->model.segmentation && masks == NULL))
        HM_FAIL(HM_ERR_FORMAT, "batch.safetensors lacks labels, boxes or masks_bits of %zu objects", n);
    HM_TRY(hm_alloc(&c->counts32, B, sizeof(int32_t)));
    HM_TRY(hm_alloc(&c->labels, B * T, sizeof(int32_t)));
    HM_TRY(hm_alloc(&c->boxes, B * T * 4, sizeof(float)));
    if (c->model.segmentation)
        HM_TRY(hm_alloc(&c->masks, B * T, c->mask_bytes));
    for (size_t b = 0, k = 0; b < B; b++) {
        c->counts32[b] = (int32_t)c->counts[b];
        for (size_t t = 0; t < (size_t)c->counts[b]; t++, k++) {
            int64_t label;
            memcpy(&label, (const char *)labels + k * 8, 8);
            c->labels[b * T + t] = (int32_t)label;
            memcpy(c->boxes + (b * T + t) * 4, (const char *)boxes + k * 16, 16);
            if (c->masks != NULL)
                memcpy(c->masks + (b * T + t) * c->mask_bytes, masks + k * c->mask_bytes, c->mask_bytes);
        }
    }
    return HM_OK;
}

static hm_status make_batch(parity_case *c) {
    const cJSON *const shape =
        cJSON_GetObjectItem(cJSON_GetObjectItem(cJSON_GetObjectItem(c->config, "batch"), "images"), "shape");
    c->B = (int64_t)cJSON_GetNumberValue(cJSON_GetArrayItem(shape, 0));
    c->H = (int64_t)cJSON_GetNumberValue(cJSON_GetArrayItem(shape, 2));
    c->W = (int64_t)cJSON_GetNumberValue(cJSON_GetArrayItem(shape, 3));
    if (c->B < 1 || c->B > 64)
        HM_FAIL(HM_ERR_FORMAT, "config.json: a batch of %lld images", (long long)c->B);
    const void *const counts = item(c->batch, "counts", HM_ST_I64, (size_t)c->B * 8);
    if (counts == NULL)
        HM_FAIL(HM_ERR_FORMAT, "batch.safetensors has no counts of %lld images", (long long)c->B);
    memcpy(c->counts, counts, (size_t)c->B * 8);
    c->T = 1;
    for (int64_t b = 0; b < c->B; b++) {
        c->T = c->counts[b] > c->T ? c->counts[b] : c->T;
        c->n_targets += c->counts[b];
    }
    c->mask_bytes = (size_t)(c->H * c->W + 7) / 8;
    const void *const pad = item(c->batch, "padding_mask", HM_ST_U8, (size_t)(c->B * c->H * c->W));
    c->padded = pad != NULL;
    if (c->padded) {
        HM_TRY(hm_alloc(&c->pad, (size_t)(c->B * c->H * c->W), 1));
        memcpy(c->pad, pad, (size_t)(c->B * c->H * c->W));
    }
    HM_TRY(make_images(c));
    return make_targets(c);
}

hm_status parity_case_open(parity_case *c, const char *dir) {
    memset(c, 0, sizeof *c);
    HM_TRY(read_json(dir, "config.json", false, &c->config));
    HM_TRY(read_json(dir, "params.json", false, &c->params));
    HM_TRY(read_json(dir, "losses.json", false, &c->losses));
    HM_TRY(read_json(dir, "tolerances.json", true, &c->tolerances));
    HM_TRY(read_json(dir, "autocast.json", true, &c->autocast));
    HM_TRY(read_json(dir, "autocast_copies.json", true, &c->copies));
    HM_TRY(open_tensors(dir, "batch.safetensors", false, &c->batch));
    HM_TRY(open_tensors(dir, "expected.safetensors", false, &c->expected));
    HM_TRY(open_tensors(dir, "summaries.safetensors", true, &c->summaries));
    c->seed = (uint64_t)parity_number(c->config, 0, "seed", NULL, NULL);
    read_model(c);
    read_settings(c);
    return make_batch(c);
}

void parity_case_close(parity_case *c) {
    cJSON_Delete(c->config);
    cJSON_Delete(c->params);
    cJSON_Delete(c->losses);
    cJSON_Delete(c->tolerances);
    cJSON_Delete(c->autocast);
    cJSON_Delete(c->copies);
    hm_safetensors_close(c->batch);
    hm_safetensors_close(c->expected);
    hm_safetensors_close(c->summaries);
    free(c->images);
    free(c->pad);
    free(c->counts32);
    free(c->labels);
    free(c->boxes);
    free(c->masks);
}

static hm_status fill_param(const parity_case *c, const cJSON *p, hm_store *store, size_t *found) {
    const char *const name = cJSON_GetStringValue(cJSON_GetObjectItem(p, "name"));
    const cJSON *const shape = cJSON_GetObjectItem(p, "shape");
    if (strcmp(cJSON_GetStringValue(cJSON_GetObjectItem(p, "kind")), "parameter") != 0)
        return HM_OK;
    hm_shape s;
    float *const x = hm_store_find(store, name, &s);
    if (x == NULL)
        HM_FAIL(HM_ERR_FORMAT, "the model has no parameter %s", name);
    bool same = s.rank == cJSON_GetArraySize(shape);
    for (int i = 0; same && i < s.rank; i++)
        same = (double)s.dim[i] == cJSON_GetNumberValue(cJSON_GetArrayItem(shape, i));
    char text[96];
    if (!same)
        HM_FAIL(HM_ERR_FORMAT, "parameter %s has the shape %s here", name, hm_shape_text(s, text));
    const float offset = (float)parity_number(p, 0, "offset", NULL, NULL);
    const float scale = (float)parity_number(p, 0, "scale", NULL, NULL);
    const uint64_t key = hm_rng_key(c->seed, name);
    for (int64_t i = 0; i < hm_shape_count(s); i++)
        x[i] = parity_fill(key, (uint64_t)i, offset, scale);
    ++*found;
    return HM_OK;
}

hm_status parity_case_weights(const parity_case *c, hm_store *store) {
    size_t found = 0, known = 0;
    const cJSON *p;
    cJSON_ArrayForEach(p, c->params) HM_TRY(fill_param(c, p, store, &found));
    for (size_t i = 0; i < hm_store_count(store); i++) {
        const char *name;
        hm_shape s;
        hm_storage kind;
        float *const x = hm_store_at(store, i, &name, &s, &kind);
        known += kind == HM_PARAM;
        if (kind == HM_STATE)
            memset(x, 0, (size_t)hm_shape_count(s) * sizeof(float));
    }
    if (found != known)
        HM_FAIL(HM_ERR_FORMAT, "the model has %zu parameters, the case lists %zu of them", known, found);
    return HM_OK;
}

hm_status parity_case_copy(const parity_case *c, hm_store *store, uint64_t copy) {
    HM_TRY(parity_case_weights(c, store));
    for (size_t i = 0; copy > 0 && i < hm_store_count(store); i++) {
        const char *name;
        hm_shape s;
        hm_storage kind;
        float *const x = hm_store_at(store, i, &name, &s, &kind);
        const uint64_t key = hm_rng_key(copy, name);
        for (int64_t k = 0; kind == HM_PARAM && k < hm_shape_count(s); k++)
            x[k] *= 1 + VARIED * (2 * hm_rng_uniform(key, (uint64_t)k) - 1);
    }
    return HM_OK;
}
