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

/* On the GPU a 3x3 kernel goes along runs of a map's row, a warp for so many channels; the weight gradient's sums are
 * taken in parts, a number that depends on the shape alone: two blocks for each multiprocessor of a large card. */
#define HM_DWCONV2D_RUN      16
#define HM_DWCONV2D_CHANNELS 128
#define HM_DWCONV2D_WARPS    8

static inline int64_t hm_dwconv2d_cuda_parts(int64_t rows, int64_t W, int64_t C) {
    const int64_t runs = rows * ((W + HM_DWCONV2D_RUN - 1) / HM_DWCONV2D_RUN);
    const int64_t most = (runs + HM_DWCONV2D_WARPS - 1) / HM_DWCONV2D_WARPS;
    const int64_t chunks = (C + HM_DWCONV2D_CHANNELS - 1) / HM_DWCONV2D_CHANNELS,
                  parts = 264 / (chunks > 0 ? chunks : 1);
    return parts < 1 ? (most < 1 ? most : 1) : parts < most ? parts : most;
}

#endif
