/* weighted_sum_attr.h: what the total loss and its CUDA kernel share. */
#ifndef HM_OPS_WEIGHTED_SUM_ATTR_H
#define HM_OPS_WEIGHTED_SUM_ATTR_H

#define HM_WEIGHTED_SUM_TERMS 256 /* of one launch on the GPU */

#endif
