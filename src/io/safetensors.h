/* safetensors.h: the tensor file format: 8 bytes little-endian header length, a JSON header, raw little-endian data.
 * The reader maps the file and copies nothing; every name, size and offset is checked before a pointer is given out.
 * Format: https://github.com/huggingface/safetensors (README, "Format"). */
#ifndef HM_IO_SAFETENSORS_H
#define HM_IO_SAFETENSORS_H

#include "base/status.h"

enum { HM_ST_MAX_RANK = 8 };

typedef enum hm_st_dtype {
    HM_ST_F64,
    HM_ST_F32,
    HM_ST_F16,
    HM_ST_BF16,
    HM_ST_I64,
    HM_ST_I32,
    HM_ST_I16,
    HM_ST_I8,
    HM_ST_U8,
    HM_ST_BOOL,
    HM_ST_DTYPES
} hm_st_dtype;

const char *hm_st_dtype_name(hm_st_dtype dtype); /* "F32" */
size_t hm_st_dtype_size(hm_st_dtype dtype);      /* bytes of one item */

typedef struct hm_safetensor {
    const char *name;
    hm_st_dtype dtype;
    int rank;                      /* 0 = scalar */
    int64_t shape[HM_ST_MAX_RANK]; /* [rank] items, row-major */
    const void *data;              /* [bytes]; a file may leave it unaligned: copy with memcpy */
    size_t bytes;                  /* product of shape times the item's size */
} hm_safetensor;

typedef struct hm_safetensors hm_safetensors;

/* Opens the file; what it hands out lives until hm_safetensors_close. HM_ERR_IO when it cannot be read, HM_ERR_FORMAT
 * (naming file and tensor) when it is not a sound safetensors file. */
hm_status hm_safetensors_open(const char *path, hm_safetensors **out);
/* The same from memory that outlives *out; `name` stands for the path in messages. */
hm_status hm_safetensors_open_memory(const char *name, const void *data, size_t len, hm_safetensors **out);
void hm_safetensors_close(hm_safetensors *s); /* takes NULL */

size_t hm_safetensors_count(const hm_safetensors *s);
const hm_safetensor *hm_safetensors_at(const hm_safetensors *s, size_t i); /* in the header's order */
/* NULL when the file has no such tensor. */
const hm_safetensor *hm_safetensors_find(const hm_safetensors *s, const char *name);
typedef struct hm_st_pair {
    const char *key, *value; /* UTF-8 */
} hm_st_pair;

/* Pair i of __metadata__, in the file's order; false behind the last. */
bool hm_safetensors_metadata_at(const hm_safetensors *s, size_t i, hm_st_pair *out);
/* Value of a key of __metadata__; NULL when there is none. */
const char *hm_safetensors_metadata(const hm_safetensors *s, const char *key);

/* Writes `n` tensors in the given order, straight from their data, through hm_atomic; the data section starts at a
 * multiple of 8 bytes. HM_ERR_ARG for a name that is used twice or is not UTF-8, or bytes that do not fit the shape. */
hm_status hm_safetensors_write(const char *path, const hm_safetensor *tensors, size_t n, const hm_st_pair *metadata,
                               size_t n_metadata);

#endif
