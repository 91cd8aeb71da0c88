/* dots.h: all inner products of some rows with all rows of a matrix, in kernels (cpu.c).
 *
 * The matrix is packed panel by panel (32 of its rows, transposed) into a buffer of each thread and multiplied with
 * every given row while it lies in the first-level cache. Each product is one chain of C additions whatever the number
 * of threads. */
#ifndef HM_OPS_DOTS_H
#define HM_OPS_DOTS_H

#include <omp.h>

#include "graph/op.h"

#define HM_DOTS_PANEL 32
#define HM_DOTS_ROWS  64 /* callers work through blocks of this many rows */

#if defined(__AVX512F__)
#define HM_DOTS_VEC  16
#define HM_DOTS_TILE 8
#elif defined(__AVX__)
#define HM_DOTS_VEC  8
#define HM_DOTS_TILE 4
#else
#define HM_DOTS_VEC  4
#define HM_DOTS_TILE 4
#endif
typedef float hm_dots_vec __attribute__((vector_size(4 * HM_DOTS_VEC), aligned(4), may_alias));

/* pack [c][32] = rows first..first+31 of x [n, c], zeros past n. */
static inline void hm_dots_pack(const float *restrict x, int64_t n, int64_t c, int64_t first, float *restrict pack) {
    for (int64_t j = 0; j < HM_DOTS_PANEL; j++) {
        const float *const row = x + (first + j) * c;
        if (first + j < n)
            for (int64_t k = 0; k < c; k++)
                pack[k * HM_DOTS_PANEL + j] = row[k];
        else
            for (int64_t k = 0; k < c; k++)
                pack[k * HM_DOTS_PANEL + j] = 0;
    }
}

/* out[r][0..2*VEC) = bias + <row[r], columns of the panel>, r < live. */
static inline void hm_dots_tile(const float *const row[HM_DOTS_TILE], const float *restrict panel, int64_t c,
                                float bias, float *restrict out, int64_t ld, int live) {
    hm_dots_vec sum[HM_DOTS_TILE][2];
#pragma GCC unroll 8
    for (int r = 0; r < HM_DOTS_TILE; r++)
        sum[r][0] = sum[r][1] = (hm_dots_vec){0} + bias;
    for (int64_t k = 0; k < c; k++) {
        const hm_dots_vec b0 = *(const hm_dots_vec *)(panel + k * HM_DOTS_PANEL);
        const hm_dots_vec b1 = *(const hm_dots_vec *)(panel + k * HM_DOTS_PANEL + HM_DOTS_VEC);
#pragma GCC unroll 8
        for (int r = 0; r < HM_DOTS_TILE; r++) {
            sum[r][0] += row[r][k] * b0;
            sum[r][1] += row[r][k] * b1;
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < HM_DOTS_TILE; r++)
        if (r < live) {
            *(hm_dots_vec *)(out + r * ld) = sum[r][0];
            *(hm_dots_vec *)(out + r * ld + HM_DOTS_VEC) = sum[r][1];
        }
}

/* Row stride of the results for n matrix rows: n rounded up to whole panels. */
static inline int64_t hm_dots_stride(int64_t n) {
    return (n + HM_DOTS_PANEL - 1) / HM_DOTS_PANEL * HM_DOTS_PANEL;
}

/* out[i*ld + j] = bias + <row[i], x[j]>: row[m] of c numbers each, x [n, c], ld = hm_dots_stride(n). pack: c * 32
 * floats for each thread. */
static inline void hm_dots(const float *x, int64_t n, int64_t c, const float *const *row, int64_t m, float bias,
                           float *out, float *pack, int threads) {
    const int64_t ld = hm_dots_stride(n);
#pragma omp parallel for num_threads(threads) schedule(static)
    for (int64_t first = 0; first < n; first += HM_DOTS_PANEL) {
        float *const panel = pack + (int64_t)omp_get_thread_num() * c * HM_DOTS_PANEL;
        hm_dots_pack(x, n, c, first, panel);
        for (int64_t i = 0; i < m; i += HM_DOTS_TILE) {
            const float *tile[HM_DOTS_TILE];
            for (int r = 0; r < HM_DOTS_TILE; r++)
                tile[r] = row[i + r < m ? i + r : m - 1];
            const int live = m - i < HM_DOTS_TILE ? (int)(m - i) : HM_DOTS_TILE;
            for (int64_t j = 0; j < HM_DOTS_PANEL; j += 2 * HM_DOTS_VEC)
                hm_dots_tile(tile, panel + j, c, bias, out + i * ld + first + j, ld, live);
        }
    }
}

#endif
