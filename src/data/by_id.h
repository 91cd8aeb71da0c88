/* by_id.h: places of a list in the order of their ids; equal ids keep the list's order. */
#ifndef HM_DATA_BY_ID_H
#define HM_DATA_BY_ID_H

#include <stddef.h>
#include <stdint.h>

typedef struct hm_by_id {
    int64_t id;
    size_t index;
} hm_by_id;

/* For qsort. */
static inline int hm_by_id_compare(const void *a, const void *b) {
    const hm_by_id *const x = a, *const y = b;
    if (x->id != y->id)
        return x->id < y->id ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

#endif
