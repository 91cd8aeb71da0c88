/* pairs.h: small matrix products of bf16, summed in fp32, by the calling thread alone. Operands are packed in words: a
 * word holds two numbers that follow each other along the summed dimension, the first in its low half, which is what
 * AVX512-BF16's dot product takes (vdpbf16ps); behind an odd last number stands 0. Builds for other instruction sets
 * compute the same in plain loops, for tests. Included by kernels. */
#ifndef HM_DEVICE_CPU_PAIRS_H
#define HM_DEVICE_CPU_PAIRS_H

#include <emmintrin.h>

#include "device/cpu/convert.h"

/* Two numbers; may be read where other types were written. */
typedef uint32_t __attribute__((may_alias)) hm_word;

#define HM_PAIRS_LANES 16 /* of a vector: rows of a packed right operand are multiples of it */

static inline int64_t hm_pairs_words(int64_t k) {
    return (k + 1) / 2;
}

static inline int64_t hm_pairs_stride(int64_t n) {
    return (n + HM_PAIRS_LANES - 1) / HM_PAIRS_LANES * HM_PAIRS_LANES;
}

/* ---- packing; x is row-major with rows of ld numbers, neither side is empty */

/* to [rows, words(k)] = x [rows, k]: a left operand, summed along its rows. */
static inline void hm_pairs_rows(const uint16_t *x, int64_t ld, int64_t rows, int64_t k, hm_word *to) {
    const int64_t words = hm_pairs_words(k);
    for (int64_t i = 0; i < rows; i++) {
        to[i * words + words - 1] = 0;
        memcpy(to + i * words, x + i * ld, (size_t)k * sizeof *x);
    }
}

/* The same from fp32, rounded; x is dense. */
static inline void hm_pairs_rows_of(const float *x, int64_t rows, int64_t k, hm_word *to) {
    const int64_t words = hm_pairs_words(k);
    for (int64_t i = 0; i < rows; i++) {
        to[i * words + words - 1] = 0;
        hm_narrow_operand(x + i * k, (uint16_t *)(void *)(to + i * words), k);
    }
}

/* to [words(k), stride(n)] = x [k, n]: a right operand, or a left one that is summed along its columns. */
static inline void hm_pairs_columns(const uint16_t *x, int64_t ld, int64_t k, int64_t n, hm_word *to) {
    const int64_t stride = hm_pairs_stride(n);
    for (int64_t p = 0; p < hm_pairs_words(k); p++) {
        const uint16_t *restrict const low = x + 2 * p * ld, *restrict const high = low + ld;
        hm_word *restrict const row = to + p * stride;
        const bool both = 2 * p + 1 < k;
        for (int64_t j = 0; both && j < n; j++)
            row[j] = low[j] | (uint32_t)high[j] << 16;
        for (int64_t j = 0; !both && j < n; j++)
            row[j] = low[j];
        for (int64_t j = n; j < stride; j++)
            row[j] = 0;
    }
}

/* The same from fp32, rounded; x is dense. */
static inline void hm_pairs_columns_of(const float *x, int64_t k, int64_t n, hm_word *to) {
    enum { piece = 256 };
    const int64_t stride = hm_pairs_stride(n);
    uint16_t low[piece], high[piece] = {0};
    for (int64_t p = 0; p < hm_pairs_words(k); p++) {
        const float *const row = x + 2 * p * n;
        const bool both = 2 * p + 1 < k;
        for (int64_t j = 0; j < n; j += piece) {
            const int64_t cols = n - j < piece ? n - j : piece;
            hm_narrow_operand(row + j, low, cols);
            if (both)
                hm_narrow_operand(row + n + j, high, cols);
            for (int64_t l = 0; l < cols; l++)
                to[p * stride + j + l] = low[l] | (uint32_t)(both ? high[l] : 0) << 16;
        }
        for (int64_t j = n; j < stride; j++)
            to[p * stride + j] = 0;
    }
}

/* Four words of each of four rows, transposed. */
static inline void hm_pairs_turn_4(const uint16_t *x, int64_t ld, hm_word *to, int64_t stride) {
    __m128i row[4];
    for (int r = 0; r < 4; r++)
        row[r] = _mm_loadu_si128((const void *)(x + r * ld));
    const __m128i a = _mm_unpacklo_epi32(row[0], row[1]), b = _mm_unpacklo_epi32(row[2], row[3]);
    const __m128i c = _mm_unpackhi_epi32(row[0], row[1]), d = _mm_unpackhi_epi32(row[2], row[3]);
    _mm_storeu_si128((void *)to, _mm_unpacklo_epi64(a, b));
    _mm_storeu_si128((void *)(to + stride), _mm_unpackhi_epi64(a, b));
    _mm_storeu_si128((void *)(to + 2 * stride), _mm_unpacklo_epi64(c, d));
    _mm_storeu_si128((void *)(to + 3 * stride), _mm_unpackhi_epi64(c, d));
}

/* to [words(k), stride(n)] = the transpose of x [n, k]. */
static inline void hm_pairs_turned(const uint16_t *x, int64_t ld, int64_t n, int64_t k, hm_word *to) {
    const int64_t stride = hm_pairs_stride(n), words = hm_pairs_words(k), fours = n / 4 * 4, whole = k / 8 * 4;
    for (int64_t j = 0; j < fours; j += 4)
        for (int64_t p = 0; p < whole; p += 4)
            hm_pairs_turn_4(x + j * ld + 2 * p, ld, to + p * stride + j, stride);
    for (int64_t p = 0; p < words; p++)
        for (int64_t j = p < whole ? fours : 0; j < stride; j++) {
            const uint16_t *const at = x + (j < n ? j : 0) * ld + 2 * p;
            to[p * stride + j] = j >= n ? 0 : 2 * p + 1 < k ? at[0] | (uint32_t)at[1] << 16 : at[0];
        }
}

/* ---- the product */

/* c [m, n] = alpha a b, or with `add` c + alpha a b; c has rows of ldc numbers. a: word p of row i stands at
 * a[i * row + p * word] (packed rows: row = words(k), word = 1; packed columns: row = 1, word = stride(m)). b: packed
 * columns [words, stride(n)]. */
typedef struct hm_pairs_product {
    const hm_word *a, *b;
    int64_t row, word;
    int64_t m, n, words;
    float alpha;
    bool add;
    float *c;
    int64_t ldc;
} hm_pairs_product;

#define HM_PAIRS_INLINE static inline __attribute__((always_inline))

#if defined(__AVX512F__)
typedef __m512 hm_pairs_lanes;
typedef __mmask16 hm_pairs_mask;

HM_PAIRS_INLINE HM_BF16_TARGET void hm_pairs_zero(hm_pairs_lanes *sum) {
    *sum = _mm512_setzero_ps();
}

HM_PAIRS_INLINE HM_BF16_TARGET void hm_pairs_dot(hm_pairs_lanes *sum, hm_word a, const hm_word *b) {
    *sum = _mm512_dpbf16_ps(*sum, (__m512bh)_mm512_set1_epi32((int)a), (__m512bh)_mm512_loadu_si512(b));
}

/* The first `live` lanes, all of them if there are more. */
HM_PAIRS_INLINE HM_BF16_TARGET hm_pairs_mask hm_pairs_first(int64_t live) {
    return live >= HM_PAIRS_LANES ? (__mmask16)0xFFFF : (__mmask16)((1u << live) - 1);
}

HM_PAIRS_INLINE HM_BF16_TARGET void hm_pairs_put(float *c, const hm_pairs_lanes *sum, hm_pairs_mask mask, float alpha,
                                                 bool add) {
    const __m512 before = add ? _mm512_maskz_loadu_ps(mask, c) : _mm512_setzero_ps();
    _mm512_mask_storeu_ps(c, mask, _mm512_fmadd_ps(_mm512_set1_ps(alpha), *sum, before));
}
#else
typedef struct hm_pairs_lanes {
    float x[HM_PAIRS_LANES];
} hm_pairs_lanes;
typedef int64_t hm_pairs_mask;

HM_PAIRS_INLINE void hm_pairs_zero(hm_pairs_lanes *sum) {
    *sum = (hm_pairs_lanes){{0}};
}

HM_PAIRS_INLINE void hm_pairs_dot(hm_pairs_lanes *sum, hm_word a, const hm_word *b) {
    for (int l = 0; l < HM_PAIRS_LANES; l++) {
        sum->x[l] += hm_bf16_to_f32((uint16_t)(a >> 16)) * hm_bf16_to_f32((uint16_t)(b[l] >> 16));
        sum->x[l] += hm_bf16_to_f32((uint16_t)a) * hm_bf16_to_f32((uint16_t)b[l]);
    }
}

HM_PAIRS_INLINE hm_pairs_mask hm_pairs_first(int64_t live) {
    return live < HM_PAIRS_LANES ? live : HM_PAIRS_LANES;
}

HM_PAIRS_INLINE void hm_pairs_put(float *c, const hm_pairs_lanes *sum, hm_pairs_mask live, float alpha, bool add) {
    for (int64_t l = 0; l < live; l++)
        c[l] = alpha * sum->x[l] + (add ? c[l] : 0);
}
#endif

#define HM_PAIRS_ROWS 6 /* of a tile: 6 x 4 sums, 4 words of b and one of a fit the 32 registers */

/* Rows i.. and columns j.. of the result, `vectors` vectors of them. Rows past the last are computed as the last and
 * not stored. */
HM_PAIRS_INLINE HM_BF16_TARGET void hm_pairs_tile(const hm_pairs_product *g, int64_t i, int64_t j, int vectors) {
    const int64_t stride = hm_pairs_stride(g->n);
    const hm_word *a[HM_PAIRS_ROWS], *const b = g->b + j;
    hm_pairs_lanes sum[HM_PAIRS_ROWS][4];
#pragma GCC unroll 6
    for (int r = 0; r < HM_PAIRS_ROWS; r++) {
        a[r] = g->a + (i + r < g->m ? i + r : g->m - 1) * g->row;
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            hm_pairs_zero(&sum[r][v]);
    }
    for (int64_t p = 0; p < g->words; p++) {
#pragma GCC unroll 6
        for (int r = 0; r < HM_PAIRS_ROWS; r++) {
#pragma GCC unroll 4
            for (int v = 0; v < vectors; v++)
                hm_pairs_dot(&sum[r][v], a[r][p * g->word], b + p * stride + v * HM_PAIRS_LANES);
        }
    }
    hm_pairs_mask live[4];
    float *const c = g->c + i * g->ldc + j;
    const int64_t ldc = g->ldc, rows = g->m - i;
    const float alpha = g->alpha;
    const bool add = g->add;
#pragma GCC unroll 4
    for (int v = 0; v < vectors; v++)
        live[v] = hm_pairs_first(g->n - j - v * HM_PAIRS_LANES);
#pragma GCC unroll 6
    for (int r = 0; r < HM_PAIRS_ROWS; r++) {
#pragma GCC unroll 4
        for (int v = 0; v < vectors; v++)
            if (r < rows)
                hm_pairs_put(c + r * ldc + v * HM_PAIRS_LANES, &sum[r][v], live[v], alpha, add);
    }
}

/* All rows of columns j.. */
static inline HM_BF16_TARGET void hm_pairs_strip(const hm_pairs_product *g, int64_t j, int64_t vectors) {
    for (int64_t i = 0; i < g->m; i += HM_PAIRS_ROWS)
        switch (vectors) {
        case 1:
            hm_pairs_tile(g, i, j, 1);
            break;
        case 2:
            hm_pairs_tile(g, i, j, 2);
            break;
        case 3:
            hm_pairs_tile(g, i, j, 3);
            break;
        default:
            hm_pairs_tile(g, i, j, 4);
        }
}

static inline void hm_pairs_multiply(const hm_pairs_product *g) {
    const int64_t all = hm_pairs_stride(g->n) / HM_PAIRS_LANES;
    for (int64_t v = 0; v < all; v += 4)
        hm_pairs_strip(g, v * HM_PAIRS_LANES, all - v < 4 ? all - v : 4);
}

#endif
