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

/* On the GPU a 3x3 kernel goes over tiles of a map, so many channels of them at a time (half as many in fp32); the
 * weight gradient's sums are taken in parts, a number that depends on the shape alone: three blocks for each
 * multiprocessor of a large card. */
#define HM_DWCONV2D_TILE_H   8
#define HM_DWCONV2D_TILE_W   16
#define HM_DWCONV2D_CHANNELS 64

/* Of a map [H, W]. */
static inline int64_t hm_dwconv2d_cuda_tiles(int64_t H, int64_t W) {
    return ((H + HM_DWCONV2D_TILE_H - 1) / HM_DWCONV2D_TILE_H) * ((W + HM_DWCONV2D_TILE_W - 1) / HM_DWCONV2D_TILE_W);
}

/* shape [B, H, W, C] */
static inline int64_t hm_dwconv2d_cuda_parts(const int64_t *shape) {
    const int64_t tiles = shape[0] * hm_dwconv2d_cuda_tiles(shape[1], shape[2]);
    const int64_t chunks = (shape[3] + HM_DWCONV2D_CHANNELS - 1) / HM_DWCONV2D_CHANNELS;
    const int64_t parts = 396 / (chunks > 0 ? chunks : 1);
    return tiles < 1 || parts < 1 ? 1 : parts < tiles ? parts : tiles;
}

#endif
