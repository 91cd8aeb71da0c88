/* drop_path.h: stochastic depth of the encoder, as upstream has it (dinov2_with_windowed_attn.py, drop_path; lwdetr.py,
 * update_drop_path): a branch of a layer, attention or MLP, is left out for a window at random, and multiplied by
 * 1 / (1 - probability) where it is not. The probability rises from 0 in the first layer to `drop_path` in the last. */
#ifndef HM_MODEL_DROP_PATH_H
#define HM_MODEL_DROP_PATH_H

#include "model/rfdetr.h"

/* Of the input: two branches for each layer that is run, and every window of a batch. */
hm_shape hm_drop_path_shape(const hm_model_config *c, int64_t batch);

/* Probability with which the branches of `layer` are left out. */
double hm_drop_path_rate(const hm_model_config *c, double drop_path, int layer);

/* The factors of batch number `run`, a function of (seed, run, index): out[of that shape]. */
void hm_drop_path_draw(const hm_model *m, uint64_t seed, int64_t run, float *out);

#endif
