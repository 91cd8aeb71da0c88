/* shapes_draw.h: a sequence of random draws for one image of the built-in data set. Each draw moves `at`; the streams
 * of composing and painting have different names, so that neither shifts the other's draws. */
#ifndef HM_DATA_SHAPES_DRAW_H
#define HM_DATA_SHAPES_DRAW_H

#include <stdbool.h>
#include <stdio.h>

#include "base/rng.h"

typedef struct hm_draws {
    uint64_t key, at;
} hm_draws;

static inline hm_draws hm_draws_begin(int64_t seed, const char *split, const char *what, int32_t index) {
    char name[64];
    snprintf(name, sizeof name, "shapes/%s/%s/%d", split, what, (int)index);
    return (hm_draws){.key = hm_rng_key((uint64_t)seed, name)};
}

/* In [lo, hi). */
static inline double hm_draw(hm_draws *d, double lo, double hi) {
    return lo + (hi - lo) * (double)hm_rng_uniform(d->key, d->at++);
}

/* In lo..hi, both ends included. */
static inline int32_t hm_draw_int(hm_draws *d, int32_t lo, int32_t hi) {
    return lo + (int32_t)(((hm_rng_bits(d->key, d->at++) >> 32) * (uint64_t)(hi - lo + 1)) >> 32);
}

static inline bool hm_draw_chance(hm_draws *d, double p) {
    return hm_draw(d, 0, 1) < p;
}

#endif
