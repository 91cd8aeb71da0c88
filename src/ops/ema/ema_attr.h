/* ema_attr.h: the order of the moving average's inputs: the averages, the weights, decay, skip. */
#ifndef HM_OPS_EMA_ATTR_H
#define HM_OPS_EMA_ATTR_H

#include "base/inline.h"

HM_INLINE int hm_ema_count(int n_in) {
    return (n_in - 2) / 2;
}

#endif
