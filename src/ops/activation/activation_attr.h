/* activation_attr.h: attributes of the activation ops. */
#ifndef HM_OPS_ACTIVATION_ATTR_H
#define HM_OPS_ACTIVATION_ATTR_H

#include "ops/activation/activation.h"

typedef struct hm_activation_attr {
    hm_act kind; /* never HM_ACT_NONE */
} hm_activation_attr;

#endif
