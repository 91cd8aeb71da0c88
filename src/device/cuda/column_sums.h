/* column_sums.h: sums over the rows of a matrix on the GPU (bias gradients), for cuda.cu files. */
#ifndef HM_DEVICE_CUDA_COLUMN_SUMS_H
#define HM_DEVICE_CUDA_COLUMN_SUMS_H

#include "base/dtype.h"
#include "base/inline.h"
#include "device/cuda/cuda.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Rows are summed in this many parts, then the parts in order: a number that depends on the shape alone, with which
 * blocks are two for each multiprocessor of a large card. */
HM_INLINE int hm_column_sums_parts(int64_t rows, int64_t n) {
    const int64_t most = (rows + 63) / 64, parts = 264 / ((n + 255) / 256 > 0 ? (n + 255) / 256 : 1);
    return (int)(most < 1 || parts < 1 ? 1 : parts < most ? parts : most);
}

/* Room for them. */
HM_INLINE int64_t hm_column_sums_floats(int64_t rows, int64_t n) {
    return hm_column_sums_parts(rows, n) * n;
}

/* out [n] = sums over the rows of x [rows, n], in fp32 and always in the same order. */
hm_status hm_cuda_column_sums(hm_cuda *d, void *out, hm_dtype out_type, const void *x, hm_dtype type, int64_t rows,
                              int64_t n, float *room);

#ifdef __cplusplus
}
#endif
#endif
