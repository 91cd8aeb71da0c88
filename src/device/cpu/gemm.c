/* gemm.c: output blocks over threads, each block one serial product.
 * oneDNN computes on one thread when called inside an active parallel region; elsewhere it takes as many threads as
 * OpenMP would give, which is why hm_gemm_serial lowers that number to one for the duration of the call. */
#include "device/cpu/gemm.h"

#include <dnnl.h>
#include <omp.h>
#include <stdlib.h>

#define BLOCK      192 /* edge of a block: near peak speed, and enough blocks for many cores */
#define BLOCK_BF16 384 /* of bf16 operands: each call has to rearrange them first */
#define MIN_BLOCK  48
#define MANY       8 /* blocks are halved until there are this many */

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
    const int before = omp_get_max_threads();
    const bool lower = !omp_in_parallel() && before > 1;
    if (lower)
        omp_set_num_threads(1);
    const bool ok = sgemm(ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
    if (lower)
        omp_set_num_threads(before);
    return ok;
}

/* ---- bf16: oneDNN's matmul primitive. oneDNN itself caches primitives by their description. */

static dnnl_engine_t engine(void) {
    static dnnl_engine_t made;
#pragma omp critical(hm_gemm_engine)
    if (made == NULL && dnnl_engine_create(&made, dnnl_cpu, 0) != dnnl_success)
        made = NULL;
    return made;
}

static bool describe(dnnl_memory_desc_t *d, int64_t rows, int64_t cols, dnnl_data_type_t type, bool turned,
                     int64_t ld) {
    const dnnl_dims_t dims = {rows, cols}, strides = {turned ? 1 : ld, turned ? ld : 1};
    return dnnl_memory_desc_init_by_strides(d, 2, dims, type, strides) == dnnl_success;
}

/* c = a b + beta c. */
static dnnl_primitive_t make_matmul(dnnl_engine_t e, const dnnl_memory_desc_t desc[3], float beta) {
    dnnl_matmul_desc_t op;
    dnnl_primitive_desc_t pd = NULL;
    dnnl_primitive_attr_t attr = NULL;
    dnnl_post_ops_t sum = NULL;
    dnnl_primitive_t p = NULL;
    bool ok = dnnl_matmul_desc_init(&op, &desc[0], &desc[1], NULL, &desc[2]) == dnnl_success &&
              dnnl_primitive_attr_create(&attr) == dnnl_success && dnnl_post_ops_create(&sum) == dnnl_success;
    if (ok && beta != 0)
        ok = dnnl_post_ops_append_sum(sum, beta) == dnnl_success &&
             dnnl_primitive_attr_set_post_ops(attr, sum) == dnnl_success;
    if (ok && dnnl_primitive_desc_create(&pd, &op, attr, e, NULL) == dnnl_success &&
        dnnl_primitive_create(&p, pd) != dnnl_success)
        p = NULL;
    dnnl_primitive_desc_destroy(pd);
    dnnl_post_ops_destroy(sum);
    dnnl_primitive_attr_destroy(attr);
    return p;
}

static bool run_matmul(dnnl_engine_t e, dnnl_primitive_t p, const dnnl_memory_desc_t desc[3], void *const data[3]) {
    static const int role[] = {DNNL_ARG_SRC, DNNL_ARG_WEIGHTS, DNNL_ARG_DST};
    dnnl_exec_arg_t args[3] = {{0}};
    dnnl_stream_t stream = NULL;
    bool ok = dnnl_stream_create(&stream, e, dnnl_stream_default_flags) == dnnl_success;
    for (int i = 0; i < 3; i++) {
        args[i].arg = role[i];
        ok = dnnl_memory_create(&args[i].memory, &desc[i], e, data[i]) == dnnl_success && ok;
    }
    ok = ok && dnnl_primitive_execute(p, stream, 3, args) == dnnl_success && dnnl_stream_wait(stream) == dnnl_success;
    for (int i = 0; i < 3; i++)
        dnnl_memory_destroy(args[i].memory);
    dnnl_stream_destroy(stream);
    return ok;
}

static bool matmul(bool ta, bool tb, int64_t m, int64_t n, int64_t k, const uint16_t *a, int64_t lda, const uint16_t *b,
                   int64_t ldb, float beta, float *c, int64_t ldc) {
    const dnnl_engine_t e = engine();
    dnnl_memory_desc_t desc[3];
    if (e == NULL || !describe(&desc[0], m, k, dnnl_bf16, ta, lda) || !describe(&desc[1], k, n, dnnl_bf16, tb, ldb) ||
        !describe(&desc[2], m, n, dnnl_f32, false, ldc))
        return false;
    const dnnl_primitive_t p = make_matmul(e, desc, beta);
    const bool ok = p != NULL && run_matmul(e, p, desc, (void *[]){(void *)(uintptr_t)a, (void *)(uintptr_t)b, c});
    dnnl_primitive_destroy(p);
    return ok;
}

bool hm_gemm_serial_bf16(bool ta, bool tb, int64_t m, int64_t n, int64_t k, const uint16_t *a, int64_t lda,
                         const uint16_t *b, int64_t ldb, float beta, float *c, int64_t ldc) {
    if (m == 0 || n == 0)
        return true;
    if (k == 0) {
        scale(m, n, beta, c, ldc);
        return true;
    }
    const int before = omp_get_max_threads();
    const bool lower = !omp_in_parallel() && before > 1;
    if (lower)
        omp_set_num_threads(1);
    const bool ok = matmul(ta, tb, m, n, k, a, lda, b, ldb, beta, c, ldc);
    if (lower)
        omp_set_num_threads(before);
    return ok;
}

/* ---- blocks over threads */

static int64_t ceil_div(int64_t a, int64_t b) {
    return (a + b - 1) / b;
}

/* Equal blocks of at most `block` elements, in multiples of 16. */
static int64_t even(int64_t size, int64_t block) {
    const int64_t each = ceil_div(size, ceil_div(size, block));
    return ceil_div(each, 16) * 16;
}

typedef struct cut {
    int64_t rows, cols;     /* of a block */
    int64_t n_rows, n_cols; /* number of blocks each way */
} cut;

static cut make_cut(const hm_gemm_args *g) {
    const int64_t block = g->dtype == HM_BF16 ? BLOCK_BF16 : BLOCK;
    int64_t rows = even(g->m, block), cols = even(g->n, block);
    while (ceil_div(g->m, rows) * ceil_div(g->n, cols) * g->batch < MANY && (rows > MIN_BLOCK || cols > MIN_BLOCK)) {
        int64_t *const wide = rows >= cols ? &rows : &cols;
        *wide = even(*wide, ceil_div(*wide, 2));
    }
    return (cut){rows, cols, ceil_div(g->m, rows), ceil_div(g->n, cols)};
}

static bool product(const hm_gemm_args *g, int64_t m, int64_t n, int64_t a, int64_t b, float *c, int64_t ldc) {
    if (g->dtype == HM_BF16)
        return hm_gemm_serial_bf16(g->ta, g->tb, m, n, g->k, (const uint16_t *)g->a + a, g->lda,
                                   (const uint16_t *)g->b + b, g->ldb, g->beta, c, ldc);
    return hm_gemm_serial(g->ta, g->tb, m, n, g->k, g->alpha, (const float *)g->a + a, g->lda, (const float *)g->b + b,
                          g->ldb, g->beta, c, ldc);
}

/* `own`: memory for one block, where the result is nowhere whole. */
static bool run_block(const hm_gemm_args *g, const cut *u, int64_t task, float *own) {
    const int64_t i = task / (u->n_rows * u->n_cols), at = task % (u->n_rows * u->n_cols);
    const int64_t row = at / u->n_cols * u->rows, col = at % u->n_cols * u->cols;
    const int64_t rows = g->m - row < u->rows ? g->m - row : u->rows;
    const int64_t cols = g->n - col < u->cols ? g->n - col : u->cols;
    const int64_t a = i * g->stride_a + (g->ta ? row : row * g->lda);
    const int64_t b = i * g->stride_b + (g->tb ? col * g->ldb : col);
    float *const c = own != NULL ? own : g->c + i * g->stride_c + row * g->ldc + col;
    const int64_t ldc = own != NULL ? cols : g->ldc;
    const bool ok = product(g, rows, cols, a, b, c, ldc);
    if (ok && g->epilogue.run != NULL)
        g->epilogue.run(g->epilogue.ctx, c, ldc, i * g->m + row, col, rows, cols);
    return ok;
}

hm_status hm_gemm_batch(const hm_gemm_args *g, int threads) {
    if (g->m == 0 || g->n == 0 || g->batch == 0)
        return HM_OK;
    const cut u = make_cut(g);
    const int64_t tasks = u.n_rows * u.n_cols * g->batch;
    const bool worth = tasks > 1 && (double)g->m * (double)g->n * (double)g->k * (double)g->batch > 32768;
    bool ok = true;
#pragma omp parallel num_threads(threads) reduction(&& : ok) if (worth && threads > 1)
    {
        float *const own = g->c == NULL ? malloc((size_t)(u.rows * u.cols) * sizeof *own) : NULL;
        const bool room = g->c != NULL || own != NULL;
#pragma omp for schedule(dynamic)
        for (int64_t t = 0; t < tasks; t++)
            ok = room && run_block(g, &u, t, own) && ok;
        free(own);
    }
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
