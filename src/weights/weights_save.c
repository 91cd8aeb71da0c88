/* weights_save.c: writing weights files, and copying between stores. The reader is weights.c. */
#include "weights/weights.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/safetensors.h"
#include "weights/checkpoint_save.h"
#include "weights/file_tensor.h"
#include "weights/weights_graph.h"

enum { NAME_SIZE = 320, ID_SIZE = 24 };

static const float *find_prefixed(const hm_store *store, const char *prefix, const char *name, hm_shape *shape) {
    char full[NAME_SIZE];
    if (prefix == NULL)
        return hm_store_find(store, name, shape);
    if ((size_t)snprintf(full, sizeof full, "%s%s", prefix, name) >= sizeof full)
        return NULL;
    return hm_store_find(store, full, shape);
}

static hm_status find_data(const float **out, const hm_store *store, const char *prefix, const char *name,
                           hm_shape expected) {
    char a[96], b[96];
    hm_shape shape;
    *out = find_prefixed(store, prefix, name, &shape);
    if (*out == NULL)
        HM_FAIL(HM_ERR_INTERNAL, "the store has no tensor %s%s", prefix ? prefix : "", name);
    if (!hm_shape_equal(shape, expected))
        HM_FAIL(HM_ERR_INTERNAL, "tensor %s%s has shape %s in the store but %s in the model", prefix ? prefix : "",
                name, hm_shape_text(shape, a), hm_shape_text(expected, b));
    return HM_OK;
}

/* tensors [*n] = the graph's parameters with their data. */
static hm_status list_tensors(hm_safetensor **tensors, size_t *n, const hm_graph *g, const hm_store *store,
                              const char *prefix) {
    HM_TRY(hm_alloc(tensors, g->n_tensors, sizeof **tensors));
    *n = 0;
    for (size_t i = 0; i < g->n_tensors; i++) {
        const hm_tensor *const t = g->tensors[i];
        if (t->storage != HM_PARAM || t->base != NULL)
            continue;
        const float *data;
        HM_TRY(find_data(&data, store, prefix, t->name, t->shape));
        (*tensors)[(*n)++] = hm_file_tensor(t->name, t->shape, HM_F32, data);
    }
    return HM_OK;
}

/* *names = JSON list; *ids = numbers between commas. */
static hm_status describe_classes(char **names, char **ids, const hm_classes *c) {
    cJSON *const list = cJSON_CreateArray();
    for (int32_t i = 0; i < c->n; i++)
        cJSON_AddItemToArray(list, cJSON_CreateString(c->names[i]));
    *names = cJSON_PrintUnformatted(list);
    cJSON_Delete(list);
    HM_TRY(hm_alloc(ids, (size_t)c->n * ID_SIZE + 1, 1));
    size_t at = 0;
    for (int32_t i = 0; i < c->n; i++)
        at += (size_t)snprintf(*ids + at, ID_SIZE, i ? ",%lld" : "%lld", (long long)c->ids[i]);
    if (*names == NULL)
        HM_FAIL(HM_ERR_MEMORY, "not enough memory for the names of %d classes", (int)c->n);
    return HM_OK;
}

/* What the metadata of a safetensors file say. */
typedef struct metadata {
    hm_st_pair pairs[8];
    size_t n;
} metadata;

static void note(metadata *m, const char *key, const char *value) {
    m->pairs[m->n++] = (hm_st_pair){key, value};
}

static hm_status write_safetensors(const char *path, const hm_safetensor *tensors, size_t n, const hm_model_config *c,
                                   const hm_classes *classes, const hm_weights_notes *notes) {
    char *names = NULL, *ids = NULL, resolution[16], num_classes[16];
    metadata m = {.pairs = {{"halfmask", HM_VERSION}}, .n = 1};
    hm_status st;
    HM_TRY_TO(st, done, describe_classes(&names, &ids, classes));
    if (c != NULL) {
        snprintf(resolution, sizeof resolution, "%d", c->resolution);
        snprintf(num_classes, sizeof num_classes, "%d", c->num_classes);
        note(&m, "model", c->name);
        note(&m, "resolution", resolution);
        note(&m, "num_classes", num_classes);
    }
    if (classes->n > 0) {
        note(&m, "class_names", names);
        note(&m, "category_ids", ids);
    }
    if (notes->epoch != NULL)
        note(&m, "epoch", notes->epoch);
    if (notes->source != NULL)
        note(&m, "best_total_source", notes->source);
    st = hm_safetensors_write(path, tensors, n, m.pairs, m.n);
done:
    cJSON_free(names);
    free(ids);
    return st;
}

hm_status hm_weights_write(const char *path, const hm_safetensor *tensors, size_t n, const hm_model_config *c,
                           const hm_classes *classes, const hm_weights_notes *notes) {
    const hm_checkpoint_facts facts = {.config = c, .classes = classes, .epoch = notes->epoch, .source = notes->source};
    return hm_checkpoint_is_path(path) ? hm_checkpoint_save(path, tensors, n, &facts)
                                       : write_safetensors(path, tensors, n, c, classes, notes);
}

hm_status hm_weights_save(const char *path, const hm_store *store, const char *prefix, const hm_model_config *c,
                          const hm_classes *classes) {
    return hm_weights_save_noted(path, store, prefix, c, classes, &(hm_weights_notes){0});
}

hm_status hm_weights_save_noted(const char *path, const hm_store *store, const char *prefix, const hm_model_config *c,
                                const hm_classes *classes, const hm_weights_notes *notes) {
    hm_status st;
    hm_graph *g = NULL;
    hm_safetensor *tensors = NULL;
    size_t n;
    HM_TRY_TO(st, done, hm_weights_graph(&g, c));
    HM_TRY_TO(st, done, list_tensors(&tensors, &n, g, store, prefix));
    st = hm_weights_write(path, tensors, n, c, classes, notes);
done:
    free(tensors);
    hm_graph_free(g);
    return st;
}

hm_status hm_weights_copy(hm_store *to, const hm_store *from, const char *prefix) {
    for (size_t i = 0; i < hm_store_count(to); i++) {
        const char *name;
        hm_shape shape;
        hm_storage kind;
        const float *data;
        float *const dst = hm_store_at(to, i, &name, &shape, &kind);
        if (kind != HM_PARAM)
            continue;
        HM_TRY(find_data(&data, from, prefix, name, shape));
        memcpy(dst, data, (size_t)hm_shape_count(shape) * sizeof *dst);
    }
    return HM_OK;
}
