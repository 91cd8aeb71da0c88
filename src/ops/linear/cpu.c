/* cpu.c: kernels of linear and matmul: oneDNN products with the bias and activation applied to each finished block
 * while it is in cache. Products of bf16 exist as fp32 only within a block, then they are rounded to where they belong.
 */
#include <string.h>

#include "device/cpu/colsum.h"
#include "device/cpu/convert.h"
#include "device/cpu/gemm.h"
#include "device/cpu/vec.h"
#include "ops/linear/linear_attr.h"

HM_CPU_DECLARE(linear);
HM_CPU_DECLARE(linear_act_back);
HM_CPU_DECLARE(linear_db);
HM_CPU_DECLARE(linear_dw);
HM_CPU_DECLARE(linear_dx);
HM_CPU_DECLARE(matmul);

typedef struct finish {
    const void *bias; /* [N] or NULL */
    void *y, *z;      /* [M, N]; z: before the activation, NULL when it is not kept or the block lies in it */
    hm_dtype bias_type, y_type, z_type;
    int64_t width; /* N */
    hm_act act;
} finish;

#define FINISH_COLS 1024 /* most columns of a block */

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

static void add_bias(float *z, const float *bias, int64_t n) {
    for (int64_t j = 0; j < n; j++)
        z[j] += bias[j];
}

/* Adds the bias in place, keeps z and writes the activation of z as it is kept to y, which may be the same memory. */
static void finish_block(const void *ctx, float *c, int64_t ldc, int64_t row, int64_t col, int64_t rows, int64_t cols) {
    const finish *const f = ctx;
    float bias_room[FINISH_COLS], room[FINISH_COLS];
    const float *const bias = f->bias != NULL ? hm_row_in(f->bias_type, f->bias, col, cols, bias_room) : NULL;
    for (int64_t i = 0; i < rows; i++) {
        float *const z = c + i * ldc;
        const int64_t at = (row + i) * f->width + col;
        if (bias != NULL)
            add_bias(z, bias, cols);
        if (f->z != NULL) {
            hm_narrow(f->z_type, z, f->z, at, cols);
            if (f->z_type != HM_F32)
                hm_widen(f->z_type, f->z, at, z, cols);
        }
        if (f->act == HM_ACT_NONE) {
            if (f->y_type != HM_F32 || (float *)f->y + at != z)
                hm_narrow(f->y_type, z, f->y, at, cols);
            continue;
        }
        float *const y = hm_row_out(f->y_type, f->y, at, room);
        apply_act(f->act, z, y, cols);
        hm_row_done(f->y_type, f->y, at, y, cols);
    }
}

/* Product of bf16 operands, rounded to the type of the output; fp32 outputs are written by the product itself. */
static hm_status product_bf16(const hm_call *c, bool ta, bool tb, int64_t m, int64_t n, int64_t k, int64_t lda,
                              int64_t ldb) {
    const hm_dtype type = c->node->out[0]->dtype;
    const finish f = {.y = c->out[0], .y_type = type, .width = n};
    const hm_gemm_args g = {.dtype = HM_BF16,
                            .ta = ta,
                            .tb = tb,
                            .m = m,
                            .n = n,
                            .k = k,
                            .batch = 1,
                            .alpha = 1,
                            .a = c->in[0],
                            .b = c->in[1],
                            .c = type == HM_F32 ? c->out[0] : NULL,
                            .lda = lda,
                            .ldb = ldb,
                            .ldc = n,
                            .epilogue = {type == HM_F32 ? NULL : finish_block, &f}};
    return hm_gemm_batch(&g, c->run->threads);
}

/* Whether this call's operands are bf16 as they are. */
static bool is_bf16(const hm_call *c) {
    return hm_cpu_has_bf16() && c->node->in[0]->dtype == HM_BF16 && c->node->in[1]->dtype == HM_BF16;
}

hm_status HM_CPU(linear)(const hm_call *c) {
    const hm_tensor *const x = c->node->in[0];
    const int64_t m = hm_rows(x, 1), k = hm_dim(x, -1), n = hm_dim(c->node->in[1], 0);
    const bool bf16 = is_bf16(c), kept = c->node->n_out > 1;
    const hm_tensor *const b = c->node->in[2];
    finish f = {.bias = c->in[2],
                .bias_type = HM_F32,
                .y = c->out[0],
                .y_type = HM_F32,
                .width = n,
                .act = ((const hm_linear_attr *)c->node->attr)->act};
    if (bf16) {
        f.bias_type = b != NULL ? b->dtype : HM_F32;
        f.y_type = c->node->out[0]->dtype;
        f.z = kept ? c->out[1] : NULL;
        f.z_type = c->node->out[kept]->dtype;
    }
    const hm_gemm_args g = {.dtype = bf16 ? HM_BF16 : HM_F32,
                            .tb = true,
                            .m = m,
                            .n = n,
                            .k = k,
                            .batch = 1,
                            .alpha = 1,
                            .a = c->in[0],
                            .lda = k,
                            .b = c->in[1],
                            .ldb = k,
                            .c = bf16 ? NULL : c->out[c->node->n_out - 1],
                            .ldc = n,
                            .epilogue = {bf16 || f.bias != NULL || f.act != HM_ACT_NONE ? finish_block : NULL, &f}};
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

#define ACT_PIECE 2048 /* elements of one task */

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
    hm_colsum(c->in[0], hm_rows(dz, 1), hm_dim(dz, -1), c->work, c->out[0], c->run->threads);
    return HM_OK;
}

hm_status HM_CPU(linear_dw)(const hm_call *c) {
    const hm_tensor *const dz = c->node->in[0], *const x = c->node->in[1];
    const int64_t m = hm_rows(dz, 1), n = hm_dim(dz, -1), k = hm_dim(x, -1);
    if (is_bf16(c))
        return product_bf16(c, true, false, n, k, m, n, k);
    return hm_gemm(true, false, n, k, m, 1, c->in[0], n, c->in[1], k, 0, c->out[0], k, c->run->threads);
}

hm_status HM_CPU(linear_dx)(const hm_call *c) {
    const hm_tensor *const dz = c->node->in[0], *const dx = c->node->out[0];
    const int64_t m = hm_rows(dz, 1), n = hm_dim(dz, -1), k = hm_dim(dx, -1);
    if (is_bf16(c))
        return product_bf16(c, false, false, m, k, n, n, k);
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
        g.a = (const float *)g.a + s.stride_a;
        g.b = (const float *)g.b + s.stride_b;
        g.beta = 1;
    }
    return HM_OK;
}
