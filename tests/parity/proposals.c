/* proposals.c: which tokens were chosen, and whether a difference is one of rounding. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "runs.h"

/* Cases store token numbers as I32 or I16. */
static int32_t expected_at(const hm_safetensor *t, int64_t i) {
    int32_t wide;
    int16_t narrow;
    memcpy(&narrow, (const char *)t->data + i * 2, sizeof narrow);
    if (t->dtype == HM_ST_I16)
        return narrow;
    memcpy(&wide, (const char *)t->data + i * 4, sizeof wide);
    return wide;
}

double near_tie(const parity_case *c) {
    return fmax(1e-6, 2 * parity_number(c->tolerances, 0, "outputs_train", "enc.pred_logits", "maxabs"));
}

/* The stored choice [G, B, K], or NULL. */
static const hm_safetensor *stored(const parity_report *r, const char *name, const hm_model *m) {
    const hm_safetensor *const t = hm_safetensors_find(r->c->expected, name);
    const int64_t n = m->groups * r->c->B * hm_dim(m->topk[0], 1);
    if (t == NULL || (t->dtype != HM_ST_I32 && t->dtype != HM_ST_I16))
        return NULL;
    return t->bytes == (size_t)n * hm_st_dtype_size(t->dtype) ? t : NULL;
}

/* The best token not yet taken (ties: the lower one), as the topk op chooses. */
static int64_t own_choice(const float *scores, int64_t N, bool *taken) {
    int64_t best = -1;
    for (int64_t k = 0; k < N; k++)
        if (!taken[k] && (best < 0 || scores[k] > scores[best]))
            best = k;
    taken[best] = true;
    return best;
}

static topk_difference compare_row(const float *scores, int64_t N, const int32_t *ours, int64_t K,
                                   const hm_safetensor *t, int64_t at) {
    topk_difference d = {0};
    bool *const taken = ours == NULL ? calloc((size_t)N, sizeof *taken) : NULL;
    for (int64_t i = 0; i < K; i++) {
        const int64_t a = ours != NULL ? ours[i] : own_choice(scores, N, taken), b = expected_at(t, at + i);
        if (a == b)
            continue;
        d.swapped++;
        d.gap = b >= 0 && b < N ? fmax(d.gap, fabs((double)scores[a] - scores[b])) : INFINITY;
    }
    free(taken);
    return d;
}

topk_difference compare_topk(const parity_report *r, const char *name, hm_exec *e, const hm_model *m, bool imposed) {
    topk_difference sum = {0};
    const hm_safetensor *const t = stored(r, name, m);
    const int64_t B = r->c->B, K = hm_dim(m->topk[0], 1), N = hm_dim(m->scores[0], 1);
    if (t == NULL)
        return (topk_difference){.swapped = m->groups * B * K, .gap = INFINITY};
    for (int g = 0; g < m->groups; g++) {
        const float *const scores = host_of(e, m->scores[g]);
        const int32_t *const ours = imposed ? NULL : host_of(e, m->topk[g]);
        for (int64_t b = 0; b < B; b++) {
            const topk_difference d =
                compare_row(scores + b * N, N, ours == NULL ? NULL : ours + b * K, K, t, (g * B + b) * K);
            sum.swapped += d.swapped;
            sum.gap = fmax(sum.gap, d.gap);
        }
    }
    return sum;
}

hm_status impose_topk(const parity_report *r, const char *name, hm_exec *e, const hm_model *m) {
    const hm_safetensor *const t = stored(r, name, m);
    const int64_t B = r->c->B, K = hm_dim(m->topk[0], 1);
    if (t == NULL)
        HM_FAIL(HM_ERR_FORMAT, "expected.safetensors has no %s of the right size", name);
    hm_status st = HM_OK;
    int32_t *const chosen = malloc((size_t)(B * K) * sizeof *chosen + 1);
    if (chosen == NULL)
        HM_FAIL(HM_ERR_MEMORY, "no memory for the proposals");
    for (int g = 0; g < m->groups && st == HM_OK; g++) {
        for (int64_t i = 0; i < B * K; i++)
            chosen[i] = expected_at(t, g * B * K + i);
        st = hm_exec_write(e, m->topk[g], chosen);
    }
    free(chosen);
    return st;
}

void report_topk(parity_report *r, const char *name, topk_difference d, double tolerance) {
    report_value(r, name, d.gap, tolerance,
                 d.swapped > 0 ? "the stored topk is imposed: near ties changed places" : "");
}

float *channels_first(const float *x, int64_t n, int64_t pixels, int64_t channels) {
    float *const y = malloc((size_t)(n * pixels * channels) * sizeof(float) + 1);
    for (int64_t i = 0; y != NULL && i < n; i++)
        for (int64_t p = 0; p < pixels; p++)
            for (int64_t c = 0; c < channels; c++)
                y[(i * channels + c) * pixels + p] = x[(i * pixels + p) * channels + c];
    return y;
}
