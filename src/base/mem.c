/* mem.c: checked allocation. */
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

hm_status hm_alloc(void *out, size_t count, size_t size) {
    void **const p = out;
    size_t bytes;
    *p = NULL;
    if (count == 0 || size == 0)
        return HM_OK;
    if (__builtin_mul_overflow(count, size, &bytes) || bytes > SIZE_MAX - 63)
        HM_FAIL(HM_ERR_MEMORY, "cannot allocate %zu items of %zu bytes: too large", count, size);
    bytes = (bytes + 63) & ~(size_t)63;
    *p = aligned_alloc(64, bytes);
    if (*p == NULL)
        HM_FAIL(HM_ERR_MEMORY, "cannot allocate %zu bytes: out of memory", bytes);
    memset(*p, 0, bytes);
    return HM_OK;
}

hm_status hm_grow(void *items, size_t *cap, size_t need, size_t size) {
    void **const p = items;
    size_t fresh = *cap ? *cap : 16;
    if (need <= *cap)
        return HM_OK;
    while (fresh < need)
        fresh = fresh > SIZE_MAX / 2 ? need : fresh * 2;
    size_t bytes;
    if (__builtin_mul_overflow(fresh, size, &bytes))
        HM_FAIL(HM_ERR_MEMORY, "cannot allocate %zu items of %zu bytes: too large", fresh, size);
    void *const q = realloc(*p, bytes);
    if (q == NULL)
        HM_FAIL(HM_ERR_MEMORY, "cannot allocate %zu bytes: out of memory", bytes);
    *p = q;
    *cap = fresh;
    return HM_OK;
}

hm_status hm_strdup(char **out, const char *s) {
    *out = strdup(s);
    if (*out == NULL)
        HM_FAIL(HM_ERR_MEMORY, "cannot allocate %zu bytes: out of memory", strlen(s) + 1);
    return HM_OK;
}
