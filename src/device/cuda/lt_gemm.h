/* lt_gemm.h: matrix products on the GPU (cuBLASLt), for cuda.cu files. */
#ifndef HM_DEVICE_CUDA_LT_GEMM_H
#define HM_DEVICE_CUDA_LT_GEMM_H

#include "base/dtype.h"
#include "device/cuda/cuda.h"

#ifdef __cplusplus
extern "C" {
#endif

/* c [m, n] = alpha op(a) op(b) + beta c + bias, all row-major, summed in fp32: op(a) [m, k] is a or, with ta, the
 * transpose of a [k, m]; op(b) [k, n] likewise. `batch` products whose operands are stride_* elements apart (0:
 * shared). a and b have one type; c that type or fp32. bias [n] (or none), rounded to c's type, is added to every row;
 * with relu, what is then negative becomes 0; only then c is rounded. */
typedef struct hm_cuda_gemm {
    bool ta, tb;
    int64_t m, n, k;
    int64_t lda, ldb, ldc; /* elements between rows as stored */
    int64_t batch, stride_a, stride_b, stride_c;
    hm_dtype type, out, bias_type;
    float alpha, beta;
    bool tf32; /* operands of fp32 may be rounded to TF32 */
    bool relu;
} hm_cuda_gemm;

/* Contiguous operands, one product, alpha 1, beta 0. */
static inline hm_cuda_gemm hm_cuda_gemm_of(bool ta, bool tb, int64_t m, int64_t n, int64_t k, hm_dtype type,
                                           hm_dtype out) {
    hm_cuda_gemm g;
    g.ta = ta;
    g.tb = tb;
    g.m = m;
    g.n = n;
    g.k = k;
    g.lda = ta ? m : k;
    g.ldb = tb ? k : n;
    g.ldc = n;
    g.batch = 1;
    g.stride_a = g.stride_b = g.stride_c = 0;
    g.type = type;
    g.out = out;
    g.bias_type = HM_F32;
    g.alpha = 1;
    g.beta = 0;
    g.tf32 = false;
    g.relu = false;
    return g;
}

/* Empty products are handled (k == 0 clears c). bias may be NULL. */
hm_status hm_cuda_gemm_run(hm_cuda *d, const hm_cuda_gemm *g, const void *a, const void *b, const void *bias, void *c);

/* Sums [m] of op(a) over k, beside a product: the bias' gradient where the product is the weight's. */
typedef struct hm_cuda_sums {
    void *out;
    hm_dtype type;
    float *room; /* hm_column_sums_floats(k, m) */
} hm_cuda_sums;

/* A single product with ta and lda == m, and these sums, in fp32 before they are stored. */
hm_status hm_cuda_gemm_sums(hm_cuda *d, const hm_cuda_gemm *g, const void *a, const void *b, void *c,
                            const hm_cuda_sums *sums);

#ifdef __cplusplus
}
#endif
#endif
