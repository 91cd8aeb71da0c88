/* gemm.h: fp32 matrix products, row-major, by oneDNN's dnnl_sgemm.
 * The product is cut into output blocks that depend on its sizes only and each block is computed by one thread, so the
 * bits of the result do not depend on the number of threads. */
#ifndef HM_DEVICE_CPU_GEMM_H
#define HM_DEVICE_CPU_GEMM_H

#include "base/status.h"

#define HM_GEMM_BLOCK 192 /* edge of a block: near peak speed, and enough blocks for many cores */

/* How a product of m rows and n columns, none of them 0, is cut. */
typedef struct hm_gemm_cut {
    int64_t rows, cols;     /* of a block, at most HM_GEMM_BLOCK */
    int64_t n_rows, n_cols; /* number of blocks each way */
} hm_gemm_cut;
hm_gemm_cut hm_gemm_cut_of(int64_t m, int64_t n, int64_t batch);

/* Called once for each finished block: c points at element (row, col) of the result, rows of ldc elements. */
typedef struct hm_gemm_epilogue {
    void (*run)(const void *ctx, float *c, int64_t ldc, int64_t row, int64_t col, int64_t rows, int64_t cols);
    const void *ctx;
} hm_gemm_epilogue;

/* For each i < batch: C_i = alpha op(A_i) op(B_i) + beta C_i, where op(A) [m, k] is A [m, lda] or, with ta, the
 * transpose of A [k, lda]; op(B) [k, n] likewise; X_i = x + i * stride_x. With beta 0, C is not read. */
typedef struct hm_gemm_args {
    bool ta, tb;
    int64_t m, n, k, batch;
    float alpha, beta;
    const float *a, *b;
    float *c;
    int64_t lda, ldb, ldc;
    int64_t stride_a, stride_b, stride_c;
    hm_gemm_epilogue epilogue; /* run may be NULL */
} hm_gemm_args;

hm_status hm_gemm_batch(const hm_gemm_args *g, int threads);

/* One product. */
hm_status hm_gemm(bool ta, bool tb, int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda,
                  const float *b, int64_t ldb, float beta, float *c, int64_t ldc, int threads);

/* The same, unblocked, by the calling thread alone: for use inside parallel regions. False on failure. */
bool hm_gemm_serial(bool ta, bool tb, int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda,
                    const float *b, int64_t ldb, float beta, float *c, int64_t ldc);

#endif
