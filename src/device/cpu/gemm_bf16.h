/* gemm_bf16.h: matrix products of bf16 blocks by oneDNN, summed in fp32, row-major, by the calling thread alone: for
 * use inside parallel regions. */
#ifndef HM_DEVICE_CPU_GEMM_BF16_H
#define HM_DEVICE_CPU_GEMM_BF16_H

#include <stdbool.h>
#include <stdint.h>

/* Whether they are fast: the processor multiplies tiles of bf16 (AMX), and the system lets it. */
bool hm_gemm_bf16_has_tiles(void);

/* C [m, n] = op(A) op(B): op(A) [m, k] is A [m, lda] or, with ta, the transpose of A [k, lda]; op(B) [k, n] likewise.
 * Where oneDNN has no such product (it wants AVX-512) plain loops compute it, for tests. False on failure. */
bool hm_gemm_bf16_serial(bool ta, bool tb, int64_t m, int64_t n, int64_t k, const uint16_t *a, int64_t lda,
                         const uint16_t *b, int64_t ldb, float *c, int64_t ldc);

#endif
