/* matmul_bf16.h: whole matrix products of bf16 by oneDNN's matmul primitive, kept by the node that uses it. */
#ifndef HM_DEVICE_CPU_MATMUL_BF16_H
#define HM_DEVICE_CPU_MATMUL_BF16_H

#include "base/dtype.h"
#include "base/status.h"

/* c [m, n] = op(a) op(b) + bias, row-major, summed in fp32: op(a) [m, k] is a or, with ta, the transpose of a [k, m];
 * op(b) [k, n] likewise. c is fp32 or bf16; bias [n] may be absent. */
typedef struct hm_matmul_bf16 {
    bool ta, tb;
    int64_t m, n, k;
    hm_dtype out;
    bool has_bias;
    hm_dtype bias; /* HM_F32 or HM_BF16 */
} hm_matmul_bf16;

/* *slot keeps what oneDNN has prepared for these sizes (NULL at first); hm_matmul_bf16_release frees it. */
hm_status hm_matmul_bf16_run(void **slot, const hm_matmul_bf16 *d, const void *a, const void *b, const void *bias,
                             void *c, int threads);
void hm_matmul_bf16_release(void *slot);

#endif
