/* gemm.cpp: products of emulated builds, in plain loops with sums in double. */
#include "device/cuda/lt_gemm.h"

#include <cstring>

#include "device/cuda/column_sums.h"
#include "device/cuda/context.cuh"

hm_status hm_cuda_products_start(hm_cuda *d) {
    d->products = nullptr;
    return HM_OK;
}

static double at(hm_dtype type, const void *p, int64_t i) {
    return (double)hm_float_at(type, p, (size_t)i);
}

static double rounded(hm_dtype type, double x) {
    float room;
    hm_float_put(type, &room, 0, (float)x);
    return at(type, &room, 0);
}

/* A number as the tensor cores take it in TF32: ten bits behind the point. */
static double in_tf32(double x) {
    const float narrow = (float)x;
    uint32_t bits;
    memcpy(&bits, &narrow, sizeof bits);
    if ((bits & 0x7F800000u) == 0x7F800000u)
        return x;
    bits = (bits + 0xFFFu + (bits >> 13 & 1)) & ~0x1FFFu;
    float out;
    memcpy(&out, &bits, sizeof out);
    return (double)out;
}

static double operand(const hm_cuda_gemm &g, const void *p, int64_t i) {
    const double x = at(g.type, p, i);
    return g.tf32 && g.type == HM_F32 ? in_tf32(x) : x;
}

static void multiply(const hm_cuda_gemm &g, const void *a, const void *b, const void *bias, void *c) {
    for (int64_t l = 0; l < g.batch; l++)
        for (int64_t i = 0; i < g.m; i++)
            for (int64_t j = 0; j < g.n; j++) {
                double sum = 0;
                for (int64_t k = 0; k < g.k; k++)
                    sum += operand(g, a, l * g.stride_a + (g.ta ? k * g.lda + i : i * g.lda + k)) *
                           operand(g, b, l * g.stride_b + (g.tb ? j * g.ldb + k : k * g.ldb + j));
                const int64_t to = l * g.stride_c + i * g.ldc + j;
                const double before = g.beta != 0 ? (double)g.beta * at(g.out, c, to) : 0;
                const double add = bias != nullptr ? rounded(g.out, at(g.bias_type, bias, j)) : 0;
                const double all = (double)g.alpha * sum + before + add;
                hm_float_put(g.out, c, (size_t)to, g.relu && all < 0 ? 0 : (float)all);
            }
}

hm_status hm_cuda_gemm_run(hm_cuda *d, const hm_cuda_gemm *g, const void *a, const void *b, const void *bias, void *c) {
    const hm_cuda_gemm kept = *g;
    hm_emulate_enqueue(hm_cuda_stream(d), [=]() { multiply(kept, a, b, bias, c); });
    hm_cuda_multiplied();
    return HM_OK;
}

hm_status hm_cuda_gemm_sums(hm_cuda *d, const hm_cuda_gemm *g, const void *a, const void *b, void *c,
                            const hm_cuda_sums *sums) {
    HM_TRY(hm_cuda_gemm_run(d, g, a, b, NULL, c));
    return hm_cuda_column_sums(d, sums->out, sums->type, a, g->type, g->k, g->m, sums->room);
}
