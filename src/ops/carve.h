/* carve.h: cuts a kernel's workspace into arrays. The op's workspace function and its kernel take the same pieces in
 * the same order. */
#ifndef HM_OPS_CARVE_H
#define HM_OPS_CARVE_H

#include <stddef.h>
#include <stdint.h>

/* Arrays of floats (or of other 4-byte items) that start on cache lines. */
typedef struct hm_carve {
    size_t floats; /* handed out so far */
} hm_carve;

static inline size_t hm_carve_take(hm_carve *k, int64_t floats) {
    const size_t at = k->floats;
    k->floats += ((size_t)floats + 15) & ~(size_t)15;
    return at;
}

#endif
