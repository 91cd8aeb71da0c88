/* accumulate_attr.h: the order of the inputs: the sums, the gradients, keep. */
#ifndef HM_OPS_ACCUMULATE_ATTR_H
#define HM_OPS_ACCUMULATE_ATTR_H

#include "base/inline.h"

HM_INLINE int hm_accumulate_count(int n_in) {
    return (n_in - 1) / 2;
}

#endif
