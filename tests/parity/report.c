/* report.c: how far two tensors are apart, and who says so. */
#include "report.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"

void report_value(parity_report *r, const char *name, double error, double tolerance, const char *note) {
    const bool ok = error <= tolerance; /* false for NaN */
    printf("%-92s %10.3e %10.3e %s%s%s\n", name, error, tolerance, ok ? "ok" : "FAILED", note[0] ? "  " : "", note);
    r->passed += ok;
    r->failed += !ok;
}

double report_tolerance(double listed) {
    return fmax(1e-5, 8 * listed);
}

void report_number(parity_report *r, const char *name, double ours, double expected, double tolerance) {
    report_value(r, name, expected == 0 ? fabs(ours) : fabs(ours - expected) / fabs(expected), tolerance, "");
}

static double against_whole(const float *ours, const float *expected, int64_t n, double scale) {
    double difference = 0, norm = 0;
    for (int64_t i = 0; i < n; i++) {
        float e;
        memcpy(&e, expected + i, sizeof e);
        difference += ((double)ours[i] - e) * ((double)ours[i] - e);
        norm += (double)e * e;
    }
    const double unit = scale > 0 ? scale : sqrt(norm);
    return unit > 0 ? sqrt(difference) / unit : sqrt(difference);
}

/* The largest of the errors that the 19 numbers can show, each divided by what an L2 error of 1 allows it. */
static double against_summary(const float *ours, const double *s, const char *probe, int64_t n, double scale) {
    char stream[400];
    snprintf(stream, sizeof stream, "probe.%s", probe);
    const uint64_t key = hm_rng_key(0, stream);
    double sum = 0, square = 0, dot = 0;
    for (int64_t i = 0; i < n; i++) {
        sum += ours[i];
        square += (double)ours[i] * ours[i];
        dot += (double)ours[i] * parity_fill(key, (uint64_t)i, 0, 1);
    }
    const double unit = scale > 0 ? scale : s[1] > 0 ? s[1] : 1;
    double worst = fabs(sqrt(square) - s[1]) / unit;
    worst = fmax(worst, fabs(sum - s[0]) / (unit * sqrt((double)n)));
    worst = fmax(worst, fabs(dot - s[2]) / (unit * sqrt((double)n / 3)));
    for (int64_t i = 0; i < 16 && i < n; i++)
        worst = fmax(worst, fabs(ours[i] - s[3 + i]) / unit);
    return isfinite(sum) && isfinite(square) ? worst : NAN;
}

void report_tensor(parity_report *r, const char *name, const char *probe, const float *ours, int64_t n, double scale,
                   double tolerance) {
    char sum[400];
    snprintf(sum, sizeof sum, "sum.%s", name);
    const hm_safetensor *const whole = hm_safetensors_find(r->c->expected, name);
    const hm_safetensor *const summary = r->c->summaries == NULL ? NULL : hm_safetensors_find(r->c->summaries, sum);
    if (whole != NULL && whole->dtype == HM_ST_F32 && whole->bytes == (size_t)n * 4) {
        report_value(r, name, against_whole(ours, whole->data, n, scale), tolerance, "");
    } else if (whole == NULL && summary != NULL && summary->dtype == HM_ST_F64 && summary->bytes == 19 * 8) {
        double s[19];
        memcpy(s, summary->data, sizeof s);
        report_value(r, name, against_summary(ours, s, probe, n, scale), tolerance, "(summary)");
    } else {
        report_value(r, name, NAN, tolerance, whole != NULL ? "another size or type is expected" : "nothing expected");
    }
}

void report_integers(parity_report *r, const char *name, const int32_t *ours, int64_t n) {
    const hm_safetensor *const t = hm_safetensors_find(r->c->expected, name);
    if (t == NULL || t->dtype != HM_ST_I32) {
        report_value(r, name, NAN, 0, "nothing expected");
        return;
    }
    const int64_t m = (int64_t)(t->bytes / 4);
    int64_t wrong = n > m ? n - m : m - n;
    for (int64_t i = 0; i < (n < m ? n : m); i++)
        wrong += memcmp(ours + i, (const char *)t->data + i * 4, 4) != 0;
    report_value(r, name, (double)wrong, 0, "");
}

void report_keep(parity_report *r, const char *name, hm_st_dtype dtype, int rank, const int64_t *shape,
                 const void *data) {
    if (!r->dumping)
        return;
    hm_safetensor t = {.dtype = dtype, .rank = rank, .bytes = hm_st_dtype_size(dtype)};
    for (int i = 0; i < rank; i++) {
        t.shape[i] = shape[i];
        t.bytes *= (size_t)shape[i];
    }
    char *const own = strdup(name);
    void *const copy = malloc(t.bytes + 1);
    if (own == NULL || copy == NULL || hm_grow(&r->dump, &r->cap_dump, r->n_dump + 1, sizeof t) != HM_OK) {
        report_value(r, name, NAN, 0, "no memory to keep it");
        free(own);
        free(copy);
        return;
    }
    memcpy(copy, data, t.bytes);
    t.name = own;
    t.data = copy;
    r->dump[r->n_dump++] = t;
}

hm_status report_write(parity_report *r, const char *path) {
    return hm_safetensors_write(path, r->dump, r->n_dump, NULL, 0);
}

void report_free(parity_report *r) {
    for (size_t i = 0; i < r->n_dump; i++) {
        free((void *)r->dump[i].name);
        free((void *)r->dump[i].data);
    }
    free(r->dump);
}
