/* torch_file.c: opens both forms: finds the pickle of the object and the storages. torch_tensor.c makes tensors. */
#include "io/torch_file.h"

#include "base/little_endian.h"
#include "base/mem.h"
#include "io/torch_storage.h"

#include <stdlib.h>
#include <string.h>

enum { LEGACY_SEEN = 8, MAGIC_BYTES = 10, TAR_AT = 257, LEGACY_PROTOCOL = 1001, COUNT_BYTES = 8 };

/* The pickle of torch's magic number, which begins every file of the old form; its second byte is the
 * pickle's protocol. */
static const uint8_t legacy_start[] = {0x80, 2,    0x8a, MAGIC_BYTES, 0x6c, 0xfc, 0x9c, 0x46,
                                       0xf9, 0x20, 0x6a, 0xa8,        0x50, 0x19, '.'};

hm_torch_form hm_torch_recognise(const void *data, size_t len) {
    const uint8_t *const p = data;
    if (len >= 4 && (memcmp(p, "PK\3\4", 4) == 0 || memcmp(p, "PK\5\6", 4) == 0))
        return HM_TORCH_ZIP;
    if (len >= LEGACY_SEEN && p[0] == 0x80 && memcmp(p + 2, legacy_start + 2, LEGACY_SEEN - 2) == 0)
        return HM_TORCH_LEGACY;
    return len >= TAR_AT + 5 && memcmp(p + TAR_AT, "ustar", 5) == 0 ? HM_TORCH_TAR : HM_TORCH_NONE;
}

/* ---- storages ---- */

static int compare_storages(const void *a, const void *b) {
    const hm_torch_storage *const x = a, *const y = b;
    if (x->key_len != y->key_len)
        return x->key_len < y->key_len ? -1 : 1;
    return memcmp(x->key, y->key, x->key_len);
}

const hm_torch_storage *hm_torch_find_storage(const hm_torch_file *f, const char *key, size_t key_len) {
    const hm_torch_storage wanted = {.key = key, .key_len = key_len};
    return f->n_storages > 0 ? bsearch(&wanted, f->storages, f->n_storages, sizeof wanted, compare_storages) : NULL;
}

static hm_status add_storage(hm_torch_file *f, const hm_torch_storage *s) {
    HM_TRY(hm_grow(&f->storages, &f->cap, f->n_storages + 1, sizeof *f->storages));
    f->storages[f->n_storages++] = *s;
    return HM_OK;
}

static void sort_storages(hm_torch_file *f) {
    if (f->n_storages > 1)
        qsort(f->storages, f->n_storages, sizeof *f->storages, compare_storages);
}

/* ---- the zip form ---- */

/* All entries of a file lie in one folder, whose name is the writer's choice: that of the one entry that is called
 * data.pkl and lies right in it. */
static hm_status find_folder(const hm_torch_file *f, const char **folder, size_t *len) {
    static const char object[] = "data.pkl";
    const size_t n = sizeof object - 1;
    for (size_t i = 0; i < f->zip.n; i++) {
        const hm_zip_entry *const e = &f->zip.entries[i];
        const char *const slash = memchr(e->name, '/', e->name_len);
        if (slash == NULL || (size_t)(slash + 1 - e->name) + n != e->name_len || memcmp(slash + 1, object, n) != 0)
            continue;
        *folder = e->name;
        *len = e->name_len - n;
        return HM_OK;
    }
    HM_FAIL(HM_ERR_FORMAT, "%s is a zip archive without <folder>/data.pkl, so torch.save did not write it", f->path);
}

static hm_status check_order(const hm_torch_file *f, const char *folder, size_t len) {
    const hm_zip_entry *const order = hm_zip_find(&f->zip, folder, len, "byteorder");
    if (order != NULL && (order->len != 6 || memcmp(order->data, "little", 6) != 0))
        HM_FAIL(HM_ERR_UNSUPPORTED, "%s was written on a big-endian machine; save it again on another", f->path);
    if (hm_zip_find(&f->zip, folder, len, "constants.pkl") != NULL)
        HM_FAIL(HM_ERR_UNSUPPORTED,
                "%s is a TorchScript program, not a checkpoint; save the model's state dict with torch.save", f->path);
    return HM_OK;
}

static hm_status list_zip_storages(hm_torch_file *f, const char *folder, size_t len) {
    static const char data[] = "data/";
    const size_t n = sizeof data - 1;
    for (size_t i = 0; i < f->zip.n; i++) {
        const hm_zip_entry *const e = &f->zip.entries[i];
        if (e->name_len <= len + n || memcmp(e->name, folder, len) != 0 || memcmp(e->name + len, data, n) != 0)
            continue;
        HM_TRY(add_storage(f, &(hm_torch_storage){e->name + len + n, e->name_len - len - n, e->data, e->len, 0}));
    }
    sort_storages(f);
    return HM_OK;
}

static hm_status open_zip(hm_torch_file *f, const uint8_t *data, size_t len) {
    const char *folder = NULL;
    size_t folder_len = 0, used = 0;
    HM_TRY(hm_zip_open(&f->zip, f->path, data, len));
    HM_TRY(find_folder(f, &folder, &folder_len));
    HM_TRY(check_order(f, folder, folder_len));
    HM_TRY(list_zip_storages(f, folder, folder_len));
    const hm_zip_entry *const object = hm_zip_find(&f->zip, folder, folder_len, "data.pkl");
    return hm_pickle_read(&f->pickle, f->path, object->data, object->len, &used);
}

/* ---- the old form ---- */

typedef struct reader {
    hm_torch_file *f;
    const uint8_t *data;
    size_t at, len;
} reader;

static hm_status next_pickle(reader *r, hm_pickle **out) {
    size_t used = 0;
    HM_TRY(hm_pickle_read(out, r->f->path, r->data + r->at, r->len - r->at, &used));
    r->at += used;
    return HM_OK;
}

static hm_status broken(const reader *r, const char *what) {
    HM_FAIL(HM_ERR_FORMAT, "%s: %s; the file is damaged, or its copy was cut short", r->f->path, what);
}

static hm_status check_protocol(reader *r) {
    hm_pickle *p = NULL;
    HM_TRY(next_pickle(r, &p));
    const hm_pickle_value *const v = hm_pickle_root(p);
    const bool known = v->kind == HM_PICKLE_INT && v->integer == LEGACY_PROTOCOL;
    hm_pickle_free(p);
    return known ? HM_OK : broken(r, "its version is not torch.save's");
}

static hm_status check_system(reader *r) {
    hm_pickle *p = NULL;
    HM_TRY(next_pickle(r, &p));
    const hm_pickle_value *const little = hm_pickle_get(hm_pickle_root(p), "little_endian");
    const bool is_little = little == NULL || little->kind != HM_PICKLE_BOOL || little->truth;
    hm_pickle_free(p);
    if (!is_little)
        HM_FAIL(HM_ERR_UNSUPPORTED, "%s was written on a big-endian machine; save it again on another", r->f->path);
    return HM_OK;
}

/* One row for each storage that the object uses, by key; where it lies is not known yet. */
static hm_status list_claims(hm_torch_file *f) {
    const hm_pickle_value *v;
    size_t kept = 0;
    for (size_t i = 0; (v = hm_pickle_outside(f->pickle, i)) != NULL; i++) {
        hm_torch_claim c;
        HM_TRY(hm_torch_read_claim(f, v, &c));
        HM_TRY(add_storage(f, &(hm_torch_storage){c.key, c.key_len, NULL, 0, hm_st_dtype_size(c.dtype)}));
    }
    sort_storages(f);
    for (size_t i = 0; i < f->n_storages; i++)
        if (kept == 0 || compare_storages(&f->storages[kept - 1], &f->storages[i]) != 0)
            f->storages[kept++] = f->storages[i];
    f->n_storages = kept;
    return HM_OK;
}

/* A storage is the number of its items and then these. */
static hm_status place_storage(reader *r, hm_torch_storage *s) {
    size_t bytes;
    if (s->data != NULL)
        return broken(r, "a storage is listed twice");
    if (r->len - r->at < COUNT_BYTES)
        return broken(r, "a storage is missing at its end");
    const uint64_t count = hm_little_read(r->data + r->at, COUNT_BYTES);
    r->at += COUNT_BYTES;
    if (__builtin_mul_overflow(count, s->item, &bytes) || bytes > r->len - r->at)
        return broken(r, "a storage is longer than the file");
    s->data = r->data + r->at;
    s->bytes = bytes;
    r->at += bytes;
    return HM_OK;
}

static hm_status place_storages(reader *r, const hm_pickle_value *keys) {
    if (keys->kind != HM_PICKLE_LIST)
        return broken(r, "the list of its storages is missing");
    for (size_t i = 0; i < keys->n; i++) {
        const hm_pickle_value *const key = keys->items[i];
        const hm_torch_storage *const s =
            key->kind == HM_PICKLE_STRING ? hm_torch_find_storage(r->f, key->text, key->len) : NULL;
        if (s == NULL)
            return broken(r, "it lists a storage that no tensor uses");
        HM_TRY(place_storage(r, &r->f->storages[s - r->f->storages]));
    }
    return HM_OK;
}

static hm_status open_legacy(hm_torch_file *f, const uint8_t *data, size_t len) {
    reader r = {.f = f, .data = data, .at = sizeof legacy_start, .len = len};
    hm_pickle *keys = NULL;
    if (len < sizeof legacy_start || memcmp(data + 2, legacy_start + 2, sizeof legacy_start - 2) != 0)
        return broken(&r, "its magic number is cut");
    HM_TRY(check_protocol(&r));
    HM_TRY(check_system(&r));
    HM_TRY(next_pickle(&r, &f->pickle));
    HM_TRY(list_claims(f));
    HM_TRY(next_pickle(&r, &keys));
    const hm_status st = place_storages(&r, hm_pickle_root(keys));
    hm_pickle_free(keys);
    return st;
}

/* ---- both ---- */

static hm_status open_form(hm_torch_file *f, const void *data, size_t len) {
    switch (f->form) {
    case HM_TORCH_ZIP:
        return open_zip(f, data, len);
    case HM_TORCH_LEGACY:
        return open_legacy(f, data, len);
    case HM_TORCH_TAR:
        HM_FAIL(HM_ERR_UNSUPPORTED,
                "%s is a tar archive, the form of PyTorch before 2017; load it in Python and save it again", f->path);
    default:
        HM_FAIL(HM_ERR_FORMAT, "%s is not a file of torch.save", f->path);
    }
}

hm_status hm_torch_open(hm_torch_file **out, const char *path, const void *data, size_t len) {
    hm_torch_file *f = NULL;
    *out = NULL;
    HM_TRY(hm_alloc(&f, 1, sizeof *f));
    f->path = path;
    f->file_bytes = len;
    f->form = hm_torch_recognise(data, len);
    const hm_status st = open_form(f, data, len);
    if (st != HM_OK)
        hm_torch_close(f);
    else
        *out = f;
    return st;
}

void hm_torch_close(hm_torch_file *f) {
    if (f == NULL)
        return;
    for (size_t i = 0; i < f->n_copies; i++)
        free(f->copies[i]);
    free(f->copies);
    free(f->storages);
    hm_zip_close(&f->zip);
    hm_pickle_free(f->pickle);
    free(f);
}

hm_torch_form hm_torch_form_of(const hm_torch_file *f) {
    return f->form;
}

const hm_pickle_value *hm_torch_root(const hm_torch_file *f) {
    return hm_pickle_root(f->pickle);
}
