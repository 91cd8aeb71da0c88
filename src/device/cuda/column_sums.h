/* column_sums.h: sums over the rows of a matrix on the GPU (bias gradients), for cuda.cu files. */
#ifndef HM_DEVICE_CUDA_COLUMN_SUMS_H
#define HM_DEVICE_CUDA_COLUMN_SUMS_H

#include "base/dtype.h"
#include "base/inline.h"
#include "device/cuda/cuda.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Rows are summed in this many parts, then the parts in order: a number that depends on the shape alone. */
HM_INLINE int hm_column_sums_parts(int64_t rows) {
    return rows > 256 * 32 ? 256 : rows > 32 ? (int)(rows / 32) : 1;
}

/* Room for them. */
HM_INLINE int64_t hm_column_sums_floats(int64_t rows, int64_t n) {
    return hm_column_sums_parts(rows) * n;
}

/* out [n] = sums over the rows of x [rows, n], in fp32 and always in the same order. */
hm_status hm_cuda_column_sums(hm_cuda *d, void *out, hm_dtype out_type, const void *x, hm_dtype type, int64_t rows,
                              int64_t n, float *room);

#ifdef __cplusplus
}
#endif
#endif
