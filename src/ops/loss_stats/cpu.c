/* cpu.c: class error and cardinality error; whole numbers are counted per image, so the order does not matter. */
#include <math.h>
#include <stdlib.h>

#include "graph/op.h"

/* The row's largest logit, NaN if it has one. */
static float row_max(const float *restrict x, int64_t K) {
    float m = -INFINITY;
    int nan = 0;
#pragma omp simd reduction(max : m) reduction(| : nan)
    for (int64_t k = 0; k < K; k++) {
        m = x[k] > m ? x[k] : m;
        nan |= x[k] != x[k];
    }
    return nan ? NAN : m;
}

/* Index of the first entry equal to m; K if none. */
static int64_t first_at(const float *x, int64_t K, float m) {
    int64_t k = 0;
    while (k < K && x[k] != m)
        k++;
    return k;
}

hm_status HM_CPU(loss_stats)(const hm_call *c) {
    const float *const logits = c->in[0];   /* [B, G*Q, K] */
    const int32_t *const match = c->in[1];  /* [B, G*Q] */
    const int32_t *const labels = c->in[2]; /* [B, T] */
    const int32_t *const counts = c->in[3]; /* [B] */
    const int64_t B = hm_dim(c->node->in[0], 0), GQ = hm_dim(c->node->in[0], 1), K = hm_dim(c->node->in[0], 2);
    const int64_t T = hm_dim(c->node->in[2], 1);
    int64_t(*const n)[3] = c->work; /* [B, 3]: confident queries, pairs, right pairs */
#pragma omp parallel for num_threads(c->run->threads)
    for (int64_t b = 0; b < B; b++) {
        n[b][0] = n[b][1] = n[b][2] = 0;
        for (int64_t q = 0; q < GQ; q++) {
            const float *const x = logits + (b * GQ + q) * K, m = row_max(x, K);
            const int32_t t = match[b * GQ + q];
            n[b][0] += m > 0;
            n[b][1] += t >= 0;
            n[b][2] += t >= 0 && first_at(x, K, m) == labels[b * T + t];
        }
    }
    int64_t pairs = 0, right = 0, off = 0;
    for (int64_t b = 0; b < B; b++) {
        off += llabs(n[b][0] - counts[b]);
        pairs += n[b][1];
        right += n[b][2];
    }
    *(float *)c->out[0] = pairs > 0 ? (float)(100 - 100 * (double)right / (double)pairs) : 100.0f;
    *(float *)c->out[1] = (float)((double)off / (double)B);
    return HM_OK;
}
