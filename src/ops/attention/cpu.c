/* cpu.c: attention over blocks of queries and keys (Dao et al. 2022, "FlashAttention"): a running row maximum m and sum
 * l of exp(s - m) replace the score matrix; the backward pass rebuilds the probabilities as exp(s - log-sum-exp).
 * Heads are columns of q, k, v, so every product reads them in place with a row length of C. */
#include <math.h>
#include <omp.h>

#include "device/cpu/gemm.h"
#include "device/cpu/vec.h"
#include "ops/attention/attention_attr.h"

HM_CPU_DECLARE(attention);
HM_CPU_DECLARE(attention_back);

#define LANES 16

static hm_status refused(void) {
    HM_FAIL(HM_ERR_INTERNAL, "oneDNN refused a matrix product");
}

/* NaNs are skipped here; they come back through exp(x - max). */
static float row_max(const float *x, int64_t n) {
    float lane[LANES];
    for (int j = 0; j < LANES; j++)
        lane[j] = -INFINITY;
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int j = 0; j < LANES; j++)
            lane[j] = x[i + j] > lane[j] ? x[i + j] : lane[j];
    float max = -INFINITY;
    for (; i < n; i++)
        max = x[i] > max ? x[i] : max;
    for (int j = 0; j < LANES; j++)
        max = lane[j] > max ? lane[j] : max;
    return max;
}

/* x = exp(x - max); returns the sum. */
static float row_exp(float *x, int64_t n, float max) {
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int64_t i = 0; i < n; i++) {
        x[i] = hm_expf(x[i] - max);
        sum += x[i];
    }
    return sum;
}

static void row_scale(float *x, int64_t n, float by) {
#pragma omp simd
    for (int64_t i = 0; i < n; i++)
        x[i] *= by;
}

/* One head of one image. */
typedef struct head {
    const float *q, *k, *v, *dy; /* rows of c floats, d of them used */
    float *y, *dq, *dk, *dv, *lse;
    int64_t nq, nk, c, d;
} head;

/* Turns scores s [rows, cols] into weights and folds them into the running maximum and sum; y [rows, d] so far is
 * rescaled to the new maximum. */
static void fold(const head *h, float *s, int64_t rows, int64_t cols, float *max, float *sum, float *y, bool first) {
    for (int64_t i = 0; i < rows; i++) {
        const float here = row_max(s + i * cols, cols);
        const float to = first || here > max[i] ? here : max[i];
        const float keep = first ? 0 : hm_expf(max[i] - to);
        sum[i] = (first ? 0 : sum[i] * keep) + row_exp(s + i * cols, cols, to);
        max[i] = to;
        if (!first)
            row_scale(y + i * h->c, h->d, keep);
    }
}

/* Queries [first, first + rows) of a head. */
static bool forward_block(const head *h, int64_t first, int64_t rows, float *work) {
    const int64_t step = hm_attention_block(h->nk, HM_ATTENTION_K), d = h->d, c = h->c;
    const float scale = 1 / sqrtf((float)d);
    float *const max = work, *const sum = max + rows, *const s = sum + rows, *const y = h->y + first * c;
    bool ok = true;
    for (int64_t k0 = 0; k0 < h->nk && ok; k0 += step) {
        const int64_t cols = hm_attention_min(step, h->nk - k0);
        ok = hm_gemm_serial(false, true, rows, cols, d, scale, h->q + first * c, c, h->k + k0 * c, c, 0, s, cols);
        fold(h, s, rows, cols, max, sum, y, k0 == 0);
        ok = ok && hm_gemm_serial(false, false, rows, d, cols, 1, s, cols, h->v + k0 * c, c, k0 > 0, y, c);
    }
    for (int64_t i = 0; i < rows; i++) {
        row_scale(y + i * c, d, 1 / sum[i]);
        h->lse[first + i] = max[i] + logf(sum[i]);
    }
    return ok;
}

hm_status HM_CPU(attention)(const hm_call *call) {
    const hm_attention_sizes s = hm_attention_sizes_of(call->node);
    const float *const q = call->in[0], *const k = call->in[1], *const v = call->in[2];
    float *const y = call->out[0], *const lse = call->out[1];
    const int64_t step = hm_attention_block(s.nq, HM_ATTENTION_Q), blocks = (s.nq + step - 1) / step;
    const int64_t scratch = hm_attention_scratch(&s, false), tasks = s.batch * s.heads * blocks;
    bool ok = true;
#pragma omp parallel for num_threads(call->run->threads) schedule(dynamic) reduction(&& : ok)
    for (int64_t t = 0; t < tasks; t++) {
        const int64_t bh = t / blocks, first = t % blocks * step, b = bh / s.heads, column = bh % s.heads * s.d;
        const head h = {.q = q + b * s.nq * s.c + column,
                        .k = k + b * s.nk * s.c + column,
                        .v = v + b * s.nk * s.c + column,
                        .y = y + b * s.nq * s.c + column,
                        .lse = lse + bh * s.nq,
                        .nq = s.nq,
                        .nk = s.nk,
                        .c = s.c,
                        .d = s.d};
        float *const work = (float *)call->work + omp_get_thread_num() * scratch;
        ok = forward_block(&h, first, hm_attention_min(step, s.nq - first), work) && ok;
    }
    return ok ? HM_OK : refused();
}

/* p = exp(s - lse) over s, and ds = p (dp - dot) over dp. */
static void rebuild(float *restrict s, float *restrict dp, int64_t rows, int64_t cols, const float *lse,
                    const float *dot) {
    for (int64_t i = 0; i < rows; i++) {
        float *const p = s + i * cols, *const ds = dp + i * cols;
        const float shift = lse[i], less = dot[i];
#pragma omp simd
        for (int64_t j = 0; j < cols; j++) {
            p[j] = hm_expf(p[j] - shift);
            ds[j] = p[j] * (ds[j] - less);
        }
    }
}

/* dot[i] = <dy_i, y_i>, which equals <p_i, dp_i>. */
static void row_dots(const head *h, float *dot) {
    for (int64_t i = 0; i < h->nq; i++) {
        const float *const y = h->y + i * h->c, *const dy = h->dy + i * h->c;
        float sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int64_t j = 0; j < h->d; j++)
            sum += y[j] * dy[j];
        dot[i] = sum;
    }
}

/* One block: adds to dq, dk, dv (the first contribution to a row overwrites it). */
static bool backward_block(const head *h, int64_t q0, int64_t rows, int64_t k0, int64_t cols, const float *dot,
                           float *s, float *dp) {
    const int64_t d = h->d, c = h->c;
    const float scale = 1 / sqrtf((float)d);
    const float *const q = h->q + q0 * c, *const k = h->k + k0 * c, *const v = h->v + k0 * c,
                       *const dy = h->dy + q0 * c;
    bool ok = hm_gemm_serial(false, true, rows, cols, d, scale, q, c, k, c, 0, s, cols) &&
              hm_gemm_serial(false, true, rows, cols, d, 1, dy, c, v, c, 0, dp, cols);
    rebuild(s, dp, rows, cols, h->lse + q0, dot + q0);
    ok = ok && hm_gemm_serial(true, false, cols, d, rows, 1, s, cols, dy, c, q0 > 0, h->dv + k0 * c, c);
    ok = ok && hm_gemm_serial(true, false, cols, d, rows, scale, dp, cols, q, c, q0 > 0, h->dk + k0 * c, c);
    return ok && hm_gemm_serial(false, false, rows, d, cols, scale, dp, cols, k, c, k0 > 0, h->dq + q0 * c, c);
}

static bool backward_head(const head *h, float *work) {
    const int64_t q_step = hm_attention_block(h->nq, HM_ATTENTION_Q),
                  k_step = hm_attention_block(h->nk, HM_ATTENTION_K);
    float *const s = work, *const dp = s + q_step * k_step, *const dot = dp + q_step * k_step;
    bool ok = true;
    for (int64_t j = 0; h->nq == 0 && j < h->nk; j++)
        for (int64_t l = 0; l < h->d; l++)
            h->dk[j * h->c + l] = h->dv[j * h->c + l] = 0;
    row_dots(h, dot);
    for (int64_t k0 = 0; k0 < h->nk; k0 += k_step)
        for (int64_t q0 = 0; q0 < h->nq && ok; q0 += q_step)
            ok = backward_block(h, q0, hm_attention_min(q_step, h->nq - q0), k0, hm_attention_min(k_step, h->nk - k0),
                                dot, s, dp);
    return ok;
}

hm_status HM_CPU(attention_back)(const hm_call *call) {
    const hm_attention_sizes s = hm_attention_sizes_of(call->node);
    void *const *const in = call->in, *const *const out = call->out;
    const int64_t scratch = hm_attention_scratch(&s, true);
    bool ok = true;
#pragma omp parallel for num_threads(call->run->threads) schedule(dynamic) reduction(&& : ok)
    for (int64_t t = 0; t < s.batch * s.heads; t++) {
        const int64_t column = t % s.heads * s.d, at_q = t / s.heads * s.nq * s.c + column,
                      at_k = t / s.heads * s.nk * s.c + column;
        const head h = {.q = (const float *)in[0] + at_q,
                        .k = (const float *)in[1] + at_k,
                        .v = (const float *)in[2] + at_k,
                        .y = (float *)in[3] + at_q,
                        .lse = (float *)in[4] + t * s.nq,
                        .dy = (const float *)in[5] + at_q,
                        .dq = (float *)out[0] + at_q,
                        .dk = (float *)out[1] + at_k,
                        .dv = (float *)out[2] + at_k,
                        .nq = s.nq,
                        .nk = s.nk,
                        .c = s.c,
                        .d = s.d};
        ok = backward_head(&h, (float *)call->work + omp_get_thread_num() * scratch) && ok;
    }
    return ok ? HM_OK : refused();
}
