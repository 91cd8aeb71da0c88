/* proposals_attr.h: attributes of the proposals op. */
#ifndef HM_OPS_PROPOSALS_ATTR_H
#define HM_OPS_PROPOSALS_ATTR_H

#include "ops/proposals/proposals.h"

typedef struct hm_proposals_attr {
    int64_t B;
    hm_levels levels;
} hm_proposals_attr;

#endif
