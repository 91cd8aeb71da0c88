/* cpu.c: kernels of linear and matmul: products in fp32, of half operands too, with bias and activation applied to each
 * finished block while it is in cache; bf16 products, where the processor has them, whole, with the activation after
 * them. A pre-activation that is kept in half is rounded before the activation: the backward pass sees the same. */
#include <string.h>

#include "device/cpu/colsum.h"
#include "device/cpu/convert.h"
#include "device/cpu/gemm_half.h"
#include "device/cpu/matmul_bf16.h"
#include "device/cpu/vec.h"
#include "ops/linear/linear_attr.h"

HM_CPU_DECLARE(linear);
HM_CPU_DECLARE(linear_act_back);
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

/* ---- other half operands */

/* out [.., width] = z, rounded; z becomes what is stored. */
static void store_row(hm_dtype type, void *out, int64_t at, float *z, int64_t n) {
    hm_narrow(type, z, out, at, n);
    if (type != HM_F32)
        hm_widen(type, out, at, z, n);
}

/* The block of a linear node: bias, pre-activation if it is kept, activation. */
static void store_linear(const void *ctx, float *z, int64_t row, int64_t col, int64_t rows, int64_t cols) {
    const hm_call *const c = ctx;
    const hm_node *const node = c->node;
    const hm_act act = ((const hm_linear_attr *)node->attr)->act;
    const int64_t width = hm_dim(node->out[0], -1);
    float bias_room[HM_GEMM_BLOCK];
    const float *const bias = c->in[2] == NULL ? NULL : hm_row_in(node->in[2]->dtype, c->in[2], col, cols, bias_room);
    for (int64_t i = 0; i < rows; i++) {
        float *const one = z + i * cols;
        const int64_t at = (row + i) * width + col;
        for (int64_t j = 0; bias != NULL && j < cols; j++)
            one[j] += bias[j];
        if (node->n_out > 1)
            store_row(node->out[1]->dtype, c->out[1], at, one, cols);
        apply_act(act, one, one, cols);
        hm_narrow(node->out[0]->dtype, one, c->out[0], at, cols);
    }
}

typedef struct product {
    const hm_call *c;
    int64_t width; /* of a row of the result */
} product;

static void store_product(const void *ctx, float *z, int64_t row, int64_t col, int64_t rows, int64_t cols) {
    const product *const p = ctx;
    for (int64_t i = 0; i < rows; i++)
        hm_narrow(p->c->node->out[0]->dtype, z + i * cols, p->c->out[0], (row + i) * p->width + col, cols);
}

static hm_status linear_widened(const hm_call *c, int64_t m, int64_t n, int64_t k) {
    const hm_gemm_half g = {.tb = true,
                            .m = m,
                            .n = n,
                            .k = k,
                            .a_type = c->node->in[0]->dtype,
                            .b_type = c->node->in[1]->dtype,
                            .a = c->in[0],
                            .b = c->in[1],
                            .store = store_linear,
                            .ctx = c};
    return hm_gemm_half_run(&g, c->work, c->run->threads);
}

static hm_status product_widened(const hm_call *c, bool ta, int64_t m, int64_t n, int64_t k) {
    const product p = {c, n};
    const hm_gemm_half g = {.ta = ta,
                            .m = m,
                            .n = n,
                            .k = k,
                            .a_type = c->node->in[0]->dtype,
                            .b_type = c->node->in[1]->dtype,
                            .a = c->in[0],
                            .b = c->in[1],
                            .store = store_product,
                            .ctx = &p};
    return hm_gemm_half_run(&g, c->work, c->run->threads);
}

/* ---- kernels */

hm_status HM_CPU(linear)(const hm_call *c) {
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
    switch (hm_linear_way_of(c->node)) {
    case HM_LINEAR_BF16:
        return linear_bf16(c);
    case HM_LINEAR_WIDENED:
        return linear_widened(c, m, n, k);
    default:
        return hm_gemm_batch(&g, c->run->threads);
    }
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

/* out [m, n] = op(a) b of the node's two inputs, b as it is stored. */
static hm_status product_of(const hm_call *c, bool ta, int64_t m, int64_t n, int64_t k) {
    switch (hm_linear_way_of(c->node)) {
    case HM_LINEAR_BF16:
        return product_bf16(c, ta, m, n, k);
    case HM_LINEAR_WIDENED:
        return product_widened(c, ta, m, n, k);
    default:
        return hm_gemm(ta, false, m, n, k, 1, c->in[0], ta ? m : k, c->in[1], n, 0, c->out[0], n, c->run->threads);
    }
}

hm_status HM_CPU(linear_dw)(const hm_call *c) {
    const hm_linear_dw_attr *const attr = c->node->attr;
    const hm_tensor *const dz = c->node->in[0], *const x = c->node->in[1];
    const int64_t rows = hm_rows(dz, 1), features = hm_dim(dz, -1);
    if (attr->want_w)
        HM_TRY(product_of(c, true, features, hm_dim(x, -1), rows));
    if (attr->want_b) {
        const int b = attr->want_w ? 1 : 0;
        hm_colsum(dz->dtype, c->in[0], rows, features, c->work, c->node->out[b]->dtype, c->out[b], c->run->threads);
    }
    return HM_OK;
}

hm_status HM_CPU(linear_dx)(const hm_call *c) {
    const hm_tensor *const dz = c->node->in[0], *const dx = c->node->out[0];
    return product_of(c, false, hm_rows(dz, 1), hm_dim(dx, -1), hm_dim(dz, -1));
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
