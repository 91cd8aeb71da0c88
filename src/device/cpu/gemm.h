/* gemm.h: matrix products summed in fp32, row-major, by oneDNN: of fp32 operands (dnnl_sgemm), or of bf16 ones where
 * the processor multiplies those itself (hm_cpu_has_bf16). The product is cut into output blocks that depend on its
 * sizes only and each block is computed by one thread, so the bits of the result do not depend on the number of
 * threads. */
#ifndef HM_DEVICE_CPU_GEMM_H
#define HM_DEVICE_CPU_GEMM_H

#include "base/dtype.h"
#include "base/status.h"

/* Called once for each finished block: c points at element (row, col) of the result, rows of ldc elements; in the
 * result, or if that is NULL in memory of the thread's own. */
typedef struct hm_gemm_epilogue {
    void (*run)(const void *ctx, float *c, int64_t ldc, int64_t row, int64_t col, int64_t rows, int64_t cols);
    const void *ctx;
} hm_gemm_epilogue;

/* For each i < batch: C_i = alpha op(A_i) op(B_i) + beta C_i, where op(A) [m, k] is A [m, lda] or, with ta, the
 * transpose of A [k, lda]; op(B) [k, n] likewise; X_i = x + i * stride_x. With beta 0, C is not read. */
typedef struct hm_gemm_args {
    bool ta, tb;
    hm_dtype dtype; /* of a and b: HM_F32 or HM_BF16 */
    int64_t m, n, k, batch;
    float alpha, beta; /* bf16: alpha 1; beta 0 or 1 */
    const void *a, *b;
    float *c; /* NULL: only the epilogue sees the blocks */
    int64_t lda, ldb, ldc;
    int64_t stride_a, stride_b, stride_c;
    hm_gemm_epilogue epilogue; /* run may be NULL */
} hm_gemm_args;

hm_status hm_gemm_batch(const hm_gemm_args *g, int threads);

/* One product. */
hm_status hm_gemm(bool ta, bool tb, int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda,
                  const float *b, int64_t ldb, float beta, float *c, int64_t ldc, int threads);

/* The same, unblocked, by the calling thread alone: for use inside parallel regions. False on failure. */
bool hm_gemm_serial_bf16(bool ta, bool tb, int64_t m, int64_t n, int64_t k, const uint16_t *a, int64_t lda,
                         const uint16_t *b, int64_t ldb, float beta, float *c, int64_t ldc);
bool hm_gemm_serial(bool ta, bool tb, int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda,
                    const float *b, int64_t ldb, float beta, float *c, int64_t ldc);

#endif
