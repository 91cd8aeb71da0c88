/* loss_stats_attr.h: how the GPU splits the work of loss_stats. */
#ifndef HM_OPS_LOSS_STATS_ATTR_H
#define HM_OPS_LOSS_STATS_ATTR_H

#include <stdint.h>

/* Blocks for each image, by its number of queries. */
static inline int64_t hm_loss_stats_parts(int64_t queries) {
    return queries < 64 ? 1 : queries > 64 * 64 ? 64 : (queries + 63) / 64;
}

#endif
