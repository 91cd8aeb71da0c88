/* st_header.c: yajl callbacks for the safetensors header. The grammar is fixed, so one place (where) and one key say
 * all; anything that the format does not have is refused. Format: see safetensors.h. */
#include "io/st_header.h"

#include "base/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <yajl/yajl_parse.h>

typedef enum place { AT_START, IN_HEADER, IN_TENSOR, IN_SHAPE, IN_OFFSETS, IN_METADATA } place;
typedef enum key { KEY_NONE, KEY_DTYPE, KEY_SHAPE, KEY_OFFSETS } key;

typedef struct parser {
    hm_st_header *out;
    const char *path;
    place where;
    key key;
    unsigned seen; /* bit per key of the present tensor */
    bool meta;     /* the header's present key is __metadata__ */
    bool had_meta;
    int offsets; /* data_offsets read so far */
    size_t name; /* of the present tensor or metadata key, in text */
    hm_st_entry entry;
    hm_status st;
} parser;

static const struct {
    const char *name;
    size_t size;
} dtypes[HM_ST_DTYPES] = {
    [HM_ST_F64] = {"F64", 8}, [HM_ST_F32] = {"F32", 4},   [HM_ST_F16] = {"F16", 2}, [HM_ST_BF16] = {"BF16", 2},
    [HM_ST_I64] = {"I64", 8}, [HM_ST_I32] = {"I32", 4},   [HM_ST_I16] = {"I16", 2}, [HM_ST_I8] = {"I8", 1},
    [HM_ST_U8] = {"U8", 1},   [HM_ST_BOOL] = {"BOOL", 1},
};

const char *hm_st_dtype_name(hm_st_dtype dtype) {
    return dtypes[dtype].name;
}

size_t hm_st_dtype_size(hm_st_dtype dtype) {
    return dtypes[dtype].size;
}

bool hm_st_size(hm_st_dtype dtype, int rank, const int64_t *shape, size_t *bytes) {
    size_t product = dtypes[dtype].size;
    for (int i = 0; i < rank; i++)
        if (shape[i] < 0 || __builtin_mul_overflow(product, (size_t)shape[i], &product))
            return false;
    *bytes = product;
    return true;
}

/* Records the fault and cancels the parse. */
static int refuse(parser *p, const char *what) {
    if (p->where >= IN_TENSOR && p->where <= IN_OFFSETS)
        p->st = hm_fail(HM_ERR_FORMAT, "%s: the header's tensor \"%.200s\" %s; write the file anew", p->path,
                        p->out->text + p->name, what);
    else
        p->st = hm_fail(HM_ERR_FORMAT, "%s: the header %s; write the file anew", p->path, what);
    return 0;
}

static int misplaced(parser *p) {
    return refuse(p, p->where == AT_START ? "is not a JSON object" : "has a value of the wrong type");
}

/* *at = offset of a copy of the string; refuses an embedded NUL, which would cut it. */
static int add_text(parser *p, const unsigned char *s, size_t len, size_t *at) {
    hm_st_header *const h = p->out;
    if (memchr(s, '\0', len) != NULL)
        return refuse(p, "has a string with a NUL character in it");
    p->st = hm_grow(&h->text, &h->text_cap, h->text_len + len + 1, 1);
    if (p->st != HM_OK)
        return 0;
    *at = h->text_len;
    memcpy(h->text + h->text_len, s, len);
    h->text[h->text_len + len] = '\0';
    h->text_len += len + 1;
    return 1;
}

static bool equals(const unsigned char *s, size_t len, const char *word) {
    return len == strlen(word) && memcmp(s, word, len) == 0;
}

static int on_null(void *ctx) {
    return misplaced(ctx);
}

static int on_boolean(void *ctx, int value) {
    (void)value;
    return misplaced(ctx);
}

static int on_number(void *ctx, const char *s, size_t len) {
    parser *const p = ctx;
    char digits[24];
    size_t n = 0;
    if (p->where != IN_SHAPE && p->where != IN_OFFSETS)
        return misplaced(p);
    while (n < len && s[n] >= '0' && s[n] <= '9')
        n++;
    if (n < len || len >= sizeof digits)
        return refuse(p, "has a length or offset that is not a whole number from 0 to 2^63-1");
    memcpy(digits, s, len);
    digits[len] = '\0';
    errno = 0;
    const int64_t value = strtoll(digits, NULL, 10);
    if (errno != 0)
        return refuse(p, "has a length or offset that is not a whole number from 0 to 2^63-1");
    if (p->where == IN_SHAPE) {
        if (p->entry.rank == HM_ST_MAX_RANK)
            return refuse(p, "has more than 8 dimensions");
        p->entry.shape[p->entry.rank++] = value;
        return 1;
    }
    if (p->offsets == 2)
        return refuse(p, "has more than two data_offsets");
    *(p->offsets++ == 0 ? &p->entry.begin : &p->entry.end) = (uint64_t)value;
    return 1;
}

static int on_string(void *ctx, const unsigned char *s, size_t len) {
    parser *const p = ctx;
    hm_st_header *const h = p->out;
    if (p->where == IN_METADATA) {
        size_t value;
        if (!add_text(p, s, len, &value))
            return 0;
        p->st = hm_grow(&h->pairs, &h->pairs_cap, 2 * (h->n_pairs + 1), sizeof *h->pairs);
        if (p->st != HM_OK)
            return 0;
        h->pairs[2 * h->n_pairs] = p->name;
        h->pairs[2 * h->n_pairs + 1] = value;
        h->n_pairs++;
        return 1;
    }
    if (p->where != IN_TENSOR || p->key != KEY_DTYPE)
        return misplaced(p);
    for (int d = 0; d < HM_ST_DTYPES; d++)
        if (equals(s, len, dtypes[d].name)) {
            p->entry.dtype = (hm_st_dtype)d;
            return 1;
        }
    return refuse(p, "has a dtype other than F64 F32 F16 BF16 I64 I32 I16 I8 U8 BOOL");
}

static int on_start_map(void *ctx) {
    parser *const p = ctx;
    if (p->where == AT_START) {
        p->where = IN_HEADER;
        return 1;
    }
    if (p->where != IN_HEADER)
        return misplaced(p);
    p->where = p->meta ? IN_METADATA : IN_TENSOR;
    p->seen = 0;
    p->offsets = 0;
    p->entry = (hm_st_entry){.name = p->name};
    return 1;
}

static int on_map_key(void *ctx, const unsigned char *s, size_t len) {
    static const char *const names[] = {[KEY_DTYPE] = "dtype", [KEY_SHAPE] = "shape", [KEY_OFFSETS] = "data_offsets"};
    parser *const p = ctx;
    if (p->where == IN_TENSOR) {
        for (key k = KEY_DTYPE; k <= KEY_OFFSETS; k++)
            if (equals(s, len, names[k])) {
                if (p->seen & 1u << k)
                    return refuse(p, "has a key twice");
                p->seen |= 1u << k;
                p->key = k;
                return 1;
            }
        return refuse(p, "has a key other than dtype, shape and data_offsets");
    }
    p->meta = p->where == IN_HEADER && equals(s, len, "__metadata__");
    if (p->meta && p->had_meta)
        return refuse(p, "has __metadata__ twice");
    p->had_meta |= p->meta;
    return add_text(p, s, len, &p->name);
}

static int end_tensor(parser *p) {
    hm_st_header *const h = p->out;
    const hm_st_entry *const e = &p->entry;
    if (p->seen != (1u << KEY_DTYPE | 1u << KEY_SHAPE | 1u << KEY_OFFSETS))
        return refuse(p, "lacks dtype, shape or data_offsets");
    if (p->offsets != 2)
        return refuse(p, "has data_offsets that are not two numbers");
    if (e->begin > e->end)
        return refuse(p, "has data_offsets that run backwards");
    if (!hm_st_size(e->dtype, e->rank, e->shape, &p->entry.bytes))
        return refuse(p, "has a shape too large for any memory");
    if (e->end - e->begin != e->bytes)
        return refuse(p, "has data_offsets that do not span its shape times its dtype's size");
    p->st = hm_grow(&h->entries, &h->entries_cap, h->n + 1, sizeof *h->entries);
    if (p->st != HM_OK)
        return 0;
    h->entries[h->n++] = *e;
    return 1;
}

static int on_end_map(void *ctx) {
    parser *const p = ctx;
    if (p->where == IN_TENSOR && !end_tensor(p))
        return 0;
    p->where = IN_HEADER; /* after the outermost object yajl lets no value follow */
    return 1;
}

static int on_start_array(void *ctx) {
    parser *const p = ctx;
    if (p->where != IN_TENSOR || p->key == KEY_DTYPE)
        return misplaced(p);
    p->where = p->key == KEY_SHAPE ? IN_SHAPE : IN_OFFSETS;
    return 1;
}

static int on_end_array(void *ctx) {
    parser *const p = ctx;
    p->where = IN_TENSOR;
    return 1;
}

static const yajl_callbacks callbacks = {
    .yajl_null = on_null,
    .yajl_boolean = on_boolean,
    .yajl_number = on_number,
    .yajl_string = on_string,
    .yajl_start_map = on_start_map,
    .yajl_map_key = on_map_key,
    .yajl_end_map = on_end_map,
    .yajl_start_array = on_start_array,
    .yajl_end_array = on_end_array,
};

static hm_status not_json(yajl_handle y, const char *path) {
    unsigned char *const why = yajl_get_error(y, 0, NULL, 0);
    char *const line = why != NULL ? strchr((char *)why, '\n') : NULL;
    if (line != NULL)
        *line = '\0';
    const hm_status st =
        hm_fail(HM_ERR_FORMAT, "%s: the header is not JSON at its byte %zu (%s); is it the right file?", path,
                yajl_get_bytes_consumed(y), why != NULL ? (char *)why : "unknown error");
    if (why != NULL)
        yajl_free_error(y, why);
    return st;
}

hm_status hm_st_header_parse(hm_st_header *out, const char *path, const char *json, size_t len) {
    parser p = {.out = out, .path = path, .where = AT_START};
    memset(out, 0, sizeof *out);
    const yajl_handle y = yajl_alloc(&callbacks, NULL, &p);
    if (y == NULL)
        HM_FAIL(HM_ERR_MEMORY, "cannot read %s: out of memory", path);
    yajl_status said = yajl_parse(y, (const unsigned char *)json, len);
    if (said == yajl_status_ok)
        said = yajl_complete_parse(y);
    if (said == yajl_status_error)
        p.st = not_json(y, path);
    yajl_free(y);
    if (p.st != HM_OK)
        hm_st_header_free(out);
    return p.st;
}

void hm_st_header_free(hm_st_header *h) {
    free(h->entries);
    free(h->pairs);
    free(h->text);
    memset(h, 0, sizeof *h);
}
