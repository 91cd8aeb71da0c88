/* scales.c: the nominal size, some units of patch_size * num_windows less and some more. */
#include "train/scales.h"

#define LEAST 2 /* units of the smallest input */

int hm_scales(const hm_model_config *c, bool expanded, int32_t sides[HM_SCALES_MOST]) {
    const int unit = c->patch_size * c->num_windows, nominal = c->resolution / unit;
    const int first = nominal - (expanded ? 5 : 3), last = nominal + (expanded ? 5 : 4);
    int n = 0;
    for (int units = first > LEAST ? first : LEAST; units <= last; units++)
        sides[n++] = units * unit;
    return n;
}

int hm_scales_of_run(const hm_model_config *c, bool multi_scale, bool expanded, int32_t sides[HM_SCALES_MOST]) {
    sides[0] = c->resolution;
    return multi_scale ? hm_scales(c, expanded, sides) : 1;
}
