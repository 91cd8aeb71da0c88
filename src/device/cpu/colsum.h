/* colsum.h: sums over the rows of a matrix, for bias gradients. Blocks of HM_COLSUM_ROWS rows are summed in fp32, the
 * blocks' sums in double and in order: accurate for any height, and the same bits for every number of threads.
 * Included by kernels, so compiled for each instruction set. */
#ifndef HM_DEVICE_CPU_COLSUM_H
#define HM_DEVICE_CPU_COLSUM_H

#include "device/cpu/convert.h"

#define HM_COLSUM_ROWS 64

static inline int64_t hm_colsum_blocks(int64_t rows) {
    return (rows + HM_COLSUM_ROWS - 1) / HM_COLSUM_ROWS;
}

#define HM_COLSUM_COLS 512 /* columns of four rows that are widened at a time */

/* sum [n] = column sums of columns first..first+n-1 of rows row..row+rows-1 of x [?, cols]. */
static inline void hm_colsum_block(hm_dtype type, const void *x, int64_t row, int64_t rows, int64_t cols, int64_t first,
                                   int64_t n, float *restrict sum) {
    float room[4][HM_COLSUM_COLS];
    for (int64_t j = 0; j < n; j++)
        sum[j] = 0;
    int64_t i = 0;
    for (; i + 4 <= rows; i += 4) {
        const float *r[4];
        for (int k = 0; k < 4; k++)
            r[k] = hm_row_in(type, x, (row + i + k) * cols + first, n, room[k]);
        const float *const a = r[0], *const b = r[1], *const c = r[2], *const d = r[3];
#pragma omp simd
        for (int64_t j = 0; j < n; j++)
            sum[j] += (a[j] + b[j]) + (c[j] + d[j]);
    }
    for (; i < rows; i++) {
        const float *const r = hm_row_in(type, x, (row + i) * cols + first, n, room[0]);
        for (int64_t j = 0; j < n; j++)
            sum[j] += r[j];
    }
}

/* out [cols] = column sums of x [rows, cols], floating-point types both; partial: room for hm_colsum_blocks(rows) *
 * cols floats. */
static inline void hm_colsum(hm_dtype type, const void *x, int64_t rows, int64_t cols, float *partial,
                             hm_dtype out_type, void *out, int threads) {
    const int64_t blocks = hm_colsum_blocks(rows);
#pragma omp parallel for num_threads(threads) if (threads > 1 && rows * cols > 32768)
    for (int64_t b = 0; b < blocks; b++) {
        const int64_t row = b * HM_COLSUM_ROWS, left = rows - row;
        for (int64_t j = 0; j < cols; j += HM_COLSUM_COLS)
            hm_colsum_block(type, x, row, left < HM_COLSUM_ROWS ? left : HM_COLSUM_ROWS, cols, j,
                            cols - j < HM_COLSUM_COLS ? cols - j : HM_COLSUM_COLS, partial + b * cols + j);
    }
    for (int64_t j = 0; j < cols; j++) {
        double sum = 0;
        for (int64_t b = 0; b < blocks; b++)
            sum += (double)partial[b * cols + j];
        hm_float_put(out_type, out, (size_t)j, (float)sum);
    }
}

#endif
