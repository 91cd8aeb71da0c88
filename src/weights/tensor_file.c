/* tensor_file.c: one face for both kinds of file. */
#include "weights/tensor_file.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/map_file.h"
#include "weights/checkpoint.h"

struct hm_tensor_file {
    char *path;
    hm_map map;           /* empty when the memory is the caller's */
    hm_safetensors *safe; /* or */
    hm_checkpoint torch;
    const hm_safetensor **sorted; /* [n] of `torch` by name; a safetensors file finds for itself */
    size_t n;
};

static int compare_names(const void *a, const void *b) {
    return strcmp((*(const hm_safetensor *const *)a)->name, (*(const hm_safetensor *const *)b)->name);
}

static hm_status sort_names(hm_tensor_file *f) {
    HM_TRY(hm_alloc(&f->sorted, f->n, sizeof *f->sorted));
    for (size_t i = 0; i < f->n; i++)
        f->sorted[i] = &f->torch.tensors[i];
    if (f->n > 1)
        qsort(f->sorted, f->n, sizeof *f->sorted, compare_names);
    for (size_t i = 1; i < f->n; i++)
        if (compare_names(&f->sorted[i - 1], &f->sorted[i]) == 0)
            HM_FAIL(HM_ERR_FORMAT, "%s: has the tensor \"%.200s\" twice; save the file anew", f->path,
                    f->sorted[i]->name);
    return HM_OK;
}

static hm_status open_safe(hm_tensor_file *f, const void *data, size_t len, bool averages) {
    HM_TRY(hm_safetensors_open_memory(f->path, data, len, &f->safe));
    f->n = hm_safetensors_count(f->safe);
    if (averages)
        HM_FAIL(HM_ERR_ARG, "%s is a safetensors file, which holds one set of weights: take that", f->path);
    return HM_OK;
}

static hm_status open_torch(hm_tensor_file *f, const void *data, size_t len, bool averages) {
    HM_TRY(hm_checkpoint_open(&f->torch, f->path, data, len, averages));
    f->n = f->torch.n;
    return sort_names(f);
}

static hm_status open_memory(hm_tensor_file *f, const void *data, size_t len, bool averages) {
    return hm_torch_recognise(data, len) == HM_TORCH_NONE ? open_safe(f, data, len, averages)
                                                          : open_torch(f, data, len, averages);
}

static hm_status start(hm_tensor_file **out, const char *path) {
    *out = NULL;
    HM_TRY(hm_alloc(out, 1, sizeof **out));
    const hm_status st = hm_strdup(&(*out)->path, path);
    if (st != HM_OK) {
        free(*out);
        *out = NULL;
    }
    return st;
}

hm_status hm_tensor_file_open_memory(hm_tensor_file **out, const char *path, const void *data, size_t len,
                                     bool averages) {
    HM_TRY(start(out, path));
    const hm_status st = open_memory(*out, data, len, averages);
    if (st != HM_OK) {
        hm_tensor_file_close(*out);
        *out = NULL;
    }
    return st;
}

hm_status hm_tensor_file_open(hm_tensor_file **out, const char *path, bool averages) {
    hm_map map;
    *out = NULL;
    HM_TRY(hm_map_file(&map, path));
    const hm_status st = hm_tensor_file_open_memory(out, path, map.data, map.len, averages);
    if (st == HM_OK)
        (*out)->map = map;
    else
        hm_unmap(&map);
    return st;
}

void hm_tensor_file_close(hm_tensor_file *f) {
    if (f == NULL)
        return;
    hm_safetensors_close(f->safe);
    hm_checkpoint_close(&f->torch);
    hm_unmap(&f->map);
    free(f->sorted);
    free(f->path);
    free(f);
}

size_t hm_tensor_file_count(const hm_tensor_file *f) {
    return f->n;
}

const hm_safetensor *hm_tensor_file_at(const hm_tensor_file *f, size_t i) {
    return f->safe != NULL ? hm_safetensors_at(f->safe, i) : &f->torch.tensors[i];
}

const hm_safetensor *hm_tensor_file_find(const hm_tensor_file *f, const char *name) {
    const hm_safetensor wanted = {.name = name};
    const hm_safetensor *const key = &wanted;
    if (f->safe != NULL)
        return hm_safetensors_find(f->safe, name);
    const hm_safetensor *const *const hit = f->n > 0 ? bsearch(&key, f->sorted, f->n, sizeof key, compare_names) : NULL;
    return hit != NULL ? *hit : NULL;
}

const char *hm_tensor_file_metadata(const hm_tensor_file *f, const char *key) {
    if (f->safe != NULL)
        return hm_safetensors_metadata(f->safe, key);
    for (size_t i = 0; i < f->torch.n_facts; i++)
        if (strcmp(f->torch.facts[i].key, key) == 0)
            return f->torch.facts[i].value;
    return NULL;
}

const char *hm_tensor_file_form(const hm_tensor_file *f) {
    if (f->safe != NULL)
        return "safetensors";
    return hm_torch_form_of(f->torch.file) == HM_TORCH_ZIP ? "PyTorch, zip form" : "PyTorch, old form";
}

const char *hm_tensor_file_layout(const hm_tensor_file *f) {
    return f->torch.layout;
}
