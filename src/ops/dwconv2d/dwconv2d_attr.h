/* dwconv2d_attr.h: attributes of the dwconv2d ops, and how the weight gradient is cut into blocks. */
#ifndef HM_OPS_DWCONV2D_ATTR_H
#define HM_OPS_DWCONV2D_ATTR_H

#include <stdint.h>

typedef struct hm_dwconv2d_attr {
    int64_t k; /* side of the kernel, odd */
} hm_dwconv2d_attr;

/* Map rows whose products are summed in one block: the order of the sum must not depend on the threads. */
#define HM_DWCONV2D_BLOCK 8

/* Blocks of `rows` = B*H map rows; at least one, which then clears the sums. */
static inline int64_t hm_dwconv2d_blocks(int64_t rows) {
    return rows > 0 ? (rows + HM_DWCONV2D_BLOCK - 1) / HM_DWCONV2D_BLOCK : 1;
}

#endif
