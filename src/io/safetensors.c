/* safetensors.c: see safetensors.h. Maps a file, checks its header against its length, hands out pointers.
 * st_header.c reads the JSON; safetensors_write.c writes. */
#include "io/safetensors.h"

#include "base/little_endian.h"
#include "base/mem.h"
#include "io/map_file.h"
#include "io/st_header.h"

#include <stdlib.h>
#include <string.h>

enum { LENGTH_BYTES = 8, MAX_HEADER = 100000000 /* bytes, the format's own limit */ };

struct hm_safetensors {
    hm_st_header header;
    hm_safetensor *tensors;       /* [header.n], header order */
    const hm_safetensor **sorted; /* [header.n], by name once open */
    hm_map map;                   /* empty when the memory is the caller's */
};

void hm_safetensors_close(hm_safetensors *s) {
    if (s == NULL)
        return;
    hm_st_header_free(&s->header);
    free(s->tensors);
    free(s->sorted);
    hm_unmap(&s->map);
    free(s);
}

size_t hm_safetensors_count(const hm_safetensors *s) {
    return s->header.n;
}

const hm_safetensor *hm_safetensors_at(const hm_safetensors *s, size_t i) {
    return &s->tensors[i];
}

static int compare_names(const void *a, const void *b) {
    return strcmp((*(const hm_safetensor *const *)a)->name, (*(const hm_safetensor *const *)b)->name);
}

const hm_safetensor *hm_safetensors_find(const hm_safetensors *s, const char *name) {
    const hm_safetensor wanted = {.name = name};
    const hm_safetensor *const key = &wanted;
    if (s->header.n == 0)
        return NULL;
    const hm_safetensor *const *const hit =
        bsearch(&key, s->sorted, s->header.n, sizeof(const hm_safetensor *), compare_names);
    return hit != NULL ? *hit : NULL;
}

const char *hm_safetensors_metadata(const hm_safetensors *s, const char *key) {
    const hm_st_header *const h = &s->header;
    for (size_t i = 0; i < h->n_pairs; i++)
        if (strcmp(h->text + h->pairs[2 * i], key) == 0)
            return h->text + h->pairs[2 * i + 1];
    return NULL;
}

bool hm_safetensors_metadata_at(const hm_safetensors *s, size_t i, hm_st_pair *out) {
    const hm_st_header *const h = &s->header;
    if (i >= h->n_pairs)
        return false;
    *out = (hm_st_pair){h->text + h->pairs[2 * i], h->text + h->pairs[2 * i + 1]};
    return true;
}

/* *header = bytes of JSON that follow the length. */
static hm_status header_length(const char *path, const uint8_t *file, size_t len, size_t *header) {
    if (len == 0)
        HM_FAIL(HM_ERR_FORMAT, "%s is empty (0 bytes), not a safetensors file: was its download or copy cut short?",
                path);
    if (len < LENGTH_BYTES)
        HM_FAIL(HM_ERR_FORMAT, "%s has only %zu bytes, too few for a safetensors file: was its copy cut short?", path,
                len);
    const uint64_t n = hm_little_read(file, LENGTH_BYTES);
    if (n > MAX_HEADER)
        HM_FAIL(HM_ERR_FORMAT,
                "%s claims a header of %llu bytes, more than the format allows: is it a safetensors file?", path,
                (unsigned long long)n);
    if (n > len - LENGTH_BYTES)
        HM_FAIL(HM_ERR_FORMAT, "%s claims a header of %llu bytes but has only %zu in all: was its copy cut short?",
                path, (unsigned long long)n, len);
    *header = (size_t)n;
    return HM_OK;
}

/* Ranges against the file, and the pointers; `data` is the data section of `len` bytes. */
static hm_status place_tensors(hm_safetensors *s, const char *path, const uint8_t *data, size_t len) {
    const hm_st_header *const h = &s->header;
    HM_TRY(hm_alloc(&s->tensors, h->n, sizeof *s->tensors));
    HM_TRY(hm_alloc(&s->sorted, h->n, sizeof *s->sorted));
    for (size_t i = 0; i < h->n; i++) {
        const hm_st_entry *const e = &h->entries[i];
        hm_safetensor *const t = &s->tensors[i];
        if (e->end > len)
            HM_FAIL(HM_ERR_FORMAT,
                    "%s: tensor \"%.200s\" ends at data byte %llu but the file holds %zu: was its copy cut short?",
                    path, h->text + e->name, (unsigned long long)e->end, len);
        *t = (hm_safetensor){.name = h->text + e->name, .dtype = e->dtype, .rank = e->rank, .bytes = e->bytes};
        memcpy(t->shape, e->shape, sizeof t->shape);
        t->data = data + e->begin;
        s->sorted[i] = t;
    }
    return HM_OK;
}

static int compare_places(const void *a, const void *b) {
    const hm_safetensor *const x = *(const hm_safetensor *const *)a, *const y = *(const hm_safetensor *const *)b;
    const uintptr_t p = (uintptr_t)x->data, q = (uintptr_t)y->data;
    return p != q ? (p > q) - (p < q) : (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

/* The format lets tensors neither overlap nor leave bytes between or behind them. */
static hm_status check_cover(hm_safetensors *s, const char *path, const uint8_t *data, size_t len) {
    const size_t n = s->header.n;
    size_t at = 0;
    if (n > 1)
        qsort(s->sorted, n, sizeof *s->sorted, compare_places);
    for (size_t i = 0; i < n; i++) {
        const hm_safetensor *const t = s->sorted[i];
        const size_t begin = (size_t)((const uint8_t *)t->data - data);
        if (begin < at)
            HM_FAIL(HM_ERR_FORMAT, "%s: tensor \"%.200s\" overlaps tensor \"%.200s\"; write the file anew", path,
                    t->name, s->sorted[i - 1]->name);
        if (begin > at)
            HM_FAIL(HM_ERR_FORMAT, "%s: %zu data bytes before tensor \"%.200s\" belong to none; write the file anew",
                    path, begin - at, t->name);
        at = begin + t->bytes;
    }
    if (at != len)
        HM_FAIL(HM_ERR_FORMAT, "%s: its last %zu bytes belong to no tensor: was its copy mixed up?", path, len - at);
    return HM_OK;
}

static hm_status sort_names(hm_safetensors *s, const char *path) {
    const size_t n = s->header.n;
    if (n > 1)
        qsort(s->sorted, n, sizeof *s->sorted, compare_names);
    for (size_t i = 1; i < n; i++)
        if (strcmp(s->sorted[i - 1]->name, s->sorted[i]->name) == 0)
            HM_FAIL(HM_ERR_FORMAT, "%s: the header has the tensor \"%.200s\" twice; write the file anew", path,
                    s->sorted[i]->name);
    return HM_OK;
}

static hm_status read_bytes(hm_safetensors *s, const char *path, const uint8_t *file, size_t len) {
    size_t header = 0;
    HM_TRY(header_length(path, file, len, &header));
    HM_TRY(hm_st_header_parse(&s->header, path, (const char *)file + LENGTH_BYTES, header));
    const uint8_t *const data = file + LENGTH_BYTES + header;
    HM_TRY(place_tensors(s, path, data, len - LENGTH_BYTES - header));
    HM_TRY(check_cover(s, path, data, len - LENGTH_BYTES - header));
    return sort_names(s, path);
}

hm_status hm_safetensors_open_memory(const char *name, const void *data, size_t len, hm_safetensors **out) {
    hm_safetensors *s = NULL;
    *out = NULL;
    HM_TRY(hm_alloc(&s, 1, sizeof *s));
    const hm_status st = read_bytes(s, name, data, len);
    if (st != HM_OK)
        hm_safetensors_close(s);
    else
        *out = s;
    return st;
}

hm_status hm_safetensors_open(const char *path, hm_safetensors **out) {
    hm_map map;
    *out = NULL;
    HM_TRY(hm_map_file(&map, path));
    const hm_status st = hm_safetensors_open_memory(path, map.data, map.len, out);
    if (st == HM_OK)
        (*out)->map = map;
    else
        hm_unmap(&map);
    return st;
}
