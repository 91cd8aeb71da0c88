/* ref.c: the definition of attention and its gradient, with the whole score row in memory. The backward loops use
 * neither y nor the log-sum-exp. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "ops/attention/attention_attr.h"

hm_status hm_attention_ref(const hm_call *c);
hm_status hm_attention_back_ref(const hm_call *c);

static double dot(const double *a, const double *b, int64_t n) {
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += a[i] * b[i];
    return sum;
}

/* p [nk] = softmax of the scores of one query; returns their log-sum-exp. */
static double weights(const hm_attention_sizes *s, const double *q, const double *k, double *p) {
    double max = -INFINITY, sum = 0;
    for (int64_t j = 0; j < s->nk; j++) {
        p[j] = dot(q, k + j * s->c, s->d) / sqrt((double)s->d);
        max = p[j] > max ? p[j] : max;
    }
    for (int64_t j = 0; j < s->nk; j++) {
        p[j] = exp(p[j] - max);
        sum += p[j];
    }
    for (int64_t j = 0; j < s->nk; j++)
        p[j] /= sum;
    return max + log(sum);
}

hm_status hm_attention_ref(const hm_call *c) {
    const hm_attention_sizes s = hm_attention_sizes_of(c->node);
    const double *const q = c->in[0], *const k = c->in[1], *const v = c->in[2];
    double *const y = c->out[0], *const lse = c->out[1], *p = NULL;
    HM_TRY(hm_alloc(&p, (size_t)s.nk, sizeof *p));
    for (int64_t t = 0; t < s.batch * s.heads; t++) {
        const int64_t column = t % s.heads * s.d, b = t / s.heads;
        const double *const kh = k + b * s.nk * s.c + column, *const vh = v + b * s.nk * s.c + column;
        for (int64_t i = 0; i < s.nq; i++) {
            const int64_t at = (b * s.nq + i) * s.c + column;
            lse[t * s.nq + i] = weights(&s, q + at, kh, p);
            for (int64_t l = 0; l < s.d; l++) {
                y[at + l] = 0;
                for (int64_t j = 0; j < s.nk; j++)
                    y[at + l] += p[j] * vh[j * s.c + l];
            }
        }
    }
    free(p);
    return HM_OK;
}

/* Adds one query's share. ds_j = p_j (dp_j - sum_i p_i dp_i) / sqrt(d). */
static void query_back(const hm_attention_sizes *s, const double *q, const double *k, const double *v, const double *dy,
                       double *dq, double *dk, double *dv, double *p) {
    double mean = 0;
    weights(s, q, k, p);
    for (int64_t j = 0; j < s->nk; j++)
        mean += p[j] * dot(dy, v + j * s->c, s->d);
    for (int64_t j = 0; j < s->nk; j++) {
        const double ds = p[j] * (dot(dy, v + j * s->c, s->d) - mean) / sqrt((double)s->d);
        for (int64_t l = 0; l < s->d; l++) {
            dq[l] += ds * k[j * s->c + l];
            dk[j * s->c + l] += ds * q[l];
            dv[j * s->c + l] += p[j] * dy[l];
        }
    }
}

hm_status hm_attention_back_ref(const hm_call *c) {
    const hm_attention_sizes s = hm_attention_sizes_of(c->node);
    const double *const q = c->in[0], *const k = c->in[1], *const v = c->in[2], *const dy = c->in[5];
    double *const dq = c->out[0], *const dk = c->out[1], *const dv = c->out[2], *p = NULL;
    HM_TRY(hm_alloc(&p, (size_t)s.nk, sizeof *p));
    memset(dq, 0, (size_t)(s.batch * s.nq * s.c) * sizeof *dq);
    memset(dk, 0, (size_t)(s.batch * s.nk * s.c) * sizeof *dk);
    memset(dv, 0, (size_t)(s.batch * s.nk * s.c) * sizeof *dv);
    for (int64_t t = 0; t < s.batch * s.heads; t++) {
        const int64_t column = t % s.heads * s.d, b = t / s.heads, keys = b * s.nk * s.c + column;
        for (int64_t i = 0; i < s.nq; i++) {
            const int64_t at = (b * s.nq + i) * s.c + column;
            query_back(&s, q + at, k + keys, v + keys, dy + at, dq + at, dk + keys, dv + keys, p);
        }
    }
    free(p);
    return HM_OK;
}
