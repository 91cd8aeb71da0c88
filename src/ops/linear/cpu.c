/* cpu.c: kernels of linear and matmul: fp32 products with the bias and activation applied to each finished block while
 * it is in cache; bf16 products, where the processor has them, whole, with the activation after them. */
#include <string.h>

#include "device/cpu/colsum.h"
#include "device/cpu/convert.h"
#include "device/cpu/gemm.h"
#include "device/cpu/matmul_bf16.h"
#include "device/cpu/vec.h"
#include "ops/linear/linear_attr.h"

HM_CPU_DECLARE(linear);
HM_CPU_DECLARE(linear_act_back);
HM_CPU_DECLARE(linear_db);
HM_CPU_DECLARE(linear_dw);
HM_CPU_DECLARE(linear_dx);
HM_CPU_DECLARE(matmul);

typedef struct finish {
    const float *bias; /* [N] or NULL */
    float *y;          /* [M, N] */
    int64_t width;     /* N */
    hm_act act;
} finish;

static void apply_act(hm_act act, const float *z, float *y, int64_t n) {
    switch (act) {
    case HM_ACT_RELU:
#pragma omp simd
        for (int64_t j = 0; j < n; j++)
            y[j] = z[j] < 0 ? 0 : z[j];
        return;
    case HM_ACT_GELU:
#pragma omp simd
        for (int64_t j = 0; j < n; j++) {
            float density;
            y[j] = z[j] * hm_normal_cdff(z[j], &density);
        }
        return;
    case HM_ACT_SILU:
#pragma omp simd
        for (int64_t j = 0; j < n; j++)
            y[j] = z[j] * hm_sigmoidf(z[j]);
        return;
    default:
        return;
    }
}

/* Adds the bias in place and writes the activation to y, which may be the same memory. */
static void finish_block(const void *ctx, float *c, int64_t ldc, int64_t row, int64_t col, int64_t rows, int64_t cols) {
    const finish *const f = ctx;
    for (int64_t i = 0; i < rows; i++) {
        float *const z = c + i * ldc;
        for (int64_t j = 0; f->bias != NULL && j < cols; j++)
            z[j] += f->bias[col + j];
        apply_act(f->act, z, f->y + (row + i) * f->width + col, cols);
    }
}

/* ---- bf16 */

#define ACT_PIECE 2048 /* elements of one task */

static void act_piece(const hm_call *c, hm_act act, int64_t first, int64_t n) {
    const hm_node *const node = c->node;
    const int kept = node->n_out - 1;
    float z_room[ACT_PIECE], y_room[ACT_PIECE];
    const float *const z = hm_row_in(node->out[kept]->dtype, c->out[kept], first, n, z_room);
    float *const y = hm_row_out(node->out[0]->dtype, c->out[0], first, y_room);
    apply_act(act, z, y, n);
    hm_row_done(node->out[0]->dtype, c->out[0], first, y, n);
}

/* z = x W^T + b as it is kept, then its activation. */
static hm_status linear_bf16(const hm_call *c) {
    const hm_node *const node = c->node;
    const int kept = node->n_out - 1;
    const hm_act act = ((const hm_linear_attr *)node->attr)->act;
    const hm_tensor *const b = node->in[2];
    const hm_matmul_bf16 d = {.tb = true,
                              .m = hm_rows(node->in[0], 1),
                              .n = hm_dim(node->in[1], 0),
                              .k = hm_dim(node->in[0], -1),
                              .out = node->out[kept]->dtype,
                              .has_bias = b != NULL,
                              .bias = b != NULL ? b->dtype : HM_F32};
    HM_TRY(hm_matmul_bf16_run(c->slot, &d, c->in[0], c->in[1], c->in[2], c->out[kept], c->run->threads));
    if (act == HM_ACT_NONE)
        return HM_OK;
    const int64_t count = d.m * d.n;
#pragma omp parallel for num_threads(c->run->threads) if (count > 4 * ACT_PIECE)
    for (int64_t i = 0; i < count; i += ACT_PIECE)
        act_piece(c, act, i, count - i < ACT_PIECE ? count - i : ACT_PIECE);
    return HM_OK;
}

static hm_status product_bf16(const hm_call *c, bool ta, int64_t m, int64_t n, int64_t k) {
    const hm_matmul_bf16 d = {.ta = ta, .m = m, .n = n, .k = k, .out = c->node->out[0]->dtype};
    return hm_matmul_bf16_run(c->slot, &d, c->in[0], c->in[1], NULL, c->out[0], c->run->threads);
}

/* ---- kernels */

hm_status HM_CPU(linear)(const hm_call *c) {
    if (hm_linear_native(c->node))
        return linear_bf16(c);
    const hm_tensor *const x = c->node->in[0];
    const int64_t m = hm_rows(x, 1), k = hm_dim(x, -1), n = hm_dim(c->node->in[1], 0);
    const finish f = {c->in[2], c->out[0], n, ((const hm_linear_attr *)c->node->attr)->act};
    const hm_gemm_args g = {.tb = true,
                            .m = m,
                            .n = n,
                            .k = k,
                            .batch = 1,
                            .alpha = 1,
                            .a = c->in[0],
                            .lda = k,
                            .b = c->in[1],
                            .ldb = k,
                            .c = c->out[c->node->n_out - 1],
                            .ldc = n,
                            .epilogue = {f.bias != NULL || f.act != HM_ACT_NONE ? finish_block : NULL, &f}};
    return hm_gemm_batch(&g, c->run->threads);
}

static void act_back(hm_act act, const float *dy, const float *z, float *dz, int64_t n) {
    switch (act) {
    case HM_ACT_RELU:
#pragma omp simd
        for (int64_t j = 0; j < n; j++)
            dz[j] = z[j] <= 0 ? 0 : dy[j];
        return;
    case HM_ACT_GELU:
#pragma omp simd
        for (int64_t j = 0; j < n; j++) {
            float density;
            const float cdf = hm_normal_cdff(z[j], &density);
            dz[j] = dy[j] * (cdf + z[j] * density);
        }
        return;
    default: /* SiLU */
#pragma omp simd
        for (int64_t j = 0; j < n; j++) {
            const float s = hm_sigmoidf(z[j]);
            dz[j] = dy[j] * (s * (1 + z[j] * (1 - s)));
        }
    }
}

static void act_back_piece(const hm_call *c, hm_act act, int64_t first, int64_t n) {
    const hm_node *const node = c->node;
    float dy_room[ACT_PIECE], z_room[ACT_PIECE], dz_room[ACT_PIECE];
    const float *const dy = hm_row_in(node->in[0]->dtype, c->in[0], first, n, dy_room);
    const float *const z = hm_row_in(node->in[1]->dtype, c->in[1], first, n, z_room);
    float *const dz = hm_row_out(node->out[0]->dtype, c->out[0], first, dz_room);
    act_back(act, dy, z, dz, n);
    hm_row_done(node->out[0]->dtype, c->out[0], first, dz, n);
}

hm_status HM_CPU(linear_act_back)(const hm_call *c) {
    const hm_act act = ((const hm_linear_attr *)c->node->attr)->act;
    const int64_t n = hm_count(c->node->in[0]);
#pragma omp parallel for num_threads(c->run->threads) if (n > 4 * ACT_PIECE)
    for (int64_t i = 0; i < n; i += ACT_PIECE)
        act_back_piece(c, act, i, n - i < ACT_PIECE ? n - i : ACT_PIECE);
    return HM_OK;
}

hm_status HM_CPU(linear_db)(const hm_call *c) {
    const hm_tensor *const dz = c->node->in[0];
    hm_colsum(dz->dtype, c->in[0], hm_rows(dz, 1), hm_dim(dz, -1), c->work, c->node->out[0]->dtype, c->out[0],
              c->run->threads);
    return HM_OK;
}

hm_status HM_CPU(linear_dw)(const hm_call *c) {
    const hm_tensor *const dz = c->node->in[0], *const x = c->node->in[1];
    const int64_t m = hm_rows(dz, 1), n = hm_dim(dz, -1), k = hm_dim(x, -1);
    if (hm_linear_native(c->node))
        return product_bf16(c, true, n, k, m);
    return hm_gemm(true, false, n, k, m, 1, c->in[0], n, c->in[1], k, 0, c->out[0], k, c->run->threads);
}

hm_status HM_CPU(linear_dx)(const hm_call *c) {
    const hm_tensor *const dz = c->node->in[0], *const dx = c->node->out[0];
    const int64_t m = hm_rows(dz, 1), n = hm_dim(dz, -1), k = hm_dim(dx, -1);
    if (hm_linear_native(c->node))
        return product_bf16(c, false, m, k, n);
    return hm_gemm(false, false, m, k, n, 1, c->in[0], n, c->in[1], k, 0, c->out[0], k, c->run->threads);
}

hm_status HM_CPU(matmul)(const hm_call *c) {
    const hm_matmul_attr *const attr = c->node->attr;
    const hm_matmul_sizes s = hm_matmul_sizes_of(c->node);
    const int64_t batch = attr->sum ? 1 : s.batch;
    hm_gemm_args g = {.ta = attr->trans_a,
                      .tb = attr->trans_b,
                      .m = s.m,
                      .n = s.n,
                      .k = s.k,
                      .batch = batch,
                      .alpha = 1,
                      .a = c->in[0],
                      .lda = hm_dim(c->node->in[0], -1),
                      .stride_a = s.stride_a,
                      .b = c->in[1],
                      .ldb = hm_dim(c->node->in[1], -1),
                      .stride_b = s.stride_b,
                      .c = c->out[0],
                      .ldc = s.n,
                      .stride_c = s.m * s.n};
    if (s.stride_b == 0 && !g.ta && s.stride_a == s.m * s.k) { /* a shared b: one tall product */
        g.m *= g.batch;
        g.batch = 1;
    }
    if (attr->sum && s.batch == 0)
        memset(g.c, 0, (size_t)(s.m * s.n) * sizeof *g.c);
    for (int64_t i = 0; i < (attr->sum ? s.batch : 1); i++) {
        HM_TRY(hm_gemm_batch(&g, c->run->threads));
        g.a += s.stride_a;
        g.b += s.stride_b;
        g.beta = 1;
    }
    return HM_OK;
}
