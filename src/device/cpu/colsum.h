/* colsum.h: sums over the rows of a matrix, for bias gradients. Blocks of HM_COLSUM_ROWS rows are summed in fp32, the
 * blocks' sums in double and in order: accurate for any height, and the same bits for every number of threads.
 * Included by kernels, so compiled for each instruction set. */
#ifndef HM_DEVICE_CPU_COLSUM_H
#define HM_DEVICE_CPU_COLSUM_H

#include <stdint.h>

#define HM_COLSUM_ROWS 64

static inline int64_t hm_colsum_blocks(int64_t rows) {
    return (rows + HM_COLSUM_ROWS - 1) / HM_COLSUM_ROWS;
}

static inline void hm_colsum_block(const float *restrict x, int64_t rows, int64_t cols, float *restrict sum) {
    for (int64_t j = 0; j < cols; j++)
        sum[j] = 0;
    int64_t i = 0;
    for (; i + 4 <= rows; i += 4) {
        const float *const r = x + i * cols;
#pragma omp simd
        for (int64_t j = 0; j < cols; j++)
            sum[j] += (r[j] + r[cols + j]) + (r[2 * cols + j] + r[3 * cols + j]);
    }
    for (; i < rows; i++)
        for (int64_t j = 0; j < cols; j++)
            sum[j] += x[i * cols + j];
}

/* out [cols] = column sums of x [rows, cols]; partial: room for hm_colsum_blocks(rows) * cols floats. */
static inline void hm_colsum(const float *x, int64_t rows, int64_t cols, float *partial, float *out, int threads) {
    const int64_t blocks = hm_colsum_blocks(rows);
#pragma omp parallel for num_threads(threads) if (threads > 1 && rows * cols > 32768)
    for (int64_t b = 0; b < blocks; b++) {
        const int64_t first = b * HM_COLSUM_ROWS, left = rows - first;
        hm_colsum_block(x + first * cols, left < HM_COLSUM_ROWS ? left : HM_COLSUM_ROWS, cols, partial + b * cols);
    }
    for (int64_t j = 0; j < cols; j++) {
        double sum = 0;
        for (int64_t b = 0; b < blocks; b++)
            sum += (double)partial[b * cols + j];
        out[j] = (float)sum;
    }
}

#endif
