/* pickle_write.c: see pickle_write.h. Nothing is memoised: readers do not ask for it, and checkpoints are mostly
 * numbers outside of the pickle. */
#include "io/pickle_write.h"

#include "base/little_endian.h"
#include "base/mem.h"

#include <string.h>

static void put(hm_pickle_out *o, const void *data, size_t len) {
    if (o->st == HM_OK)
        o->st = hm_grow(&o->data, &o->cap, o->len + len, 1);
    if (o->st != HM_OK || len == 0)
        return;
    memcpy(o->data + o->len, data, len);
    o->len += len;
}

static void put_code(hm_pickle_out *o, uint8_t code) {
    put(o, &code, 1);
}

static void put_number(hm_pickle_out *o, uint64_t x, int bytes) {
    uint8_t little[8];
    hm_little_write(little, x, bytes);
    put(o, little, (size_t)bytes);
}

static void put_name(hm_pickle_out *o, const char *module, const char *name) {
    put_code(o, 'c');
    put(o, module, strlen(module));
    put_code(o, '\n');
    put(o, name, strlen(name));
    put_code(o, '\n');
}

void hm_pickle_begin(hm_pickle_out *o) {
    *o = (hm_pickle_out){0};
    put(o, "\x80\x02", 2);
}

hm_status hm_pickle_end(hm_pickle_out *o) {
    put_code(o, '.');
    return o->st;
}

void hm_pickle_put_none(hm_pickle_out *o) {
    put_code(o, 'N');
}

void hm_pickle_put_bool(hm_pickle_out *o, bool x) {
    put_code(o, x ? 0x88 : 0x89);
}

void hm_pickle_put_int(hm_pickle_out *o, int64_t x) {
    const bool small = x >= INT32_MIN && x <= INT32_MAX;
    put(o, small ? "J" : "\x8a\x08", small ? 1 : 2);
    put_number(o, (uint64_t)x, small ? 4 : 8);
}

void hm_pickle_put_text(hm_pickle_out *o, const char *text) {
    const size_t n = strlen(text);
    put_code(o, 'X');
    put_number(o, n, 4);
    put(o, text, n);
}

void hm_pickle_put_ints(hm_pickle_out *o, const int *x, int n) {
    hm_pickle_open_list(o);
    for (int i = 0; i < n; i++)
        hm_pickle_put_int(o, x[i]);
    hm_pickle_close_list(o);
}

void hm_pickle_open_dict(hm_pickle_out *o, bool ordered) {
    if (ordered) {
        put_name(o, "collections", "OrderedDict");
        put(o, ")R", 2);
    } else
        put_code(o, '}');
    put_code(o, '(');
}

void hm_pickle_close_dict(hm_pickle_out *o) {
    put_code(o, 'u');
}

void hm_pickle_open_list(hm_pickle_out *o) {
    put(o, "](", 2);
}

void hm_pickle_close_list(hm_pickle_out *o) {
    put_code(o, 'e');
}

/* ---- tensors ---- */

static const char *const storages[HM_ST_DTYPES] = {
    [HM_ST_F64] = "DoubleStorage",    [HM_ST_F32] = "FloatStorage", [HM_ST_F16] = "HalfStorage",
    [HM_ST_BF16] = "BFloat16Storage", [HM_ST_I64] = "LongStorage",  [HM_ST_I32] = "IntStorage",
    [HM_ST_I16] = "ShortStorage",     [HM_ST_I8] = "CharStorage",   [HM_ST_U8] = "ByteStorage",
    [HM_ST_BOOL] = "BoolStorage",
};

static void put_sizes(hm_pickle_out *o, const int64_t *x, int n) {
    put_code(o, '(');
    for (int i = 0; i < n; i++)
        hm_pickle_put_int(o, x[i]);
    put_code(o, 't');
}

/* ("storage", type, key, "cpu", numbers), and that this is meant outside. */
static void put_storage(hm_pickle_out *o, const hm_safetensor *t, const char *key) {
    put_code(o, '(');
    hm_pickle_put_text(o, "storage");
    put_name(o, "torch", storages[t->dtype]);
    hm_pickle_put_text(o, key);
    hm_pickle_put_text(o, "cpu");
    hm_pickle_put_int(o, (int64_t)(t->bytes / hm_st_dtype_size(t->dtype)));
    put(o, "tQ", 2);
}

void hm_pickle_put_tensor(hm_pickle_out *o, const hm_safetensor *t, const char *key) {
    int64_t strides[HM_ST_MAX_RANK], step = 1;
    for (int i = t->rank - 1; i >= 0; i--) {
        strides[i] = step;
        step *= t->shape[i] > 1 ? t->shape[i] : 1;
    }
    put_name(o, "torch._utils", "_rebuild_tensor_v2");
    put_code(o, '(');
    put_storage(o, t, key);
    hm_pickle_put_int(o, 0);
    put_sizes(o, t->shape, t->rank);
    put_sizes(o, strides, t->rank);
    hm_pickle_put_bool(o, false); /* requires_grad */
    put_name(o, "collections", "OrderedDict");
    put(o, ")RtR", 4); /* no hooks; the arguments end; the call */
}
