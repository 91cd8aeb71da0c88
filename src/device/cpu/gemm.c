/* gemm.c: output blocks over threads, each block one serial dnnl_sgemm. */
#include "device/cpu/gemm.h"

#include "device/cpu/dnnl_engine.h"

#define MIN_BLOCK 48
#define MANY      8 /* blocks are halved until there are this many */

static bool sgemm(bool ta, bool tb, int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda,
                  const float *b, int64_t ldb, float beta, float *c, int64_t ldc) {
    return dnnl_sgemm(ta ? 'T' : 'N', tb ? 'T' : 'N', m, n, k, alpha, a, lda, b, ldb, beta, c, ldc) == dnnl_success;
}

/* What is left of a product with nothing to sum. */
static void scale(int64_t m, int64_t n, float beta, float *c, int64_t ldc) {
    for (int64_t i = 0; i < m; i++)
        for (int64_t j = 0; j < n; j++)
            c[i * ldc + j] = beta == 0 ? 0 : beta * c[i * ldc + j];
}

bool hm_gemm_serial(bool ta, bool tb, int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda,
                    const float *b, int64_t ldb, float beta, float *c, int64_t ldc) {
    if (m == 0 || n == 0)
        return true;
    if (k == 0) {
        scale(m, n, beta, c, ldc);
        return true;
    }
    const int before = hm_dnnl_alone();
    const bool ok = sgemm(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
    hm_dnnl_restore(before);
    return ok;
}

static int64_t ceil_div(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

/* Equal blocks of at most `block` elements, in multiples of 16. */
static int64_t even(int64_t size, int64_t block) {
    const int64_t each = ceil_div(size, ceil_div(size, block));
    return ceil_div(each, 16) * 16;
}

hm_gemm_cut hm_gemm_cut_of(int64_t m, int64_t n, int64_t batch) {
    int64_t rows = even(m, HM_GEMM_BLOCK), cols = even(n, HM_GEMM_BLOCK);
    while (ceil_div(m, rows) * ceil_div(n, cols) * batch < MANY && (rows > MIN_BLOCK || cols > MIN_BLOCK)) {
        int64_t *const wide = rows >= cols ? &rows : &cols;
        *wide = even(*wide, ceil_div(*wide, 2));
    }
    return (hm_gemm_cut){rows, cols, ceil_div(m, rows), ceil_div(n, cols)};
}

static bool run_block(const hm_gemm_args *g, const hm_gemm_cut *u, int64_t task) {
    const int64_t i = task / (u->n_rows * u->n_cols), at = task % (u->n_rows * u->n_cols);
    const int64_t row = at / u->n_cols * u->rows, col = at % u->n_cols * u->cols;
    const int64_t rows = g->m - row < u->rows ? g->m - row : u->rows;
    const int64_t cols = g->n - col < u->cols ? g->n - col : u->cols;
    const float *const a = g->a + i * g->stride_a + (g->ta ? row : row * g->lda);
    const float *const b = g->b + i * g->stride_b + (g->tb ? col * g->ldb : col);
    float *const c = g->c + i * g->stride_c + row * g->ldc + col;
    const bool ok = hm_gemm_serial(g->ta, g->tb, rows, cols, g->k, g->alpha, a, g->lda, b, g->ldb, g->beta, c, g->ldc);
    if (ok && g->epilogue.run != NULL)
        g->epilogue.run(g->epilogue.ctx, c, g->ldc, i * g->m + row, col, rows, cols);
    return ok;
}

hm_status hm_gemm_batch(const hm_gemm_args *g, int threads) {
    if (g->m == 0 || g->n == 0 || g->batch == 0)
        return HM_OK;
    const hm_gemm_cut u = hm_gemm_cut_of(g->m, g->n, g->batch);
    const int64_t tasks = u.n_rows * u.n_cols * g->batch;
    const bool worth = tasks > 1 && (double)g->m * (double)g->n * (double)g->k * (double)g->batch > 32768;
    bool ok = true;
#pragma omp parallel for num_threads(threads) schedule(dynamic) reduction(&& : ok) if (worth && threads > 1)
    for (int64_t t = 0; t < tasks; t++)
        ok = run_block(g, &u, t) && ok;
    if (!ok)
        HM_FAIL(HM_ERR_INTERNAL, "oneDNN refused a %lld x %lld x %lld matrix product", (long long)g->m, (long long)g->n,
                (long long)g->k);
    return HM_OK;
}

hm_status hm_gemm(bool ta, bool tb, int64_t m, int64_t n, int64_t k, float alpha, const float *a, int64_t lda,
                  const float *b, int64_t ldb, float beta, float *c, int64_t ldc, int threads) {
    const hm_gemm_args g = {.ta = ta,
                            .tb = tb,
                            .m = m,
                            .n = n,
                            .k = k,
                            .batch = 1,
                            .alpha = alpha,
                            .beta = beta,
                            .a = a,
                            .b = b,
                            .c = c,
                            .lda = lda,
                            .ldb = ldb,
                            .ldc = ldc};
    return hm_gemm_batch(&g, threads);
}
