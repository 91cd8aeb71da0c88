/* safetensors_write.c: the writer of safetensors.h: the header is built in memory, the data goes straight from the
 * caller's tensors to an atomic file. */
#include "io/safetensors.h"

#include "base/little_endian.h"
#include "base/mem.h"
#include "io/atomic.h"
#include "io/st_header.h"

#include <stdlib.h>
#include <string.h>
#include <yajl/yajl_gen.h>

enum { ALIGN = 8 /* bytes; of the data section's start */ };

static int compare_strings(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Refuses a string that occurs twice; item i is at `first` + i*stride. */
static hm_status check_unique(const char *path, const char *what, const void *first, size_t n, size_t stride) {
    const char **sorted = NULL;
    hm_status st = HM_OK;
    HM_TRY(hm_alloc(&sorted, n, sizeof *sorted));
    for (size_t i = 0; i < n; i++)
        memcpy(&sorted[i], (const char *)first + i * stride, sizeof *sorted);
    if (n > 1)
        qsort(sorted, n, sizeof *sorted, compare_strings);
    for (size_t i = 1; i < n && st == HM_OK; i++)
        if (strcmp(sorted[i - 1], sorted[i]) == 0)
            st = hm_fail(HM_ERR_ARG, "cannot write %s: the %s \"%.200s\" is given twice", path, what, sorted[i]);
    free(sorted);
    return st;
}

static hm_status check_tensor(const char *path, const hm_safetensor *t) {
    size_t bytes;
    if (strcmp(t->name, "__metadata__") == 0)
        HM_FAIL(HM_ERR_ARG, "cannot write %s: no tensor may be called __metadata__; rename it", path);
    if (t->rank < 0 || t->rank > HM_ST_MAX_RANK || (unsigned)t->dtype >= HM_ST_DTYPES)
        HM_FAIL(HM_ERR_ARG, "cannot write %s: tensor \"%.200s\" has an unknown dtype or more than %d dimensions", path,
                t->name, HM_ST_MAX_RANK);
    if (!hm_st_size(t->dtype, t->rank, t->shape, &bytes) || bytes != t->bytes)
        HM_FAIL(HM_ERR_ARG, "cannot write %s: tensor \"%.200s\" has %zu bytes, which is not its shape times its dtype",
                path, t->name, t->bytes);
    return HM_OK;
}

static yajl_gen_status put_string(yajl_gen g, const char *s) {
    return yajl_gen_string(g, (const unsigned char *)s, strlen(s));
}

static yajl_gen_status put_metadata(yajl_gen g, const hm_st_pair *pairs, size_t n) {
    yajl_gen_status said = n > 0 ? put_string(g, "__metadata__") : yajl_gen_status_ok;
    if (n > 0 && said == yajl_gen_status_ok)
        said = yajl_gen_map_open(g);
    for (size_t i = 0; i < n && said == yajl_gen_status_ok; i++) {
        said = put_string(g, pairs[i].key);
        if (said == yajl_gen_status_ok)
            said = put_string(g, pairs[i].value);
    }
    return n > 0 && said == yajl_gen_status_ok ? yajl_gen_map_close(g) : said;
}

static yajl_gen_status put_tensor(yajl_gen g, const hm_safetensor *t, uint64_t begin) {
    const yajl_gen_status said = put_string(g, t->name);
    if (said != yajl_gen_status_ok)
        return said;
    yajl_gen_map_open(g);
    put_string(g, "dtype");
    put_string(g, hm_st_dtype_name(t->dtype));
    put_string(g, "shape");
    yajl_gen_array_open(g);
    for (int i = 0; i < t->rank; i++)
        yajl_gen_integer(g, t->shape[i]);
    yajl_gen_array_close(g);
    put_string(g, "data_offsets");
    yajl_gen_array_open(g);
    yajl_gen_integer(g, (long long)begin);
    yajl_gen_integer(g, (long long)(begin + t->bytes));
    yajl_gen_array_close(g);
    return yajl_gen_map_close(g);
}

static hm_status build_header(yajl_gen g, const char *path, const hm_safetensor *tensors, size_t n,
                              const hm_st_pair *metadata, size_t n_metadata) {
    uint64_t at = 0;
    yajl_gen_map_open(g);
    if (put_metadata(g, metadata, n_metadata) != yajl_gen_status_ok)
        HM_FAIL(HM_ERR_ARG, "cannot write %s: its metadata is not UTF-8 text", path);
    for (size_t i = 0; i < n; i++) {
        const uint64_t begin = at;
        HM_TRY(check_tensor(path, &tensors[i]));
        if (__builtin_add_overflow(at, tensors[i].bytes, &at) || at > INT64_MAX)
            HM_FAIL(HM_ERR_ARG, "cannot write %s: its tensors are larger than any file", path);
        if (put_tensor(g, &tensors[i], begin) != yajl_gen_status_ok)
            HM_FAIL(HM_ERR_ARG, "cannot write %s: the name of tensor %zu is not UTF-8 text", path, i);
    }
    yajl_gen_map_close(g);
    return HM_OK;
}

static hm_status write_header(hm_atomic *file, yajl_gen g) {
    const unsigned char *json;
    size_t len;
    uint8_t prefix[ALIGN];
    yajl_gen_get_buf(g, &json, &len);
    const size_t pad = (ALIGN - len % ALIGN) % ALIGN;
    hm_little_write(prefix, len + pad, ALIGN);
    HM_TRY(hm_atomic_write(file, prefix, sizeof prefix));
    HM_TRY(hm_atomic_write(file, json, len));
    return hm_atomic_write(file, "       ", pad);
}

hm_status hm_safetensors_write(const char *path, const hm_safetensor *tensors, size_t n, const hm_st_pair *metadata,
                               size_t n_metadata) {
    hm_atomic *file = NULL;
    hm_status st;
    const yajl_gen g = yajl_gen_alloc(NULL);
    if (g == NULL)
        HM_FAIL(HM_ERR_MEMORY, "cannot write %s: out of memory", path);
    yajl_gen_config(g, yajl_gen_validate_utf8, 1);
    if (n > 0)
        HM_TRY_TO(st, done, check_unique(path, "tensor", &tensors[0].name, n, sizeof *tensors));
    if (n_metadata > 0)
        HM_TRY_TO(st, done, check_unique(path, "metadata key", &metadata[0].key, n_metadata, sizeof *metadata));
    HM_TRY_TO(st, done, build_header(g, path, tensors, n, metadata, n_metadata));
    HM_TRY_TO(st, done, hm_atomic_open(path, &file));
    HM_TRY_TO(st, done, write_header(file, g));
    for (size_t i = 0; i < n; i++)
        HM_TRY_TO(st, done, hm_atomic_write(file, tensors[i].data, tensors[i].bytes));
    st = hm_atomic_commit(&file);
done:
    hm_atomic_abort(file);
    yajl_gen_free(g);
    return st;
}
