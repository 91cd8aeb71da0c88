/* taps.c: weights of one axis of a resampling, as upstream's interpolation defines them (torch bilinear with
 * align_corners False; antialiased bicubic with Keys' a = -0.5, widened when shrinking and normalised to sum 1). */
#include <math.h>
#include <string.h>

#include "ops/resize/resize_attr.h"

/* Most inputs that one output combines. */
static int64_t widest(hm_resize_mode mode, int64_t in, int64_t out) {
    return mode == HM_RESIZE_BILINEAR ? 2 : 2 * (int64_t)ceil(2 * fmax((double)in / (double)out, 1)) + 1;
}

size_t hm_taps_bytes(hm_resize_mode mode, int64_t in, int64_t out) {
    const size_t rows = (size_t)(in > out ? in : out) + 2, entries = (size_t)(out * widest(mode, in, out));
    const size_t bytes = rows * sizeof(int64_t) + entries * (sizeof(int64_t) + sizeof(float));
    return (bytes + 63) & ~(size_t)63;
}

static double keys(double x) {
    const double a = -0.5, d = fabs(x);
    if (d < 1)
        return ((a + 2) * d - (a + 3)) * d * d + 1;
    return d < 2 ? (((d - 5) * d + 8) * d - 4) * a : 0;
}

/* Taps of output i; returns their number. */
static int64_t bilinear(int64_t i, int64_t in, int64_t out, int64_t *at, float *weight) {
    const double place = fmax(0, ((double)i + 0.5) * (double)in / (double)out - 0.5);
    at[0] = (int64_t)place < in - 1 ? (int64_t)place : in - 1;
    at[1] = at[0] + (at[0] < in - 1);
    weight[1] = (float)(place - (double)at[0]);
    weight[0] = (float)(1 - (place - (double)at[0]));
    return 2;
}

/* One output's window: the first tap, their number, and where it is centred. */
static int64_t window(int64_t i, int64_t in, int64_t out, int64_t *start, double *centre) {
    const double scale = (double)in / (double)out, support = 2 * fmax(scale, 1);
    *centre = ((double)i + 0.5) * scale;
    const int64_t end = (int64_t)(*centre + support + 0.5);
    *start = *centre - support + 0.5 > 0 ? (int64_t)(*centre - support + 0.5) : 0;
    return (end < in ? end : in) - *start;
}

static int64_t bicubic(int64_t i, int64_t in, int64_t out, int64_t *at, float *weight) {
    const double stretch = fmax((double)in / (double)out, 1);
    int64_t start;
    double centre, sum = 0;
    const int64_t n = window(i, in, out, &start, &centre);
    for (int64_t k = 0; k < n; k++)
        sum += keys(((double)(start + k) - centre + 0.5) / stretch);
    for (int64_t k = 0; k < n; k++) {
        at[k] = start + k;
        weight[k] = (float)(keys(((double)(start + k) - centre + 0.5) / stretch) / sum);
    }
    return n;
}

hm_taps hm_taps_make(void *memory, hm_resize_mode mode, int64_t in, int64_t out) {
    hm_taps t = {.first = memory};
    t.at = t.first + (in > out ? in : out) + 2;
    t.weight = (float *)(t.at + out * widest(mode, in, out));
    t.first[0] = 0;
    for (int64_t i = 0; i < out; i++) {
        const int64_t e = t.first[i];
        t.first[i + 1] = e + (mode == HM_RESIZE_BILINEAR ? bilinear(i, in, out, t.at + e, t.weight + e)
                                                         : bicubic(i, in, out, t.at + e, t.weight + e));
    }
    return t;
}

hm_taps hm_taps_turn(void *memory, const hm_taps *t, int64_t in, int64_t out) {
    const int64_t entries = t->first[out];
    hm_taps r = {.first = memory};
    r.at = r.first + (in > out ? in : out) + 2;
    r.weight = (float *)(r.at + entries);
    memset(r.first, 0, (size_t)(in + 2) * sizeof(int64_t));
    for (int64_t e = 0; e < entries; e++)
        r.first[t->at[e] + 2]++;
    for (int64_t j = 1; j < in + 2; j++)
        r.first[j] += r.first[j - 1];
    for (int64_t i = 0; i < out; i++) /* first[j + 1] walks from the begin to the end of input j */
        for (int64_t e = t->first[i]; e < t->first[i + 1]; e++) {
            const int64_t to = r.first[t->at[e] + 1]++;
            r.at[to] = i;
            r.weight[to] = t->weight[e];
        }
    return r;
}
