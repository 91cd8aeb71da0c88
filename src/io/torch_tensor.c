/* torch_tensor.c: makes tensors of what the pickle of a PyTorch file says of them, and holds every one to its storage.
 */
#include "io/torch_file.h"

#include "base/mem.h"
#include "io/st_header.h"
#include "io/torch_storage.h"

#include <string.h>

enum { MOST_TIMES = 4, SPARE_BYTES = 1 << 20 /* all tensors together: so many times the file's bytes, and these */ };

/* What _rebuild_tensor_v2 is given. */
typedef struct view {
    hm_torch_claim claim;
    int64_t offset; /* numbers */
    int rank;
    int64_t shape[HM_ST_MAX_RANK], strides[HM_ST_MAX_RANK];
    const uint8_t *storage; /* [claim.count] numbers */
} view;

static hm_status bad_tensor(const hm_torch_file *f, const char *name, const char *what) {
    HM_FAIL(HM_ERR_FORMAT, "%s: tensor \"%.200s\" %s; the file is damaged, or its copy was cut short", f->path, name,
            what);
}

/* ---- what the pickle says ---- */

static bool is_call(const hm_pickle_value *v, hm_pickle_meaning meaning) {
    return v != NULL && v->kind == HM_PICKLE_OBJECT && v->object.type->meaning == meaning;
}

/* The tensor inside a parameter; anything else as it is. */
static const hm_pickle_value *unwrap(const hm_pickle_value *v) {
    return is_call(v, HM_MEANS_PARAMETER) && v->object.arguments->n > 0 ? v->object.arguments->items[0] : v;
}

bool hm_torch_is_tensor(const hm_pickle_value *v) {
    return is_call(unwrap(v), HM_MEANS_TENSOR);
}

hm_status hm_torch_read_claim(const hm_torch_file *f, const hm_pickle_value *v, hm_torch_claim *out) {
    if (v == NULL || v->kind != HM_PICKLE_TUPLE || v->n < 5 || !hm_pickle_is(v->items[0], "storage") ||
        v->items[1]->kind != HM_PICKLE_NAME || v->items[1]->known->meaning != HM_MEANS_STORAGE ||
        v->items[2]->kind != HM_PICKLE_STRING || v->items[4]->kind != HM_PICKLE_INT || v->items[4]->integer < 0)
        HM_FAIL(HM_ERR_FORMAT, "%s: its pickle refers to something outside that is no storage of numbers", f->path);
    if (v->n > 5 && v->items[5]->kind != HM_PICKLE_NONE)
        HM_FAIL(
            HM_ERR_UNSUPPORTED,
            "%s: its storages are views of others, as PyTorch before 0.4 had them; load it in Python and save it again",
            f->path);
    *out = (hm_torch_claim){v->items[1]->known->dtype, v->items[2]->text, v->items[2]->len, v->items[4]->integer};
    return HM_OK;
}

/* out[*n] from a tuple of numbers that are not negative. */
static bool read_sizes(const hm_pickle_value *v, int64_t *out, int *n) {
    if (v->kind != HM_PICKLE_TUPLE || v->n > HM_ST_MAX_RANK)
        return false;
    *n = (int)v->n;
    for (int i = 0; i < *n; i++) {
        if (v->items[i]->kind != HM_PICKLE_INT || v->items[i]->integer < 0)
            return false;
        out[i] = v->items[i]->integer;
    }
    return true;
}

static hm_status read_view(const hm_torch_file *f, const hm_pickle_value *v, const char *name, view *out) {
    const hm_pickle_value *const arguments = v->object.arguments;
    hm_pickle_value *const *const a = arguments->items;
    int n_strides = 0;
    *out = (view){0};
    if (arguments->n < 4 || a[0]->kind != HM_PICKLE_OUTSIDE || a[1]->kind != HM_PICKLE_INT || a[1]->integer < 0)
        return bad_tensor(f, name, "has no storage and offset");
    HM_TRY(hm_torch_read_claim(f, a[0]->inner, &out->claim));
    out->offset = a[1]->integer;
    if (!read_sizes(a[2], out->shape, &out->rank) || !read_sizes(a[3], out->strides, &n_strides) ||
        n_strides != out->rank)
        return bad_tensor(f, name, "has no sound shape and strides (up to 8 numbers each, none negative)");
    return HM_OK;
}

/* ---- what the file holds ---- */

/* A storage must have exactly the bytes that the pickle says, as PyTorch itself demands. */
static hm_status find_numbers(const hm_torch_file *f, const char *name, view *v) {
    const hm_torch_claim *const c = &v->claim;
    const hm_torch_storage *const s = hm_torch_find_storage(f, c->key, c->key_len);
    size_t bytes;
    if (s == NULL || s->data == NULL)
        return bad_tensor(f, name, "has its numbers in a storage that the file lacks");
    if (__builtin_mul_overflow((uint64_t)c->count, hm_st_dtype_size(c->dtype), &bytes) || bytes != s->bytes)
        HM_FAIL(
            HM_ERR_FORMAT,
            "%s: tensor \"%.200s\" needs a storage of %lld numbers of %s, but the file's has %zu bytes; the file is "
            "damaged, or its copy was cut short",
            f->path, name, (long long)c->count, hm_st_dtype_name(c->dtype), s->bytes);
    v->storage = s->data;
    return HM_OK;
}

/* The last number must lie in the storage. */
static hm_status check_reach(const hm_torch_file *f, const char *name, const view *v) {
    int64_t last = v->offset;
    bool empty = false;
    for (int i = 0; i < v->rank; i++) {
        int64_t far;
        empty |= v->shape[i] == 0;
        if (v->shape[i] > 0 &&
            (__builtin_mul_overflow(v->shape[i] - 1, v->strides[i], &far) || __builtin_add_overflow(last, far, &last)))
            return bad_tensor(f, name, "is larger than any memory");
    }
    if (empty ? v->offset > v->claim.count : last >= v->claim.count)
        return bad_tensor(f, name, "reaches beyond its storage");
    return HM_OK;
}

static bool is_row_major(const view *v) {
    int64_t step = 1;
    for (int i = v->rank - 1; i >= 0; i--) {
        if (v->shape[i] != 1 && v->strides[i] != step)
            return false;
        step *= v->shape[i]; /* cannot overflow: the whole product has been checked */
    }
    return true;
}

/* ---- copies of views ---- */

/* Advances the index of a row-major walk. */
static void step_index(const view *v, int64_t *index) {
    for (int i = v->rank - 1; i >= 0; i--) {
        if (++index[i] < v->shape[i])
            return;
        index[i] = 0;
    }
}

static void gather(const view *v, uint8_t *to, size_t count) {
    const size_t item = hm_st_dtype_size(v->claim.dtype);
    int64_t index[HM_ST_MAX_RANK] = {0};
    for (size_t k = 0; k < count; k++) {
        int64_t at = v->offset;
        for (int i = 0; i < v->rank; i++)
            at += index[i] * v->strides[i];
        memcpy(to + k * item, v->storage + (size_t)at * item, item);
        step_index(v, index);
    }
}

static hm_status copy_view(hm_torch_file *f, const view *v, hm_safetensor *out) {
    uint8_t *copy;
    HM_TRY(hm_grow(&f->copies, &f->copies_cap, f->n_copies + 1, sizeof *f->copies));
    HM_TRY(hm_alloc(&copy, out->bytes, 1));
    f->copies[f->n_copies++] = copy;
    gather(v, copy, out->bytes / hm_st_dtype_size(out->dtype));
    out->data = copy;
    return HM_OK;
}

/* ---- all of it ---- */

/* Views may repeat a storage's numbers (stride 0, shared storages); a hostile file could make terabytes of it. */
static hm_status count_given(hm_torch_file *f, const char *name, size_t bytes) {
    const uint64_t most = (uint64_t)f->file_bytes * MOST_TIMES + SPARE_BYTES;
    if (bytes > most - f->given)
        HM_FAIL(
            HM_ERR_UNSUPPORTED,
            "%s: with tensor \"%.200s\" its tensors have more than %d times the bytes of the file: they repeat their "
            "storages, which no weights do",
            f->path, name, MOST_TIMES);
    f->given += bytes;
    return HM_OK;
}

hm_status hm_torch_tensor(hm_torch_file *f, const hm_pickle_value *value, const char *name, hm_safetensor *out) {
    view v;
    *out = (hm_safetensor){.name = name};
    if (!hm_torch_is_tensor(value))
        HM_FAIL(HM_ERR_FORMAT, "%s: \"%.200s\" is not a tensor", f->path, name);
    HM_TRY(read_view(f, unwrap(value), name, &v));
    HM_TRY(find_numbers(f, name, &v));
    HM_TRY(check_reach(f, name, &v));
    out->dtype = v.claim.dtype;
    out->rank = v.rank;
    memcpy(out->shape, v.shape, sizeof v.shape);
    if (!hm_st_size(out->dtype, v.rank, v.shape, &out->bytes))
        return bad_tensor(f, name, "is larger than any memory");
    HM_TRY(count_given(f, name, out->bytes));
    if (out->bytes > 0 && !is_row_major(&v))
        return copy_view(f, &v, out);
    out->data = v.storage + (size_t)v.offset * hm_st_dtype_size(out->dtype);
    return HM_OK;
}
