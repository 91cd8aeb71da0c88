/* mem.h: heap memory that reports failure through hm_status. Free everything with free(). */
#ifndef HM_BASE_MEM_H
#define HM_BASE_MEM_H

#include "base/status.h"

#ifdef __cplusplus
extern "C" {
#endif

/* *out = zeroed array of `count` items of `size` bytes, 64-byte aligned (NULL when count is 0).
 * HM_ERR_MEMORY on overflow or when the system has none. */
hm_status hm_alloc(void *out, size_t count, size_t size);

/* Grows the array *items (capacity *cap items of `size` bytes) to hold at least `need`; doubles. */
hm_status hm_grow(void *items, size_t *cap, size_t need, size_t size);

/* *out = copy of the string; *out must be freed. */
hm_status hm_strdup(char **out, const char *s);

#ifdef __cplusplus
}
#endif
#endif
