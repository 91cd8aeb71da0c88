/* column_sums.h: sums over the rows of a matrix on the GPU (bias gradients), for cuda.cu files. */
#ifndef HM_DEVICE_CUDA_COLUMN_SUMS_H
#define HM_DEVICE_CUDA_COLUMN_SUMS_H

#include "base/dtype.h"
#include "base/inline.h"
#include "device/cuda/cuda.h"

#ifdef __cplusplus
extern "C" {
#endif

#define HM_COLUMN_SUMS_WIDTH  64  /* columns of a block (32 if they cannot be read as eight halves at once) */
#define HM_COLUMN_SUMS_BLOCKS 528 /* fill a large GPU */
#define HM_COLUMN_SUMS_ROWS   32  /* of a part, at least */

/* Rows are summed in this many parts, then the parts in order: a number that depends on the shape alone. */
HM_INLINE int hm_column_sums_parts(int64_t rows, int64_t n) {
    const int64_t across = (n + HM_COLUMN_SUMS_WIDTH - 1) / HM_COLUMN_SUMS_WIDTH + (n == 0);
    const int64_t wanted = (HM_COLUMN_SUMS_BLOCKS + across - 1) / across, most = rows / HM_COLUMN_SUMS_ROWS;
    return (int)(wanted < most ? wanted : most > 1 ? most : 1);
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
