/* activation.h: pointwise non-linearities. */
#ifndef HM_OPS_ACTIVATION_H
#define HM_OPS_ACTIVATION_H

#include "graph/graph.h"

typedef enum hm_act { HM_ACT_NONE, HM_ACT_RELU, HM_ACT_GELU, HM_ACT_SILU, HM_ACT_SIGMOID } hm_act;

/* GELU is the exact one, 0.5 x (1 + erf(x / sqrt 2)); SiLU x sigmoid(x). The backward op reads x (ReLU and sigmoid: y).
 */
hm_tensor *hm_activation(hm_graph *g, hm_tensor *x, hm_act kind);

#endif
