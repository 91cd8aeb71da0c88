/* st_header.h: the JSON header of a safetensors file, read as a stream of events (no tree) into a table.
 * Internal to src/io: it knows nothing of files and gives byte ranges, not pointers. */
#ifndef HM_IO_ST_HEADER_H
#define HM_IO_ST_HEADER_H

#include "io/safetensors.h"

typedef struct hm_st_entry {
    size_t name; /* offset in .text */
    hm_st_dtype dtype;
    int rank;
    int64_t shape[HM_ST_MAX_RANK];
    uint64_t begin, end; /* bytes from the start of the data section */
    size_t bytes;        /* product of shape times the item's size */
} hm_st_entry;

typedef struct hm_st_header {
    hm_st_entry *entries; /* [n], header order */
    size_t n, entries_cap;
    size_t *pairs; /* [2*n_pairs] offsets in .text: key, value, key, value… of __metadata__ */
    size_t n_pairs, pairs_cap;
    char *text; /* NUL-terminated strings */
    size_t text_len, text_cap;
} hm_st_header;

/* Parses `len` bytes of JSON; checks each tensor's own fields (dtype, shape, end - begin = size), not the file's. */
hm_status hm_st_header_parse(hm_st_header *out, const char *path, const char *json, size_t len);
void hm_st_header_free(hm_st_header *h); /* takes zeroed and half-built objects */

/* *bytes = product of shape[0..rank) times the dtype's size; false when it overflows or a length is negative. */
bool hm_st_size(hm_st_dtype dtype, int rank, const int64_t *shape, size_t *bytes);

#endif
