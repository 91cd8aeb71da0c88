/* layer_norm.h: layer normalisation (Ba, Kiros, Hinton 2016). */
#ifndef HM_OPS_LAYER_NORM_H
#define HM_OPS_LAYER_NORM_H

#include "graph/graph.h"

/* y = (x - mean) / sqrt(var + eps) * gain + bias over the last dimension; biased two-pass variance. x [..., C], gain
 * and bias [C]. Keeps mean and 1/std per row for the backward op. */
hm_tensor *hm_layer_norm(hm_graph *g, hm_tensor *x, hm_tensor *gain, hm_tensor *bias, float eps);

#endif
