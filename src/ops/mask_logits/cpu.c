/* cpu.c: a batched product per image; the bias is added to each block while it is in cache. */
#include "device/cpu/gemm.h"
#include "graph/op.h"

HM_CPU_DECLARE(mask_logits);

static void add_bias(const void *ctx, float *c, int64_t ldc, int64_t row, int64_t col, int64_t rows, int64_t cols) {
    const float bias = *(const float *)ctx;
    (void)row, (void)col;
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < cols; j++)
            c[i * ldc + j] += bias;
}

hm_status HM_CPU(mask_logits)(const hm_call *c) {
    const int64_t hw = hm_dim(c->node->in[0], 1), q = hm_dim(c->node->in[1], 1), width = hm_dim(c->node->in[0], 2);
    const hm_gemm_args g = {.tb = true,
                            .m = q,
                            .n = hw,
                            .k = width,
                            .batch = hm_dim(c->node->in[0], 0),
                            .alpha = 1,
                            .a = c->in[1],
                            .lda = width,
                            .stride_a = q * width,
                            .b = c->in[0],
                            .ldb = width,
                            .stride_b = hw * width,
                            .c = c->out[0],
                            .ldc = hw,
                            .stride_c = q * hw,
                            .epilogue = {add_bias, c->in[2]}};
    return hm_gemm_batch(&g, c->run->threads);
}
