/* gemm_half.h: one matrix product of operands stored in half, multiplied and summed in fp32. A thread widens the panels
 * of an output block piece by piece into scratch of its own, where they stay in cache, and rounds the finished block
 * once: no fp32 copy of a whole tensor is ever made. Included by kernels, so compiled for each instruction set. The
 * bits of the result do not depend on the number of threads. */
#ifndef HM_DEVICE_CPU_GEMM_HALF_H
#define HM_DEVICE_CPU_GEMM_HALF_H

#include <omp.h>

#include "device/cpu/convert.h"
#include "device/cpu/gemm.h"

#define HM_GEMM_HALF_DEPTH 384 /* of a panel */
/* Scratch of one thread: a panel of each operand and the block itself. */
#define HM_GEMM_HALF_FLOATS (2 * HM_GEMM_BLOCK * HM_GEMM_HALF_DEPTH + HM_GEMM_BLOCK * HM_GEMM_BLOCK)

typedef struct hm_gemm_half {
    bool ta, tb; /* as in gemm.h; rows of a, b and c are dense */
    int64_t m, n, k;
    hm_dtype a_type, b_type; /* any floating-point types */
    const void *a, *b;
    /* Stores a finished block z [rows, cols], which lies at (row, col) of the result; may change z. */
    void (*store)(const void *ctx, float *z, int64_t row, int64_t col, int64_t rows, int64_t cols);
    const void *ctx;
} hm_gemm_half;

/* to [rows, cols] = the part of x [?, ld] that begins at (row, col). */
static inline void hm_gemm_half_panel(hm_dtype type, const void *x, int64_t ld, int64_t row, int64_t col, int64_t rows,
                                      int64_t cols, float *to) {
    for (int64_t i = 0; i < rows; i++)
        hm_widen(type, x, (row + i) * ld + col, to + i * cols, cols);
}

/* The part of op(x) that rows row..row+rows-1 of it and columns at..at+depth-1 are, as it is stored. */
static inline void hm_gemm_half_operand(bool turned, hm_dtype type, const void *x, int64_t ld, int64_t row, int64_t at,
                                        int64_t rows, int64_t depth, float *to) {
    if (turned)
        hm_gemm_half_panel(type, x, ld, at, row, depth, rows, to);
    else
        hm_gemm_half_panel(type, x, ld, row, at, rows, depth, to);
}

static inline bool hm_gemm_half_block(const hm_gemm_half *g, int64_t row, int64_t col, int64_t rows, int64_t cols,
                                      float *scratch) {
    float *const a = scratch, *const b = a + HM_GEMM_BLOCK * HM_GEMM_HALF_DEPTH;
    float *const z = b + HM_GEMM_BLOCK * HM_GEMM_HALF_DEPTH;
    bool ok = true;
    int64_t at = 0;
    do {
        const int64_t left = g->k - at, depth = left < HM_GEMM_HALF_DEPTH ? left : HM_GEMM_HALF_DEPTH;
        hm_gemm_half_operand(g->ta, g->a_type, g->a, g->ta ? g->m : g->k, row, at, rows, depth, a);
        hm_gemm_half_operand(!g->tb, g->b_type, g->b, g->tb ? g->k : g->n, col, at, cols, depth, b);
        ok = ok && hm_gemm_serial(g->ta, g->tb, rows, cols, depth, 1, a, g->ta ? rows : depth, b, g->tb ? depth : cols,
                                  at > 0, z, cols);
        at += depth;
    } while (at < g->k);
    g->store(g->ctx, z, row, col, rows, cols);
    return ok;
}

/* work: HM_GEMM_HALF_FLOATS for each thread. */
static inline hm_status hm_gemm_half_run(const hm_gemm_half *g, float *work, int threads) {
    if (g->m == 0 || g->n == 0)
        return HM_OK;
    const hm_gemm_cut u = hm_gemm_cut_of(g->m, g->n, 1);
    bool ok = true;
#pragma omp parallel for num_threads(threads) schedule(dynamic) reduction(&& : ok)
    for (int64_t t = 0; t < u.n_rows * u.n_cols; t++) {
        const int64_t row = t / u.n_cols * u.rows, col = t % u.n_cols * u.cols;
        ok = hm_gemm_half_block(g, row, col, g->m - row < u.rows ? g->m - row : u.rows,
                                g->n - col < u.cols ? g->n - col : u.cols,
                                work + omp_get_thread_num() * HM_GEMM_HALF_FLOATS) &&
             ok;
    }
    if (!ok)
        HM_FAIL(HM_ERR_INTERNAL, "oneDNN refused a %lld x %lld x %lld matrix product", (long long)g->m, (long long)g->n,
                (long long)g->k);
    return HM_OK;
}

#endif
