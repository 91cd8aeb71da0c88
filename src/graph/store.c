/* store.c: parameters, moments and averages by name. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "device/cpu/convert.h"
#include "graph/exec.h"

typedef struct entry {
    char *name;
    hm_shape shape;
    hm_storage kind;
    hm_dtype dtype;
    void *data;
    void *device; /* on the GPU, in one of the store's blocks; NULL: not yet */
} entry;

struct hm_store {
    entry *entries;
    size_t n, cap;
    void **blocks; /* [n_blocks] of the GPU's memory */
    size_t n_blocks, blocks_cap;
    hm_cuda *cuda;     /* once a graph there uses it */
    bool device_newer; /* than `data`: a run has changed it */
    bool host_newer;   /* someone was given `data` */
};

hm_status hm_store_create(hm_store **out) {
    return hm_alloc(out, 1, sizeof **out);
}

void hm_store_free(hm_store *s) {
    if (s == NULL)
        return;
    for (size_t i = 0; i < s->n; i++) {
        free(s->entries[i].name);
        free(s->entries[i].data);
    }
    for (size_t i = 0; i < s->n_blocks; i++)
        hm_cuda_free(s->blocks[i]);
    free(s->blocks);
    free(s->entries);
    free(s);
}

static size_t bytes_of(const entry *e) {
    return (size_t)hm_shape_count(e->shape) * hm_dtype_size(e->dtype);
}

/* Before anyone on the host sees numbers. Which copy is the newer one is no part of what a const store holds. */
static hm_status fetch_to_read(const hm_store *s) {
    hm_store *const mutable_ = (hm_store *)(uintptr_t)s;
    for (size_t i = 0; s->device_newer && i < s->n; i++)
        if (s->entries[i].device != NULL)
            HM_TRY(hm_cuda_read(s->cuda, s->entries[i].data, s->entries[i].device, bytes_of(&s->entries[i])));
    mutable_->device_newer = false;
    return HM_OK;
}

/* The same before someone on the host may change them. */
static hm_status fetch(const hm_store *s) {
    HM_TRY(fetch_to_read(s));
    ((hm_store *)(uintptr_t)s)->host_newer = s->cuda != NULL;
    return HM_OK;
}

/* One block for all tensors that are not there yet: the driver rounds every allocation up, and there are thousands. */
static hm_status place(hm_store *s, hm_cuda *d) {
    size_t bytes = 0;
    for (size_t i = 0; i < s->n; i++)
        bytes += s->entries[i].device == NULL ? hm_stored_bytes(s->entries[i].shape, s->entries[i].dtype) : 0;
    if (bytes == 0)
        return HM_OK;
    HM_TRY(hm_grow(&s->blocks, &s->blocks_cap, s->n_blocks + 1, sizeof *s->blocks));
    HM_TRY(hm_cuda_alloc(d, &s->blocks[s->n_blocks], bytes));
    unsigned char *at = s->blocks[s->n_blocks++];
    for (size_t i = 0; i < s->n; i++) {
        entry *const e = &s->entries[i];
        if (e->device != NULL)
            continue;
        e->device = at;
        at += hm_stored_bytes(e->shape, e->dtype);
        HM_TRY(hm_cuda_write(d, e->device, e->data, bytes_of(e)));
    }
    return HM_OK;
}

hm_status hm_store_use(hm_store *s, hm_cuda *d, bool updates) {
    s->cuda = d;
    for (size_t i = 0; s->host_newer && i < s->n; i++)
        if (s->entries[i].device != NULL)
            HM_TRY(hm_cuda_write(d, s->entries[i].device, s->entries[i].data, bytes_of(&s->entries[i])));
    HM_TRY(place(s, d));
    s->host_newer = false;
    s->device_newer |= updates;
    return HM_OK;
}

static entry *find(const hm_store *s, const char *name) {
    for (size_t i = 0; i < s->n; i++)
        if (strcmp(s->entries[i].name, name) == 0)
            return &s->entries[i];
    return NULL;
}

static hm_status add(hm_store *s, const char *name, hm_shape shape, hm_storage kind, hm_dtype dtype) {
    HM_TRY(hm_grow(&s->entries, &s->cap, s->n + 1, sizeof(entry)));
    entry *const e = &s->entries[s->n];
    *e = (entry){.shape = shape, .kind = kind, .dtype = dtype};
    HM_TRY(hm_strdup(&e->name, name));
    s->n++; /* from here on hm_store_free owns it */
    const size_t count = (size_t)hm_shape_count(shape);
    HM_TRY(hm_alloc(&e->data, count ? count : 1, hm_dtype_size(dtype)));
    return HM_OK;
}

hm_status hm_store_add(hm_store *s, const hm_graph *g) {
    for (size_t i = 0; i < g->n_tensors; i++) {
        const hm_tensor *const t = g->tensors[i];
        if (!hm_is_stored(t))
            continue;
        const entry *const known = find(s, t->name);
        if (known == NULL) {
            HM_TRY(add(s, t->name, t->shape, t->storage, t->dtype));
        } else if (!hm_shape_equal(known->shape, t->shape) || known->dtype != t->dtype) {
            char a[96], b[96];
            HM_FAIL(HM_ERR_ARG, "tensor %s is %s %s in the store but %s %s in the graph", t->name,
                    hm_dtype_name(known->dtype), hm_shape_text(known->shape, a), hm_dtype_name(t->dtype),
                    hm_shape_text(t->shape, b));
        }
    }
    return HM_OK;
}

float *hm_store_find(const hm_store *s, const char *name, hm_shape *shape) {
    const entry *const e = find(s, name);
    if (e == NULL || e->dtype != HM_F32 || fetch(s) != HM_OK)
        return NULL;
    if (shape != NULL)
        *shape = e->shape;
    return e->data;
}

void *hm_store_device_data(const hm_store *s, const char *name) {
    const entry *const e = find(s, name);
    return e != NULL ? e->device : NULL;
}

void *hm_store_data(const hm_store *s, const char *name, hm_shape *shape, hm_dtype *dtype) {
    const entry *const e = find(s, name);
    if (e == NULL || fetch(s) != HM_OK)
        return NULL;
    *shape = e->shape;
    *dtype = e->dtype;
    return e->data;
}

hm_status hm_store_like(hm_store **out, const hm_store *s, const char *without) {
    hm_status st = hm_store_create(out);
    for (size_t i = 0; i < s->n && st == HM_OK; i++) {
        const entry *const e = &s->entries[i];
        if (strncmp(e->name, without, strlen(without)) != 0)
            st = add(*out, e->name, e->shape, e->kind, e->dtype);
    }
    if (st == HM_OK)
        return HM_OK;
    hm_store_free(*out);
    *out = NULL;
    return st;
}

const void *hm_store_read(const hm_store *s, size_t i, const char **name, hm_shape *shape, hm_dtype *dtype) {
    const entry *const e = &s->entries[i];
    *name = e->name;
    *shape = e->shape;
    *dtype = e->dtype;
    return fetch_to_read(s) == HM_OK ? e->data : NULL;
}

hm_status hm_store_copy(hm_store *to, const hm_store *from) {
    const hm_isa isa = hm_isa_best();
    HM_TRY(fetch_to_read(from));
    HM_TRY(fetch(to));
    for (size_t i = 0; i < to->n; i++) {
        const entry *const d = &to->entries[i], *const x = find(from, d->name);
        if (x == NULL)
            continue;
        if (!hm_shape_equal(x->shape, d->shape))
            HM_FAIL(HM_ERR_INTERNAL, "tensor %s has two shapes", d->name);
        hm_convert(x->dtype, x->data, d->dtype, d->data, hm_shape_count(d->shape), isa, 1);
    }
    return HM_OK;
}

size_t hm_store_count(const hm_store *s) {
    return s->n;
}

float *hm_store_at(const hm_store *s, size_t i, const char **name, hm_shape *shape, hm_storage *kind) {
    const entry *const e = &s->entries[i];
    *name = e->name;
    *shape = e->shape;
    *kind = e->kind;
    return e->dtype == HM_F32 && fetch(s) == HM_OK ? e->data : NULL;
}
