/* drop_path.c: see drop_path.h. The factors are drawn on the host and come in as an input, so the graph has no draws.
 */
#include "model/drop_path.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "base/rng.h"

hm_shape hm_drop_path_shape(const hm_model_config *c, int64_t batch) {
    const int64_t windows = (int64_t)c->num_windows * c->num_windows;
    return HM_SHAPE(2 * (int64_t)c->out_feature_indexes[c->n_features - 1], batch * windows);
}

double hm_drop_path_rate(const hm_model_config *c, double drop_path, int layer) {
    return c->encoder_layers > 1 ? drop_path * layer / (c->encoder_layers - 1) : 0;
}

void hm_drop_path_draw(const hm_model *m, uint64_t seed, int64_t run, float *out) {
    const hm_shape shape = m->drop_path->shape;
    char name[48];
    snprintf(name, sizeof name, "drop_path.%" PRId64, run);
    const uint64_t key = hm_rng_key(seed, name);
    for (int64_t row = 0; row < shape.dim[0]; row++) {
        const double keep = 1 - hm_drop_path_rate(&m->config, m->options.drop_path, (int)(row / 2));
        for (int64_t i = row * shape.dim[1]; i < (row + 1) * shape.dim[1]; i++)
            out[i] = (float)(floor(keep + (double)hm_rng_uniform(key, (uint64_t)i)) / keep);
    }
}
