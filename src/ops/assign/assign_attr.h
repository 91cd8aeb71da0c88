/* assign_attr.h: attributes of the assign op. */
#ifndef HM_OPS_ASSIGN_ATTR_H
#define HM_OPS_ASSIGN_ATTR_H

typedef struct hm_assign_attr {
    int groups; /* each image's rows fall into this many problems of equal height */
} hm_assign_attr;

#endif
