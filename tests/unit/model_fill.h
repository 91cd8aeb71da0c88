/* model_fill.h: random but tame weights for tests that need a model and not its training: norms and layer scales near
 * one, matrices that keep the size of what passes through. A function of (seed, name, index). */
#ifndef HM_TESTS_MODEL_FILL_H
#define HM_TESTS_MODEL_FILL_H

#include <math.h>
#include <string.h>

#include "base/rng.h"
#include "graph/exec.h"

static inline bool model_fill_is_gain(const char *name, hm_shape shape) {
    return shape.rank == 1 && (strstr(name, ".weight") != NULL || strstr(name, "lambda1") != NULL);
}

static inline void model_fill(hm_store *store, uint64_t seed) {
    for (size_t i = 0; i < hm_store_count(store); i++) {
        const char *name;
        hm_shape shape;
        hm_storage kind;
        float *const dst = hm_store_at(store, i, &name, &shape, &kind);
        const size_t n = (size_t)hm_shape_count(shape);
        const size_t fan_in = shape.rank > 1 && shape.dim[0] > 0 ? n / (size_t)shape.dim[0] : 100;
        const bool gain = model_fill_is_gain(name, shape);
        const float scale = gain ? 0.2f : sqrtf(3.0f / (float)fan_in);
        const uint64_t key = hm_rng_key(seed, name);
        for (size_t k = 0; k < n; k++)
            dst[k] = (gain ? 1.0f : 0.0f) + scale * (2 * hm_rng_uniform(key, k) - 1);
    }
}

#endif
