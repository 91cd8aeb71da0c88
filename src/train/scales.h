/* scales.h: the input sizes of multi-scale training. */
#ifndef HM_TRAIN_SCALES_H
#define HM_TRAIN_SCALES_H

#include "model/config.h"

#define HM_SCALES_MOST 11

/* Sides of the squares, ascending, as upstream's compute_multi_scale_scales lists them; returns how many. */
int hm_scales(const hm_model_config *c, bool expanded, int32_t sides[HM_SCALES_MOST]);
/* Those that a run has: without multi_scale, the nominal one. */
int hm_scales_of_run(const hm_model_config *c, bool multi_scale, bool expanded, int32_t sides[HM_SCALES_MOST]);

#endif
