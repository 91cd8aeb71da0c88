/* transform.c: resizing, cropping and normalising pixels. Formulas: torch's upsample_bilinear2d for prediction;
 * Pillow's Resample.c (triangle filter, 22 fractional bits) for data sets. */
#include "data/transform.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define FRACTION_BITS 22 /* 32 - 8 bits of a pixel - 2 of headroom */

static const float mean[3] = {0.485f, 0.456f, 0.406f}, deviation[3] = {0.229f, 0.224f, 0.225f};

/* Taps of a resize along one axis. */
typedef struct taps {
    int32_t n, width; /* outputs; most taps of one */
    int32_t *first;   /* [n] first input of each output */
    int32_t *count;   /* [n] */
    int32_t *weight;  /* [n, width] fixed point */
} taps;

static void taps_free(taps *t) {
    free(t->first);
    free(t->count);
    free(t->weight);
}

/* Weights of output i: the triangle of half-width max(in/out, 1) around (i + 0.5)*in/out, normalised to sum 1. */
static void fill_tap(taps *t, int32_t i, int32_t in, double *k) {
    const double scale = (double)in / t->n, stretch = scale < 1 ? 1 : scale;
    const double centre = (i + 0.5) * scale;
    double sum = 0;
    int32_t from = (int32_t)(centre - stretch + 0.5), to = (int32_t)(centre + stretch + 0.5);
    from = from < 0 ? 0 : from;
    to = to > in ? in : to;
    for (int32_t j = from; j < to; j++) {
        double x = (j - centre + 0.5) * (1.0 / stretch);
        x = x < 0 ? -x : x;
        k[j - from] = x < 1 ? 1 - x : 0;
        sum += k[j - from];
    }
    for (int32_t j = 0; j < to - from; j++) {
        const double w = sum != 0 ? k[j] / sum : k[j];
        t->weight[(size_t)i * (size_t)t->width + (size_t)j] = (int32_t)(0.5 + w * (1 << FRACTION_BITS));
    }
    t->first[i] = from;
    t->count[i] = to - from;
}

static hm_status taps_make(taps *t, int32_t in, int32_t out) {
    const double scale = (double)in / out;
    double *k = NULL;
    hm_status st;
    t->n = out;
    t->width = (int32_t)(scale < 1 ? 1 : scale) * 2 + 4;
    HM_TRY_TO(st, done, hm_alloc(&t->first, (size_t)out, sizeof *t->first));
    HM_TRY_TO(st, done, hm_alloc(&t->count, (size_t)out, sizeof *t->count));
    HM_TRY_TO(st, done, hm_alloc(&t->weight, (size_t)out * (size_t)t->width, sizeof *t->weight));
    HM_TRY_TO(st, done, hm_alloc(&k, (size_t)t->width, sizeof *k));
    for (int32_t i = 0; i < out; i++)
        fill_tap(t, i, in, k);
done:
    free(k);
    return st;
}

static uint8_t to_byte(int32_t v) {
    v >>= FRACTION_BITS;
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

/* The horizontal pass: *out = `in` at w columns. */
static hm_status resize_rows(hm_image *out, const hm_image *in, int32_t w) {
    taps t = {0};
    hm_status st;
    HM_TRY_TO(st, done, taps_make(&t, in->w, w));
    HM_TRY_TO(st, done, hm_alloc(&out->rgb, (size_t)w * 3, (size_t)in->h));
    out->w = w;
    out->h = in->h;
    uint8_t *dst = out->rgb;
    for (int32_t y = 0; y < in->h; y++) {
        const uint8_t *const row = in->rgb + (size_t)y * (size_t)in->w * 3;
        for (int32_t x = 0; x < w; x++, dst += 3) {
            const int32_t *const k = t.weight + (size_t)x * (size_t)t.width;
            const uint8_t *p = row + (size_t)t.first[x] * 3;
            int32_t r = 1 << (FRACTION_BITS - 1), g = r, b = r;
            for (int32_t j = 0; j < t.count[x]; j++, p += 3) {
                r += p[0] * k[j];
                g += p[1] * k[j];
                b += p[2] * k[j];
            }
            dst[0] = to_byte(r);
            dst[1] = to_byte(g);
            dst[2] = to_byte(b);
        }
    }
done:
    taps_free(&t);
    return st;
}

/* The vertical pass: *out = `in` at h rows. */
static hm_status resize_columns(hm_image *out, const hm_image *in, int32_t h) {
    const size_t row_bytes = (size_t)in->w * 3;
    taps t = {0};
    int32_t *acc = NULL; /* [row_bytes] */
    hm_status st;
    HM_TRY_TO(st, done, taps_make(&t, in->h, h));
    HM_TRY_TO(st, done, hm_alloc(&acc, row_bytes, sizeof *acc));
    HM_TRY_TO(st, done, hm_alloc(&out->rgb, row_bytes, (size_t)h));
    out->w = in->w;
    out->h = h;
    for (int32_t y = 0; y < h; y++) {
        for (size_t i = 0; i < row_bytes; i++)
            acc[i] = 1 << (FRACTION_BITS - 1);
        for (int32_t j = 0; j < t.count[y]; j++) {
            const int32_t k = t.weight[(size_t)y * (size_t)t.width + (size_t)j];
            const uint8_t *const row = in->rgb + (size_t)(t.first[y] + j) * row_bytes;
            for (size_t i = 0; i < row_bytes; i++)
                acc[i] += row[i] * k;
        }
        for (size_t i = 0; i < row_bytes; i++)
            out->rgb[(size_t)y * row_bytes + i] = to_byte(acc[i]);
    }
done:
    taps_free(&t);
    free(acc);
    return st;
}

static hm_status check_sides(int32_t w, int32_t h) {
    if (w < 1 || h < 1 || (int64_t)w * h > HM_IMAGE_MAX_PIXELS)
        HM_FAIL(HM_ERR_ARG, "cannot make a picture of %d x %d pixels", (int)w, (int)h);
    return HM_OK;
}

hm_status hm_transform_resize(hm_image *out, const hm_image *in, int32_t w, int32_t h) {
    const bool across = w != in->w, down = h != in->h;
    const bool down_first = in->h > h && (int64_t)in->h - h > 2 * ((int64_t)in->w - w);
    hm_image half = {0};
    memset(out, 0, sizeof *out);
    HM_TRY(check_sides(w, h));
    if (!across && !down)
        return hm_transform_crop(out, in, 0, 0, w, h);
    if (!down)
        return resize_rows(out, in, w);
    if (!across)
        return resize_columns(out, in, h);
    hm_status st = down_first ? resize_columns(&half, in, h) : resize_rows(&half, in, w);
    if (st == HM_OK)
        st = down_first ? resize_rows(out, &half, w) : resize_columns(out, &half, h);
    hm_image_free(&half);
    return st;
}

hm_status hm_transform_crop(hm_image *out, const hm_image *in, int32_t left, int32_t top, int32_t w, int32_t h) {
    memset(out, 0, sizeof *out);
    if (w < 1 || h < 1 || left < 0 || top < 0 || w > in->w - left || h > in->h - top)
        HM_FAIL(HM_ERR_ARG, "a crop of %d x %d pixels at (%d, %d) leaves the picture of %d x %d", (int)w, (int)h,
                (int)left, (int)top, (int)in->w, (int)in->h);
    HM_TRY(hm_alloc(&out->rgb, (size_t)w * (size_t)h, 3));
    out->w = w;
    out->h = h;
    for (int32_t y = 0; y < h; y++)
        memcpy(out->rgb + (size_t)y * (size_t)w * 3, in->rgb + ((size_t)(top + y) * (size_t)in->w + (size_t)left) * 3,
               (size_t)w * 3);
    return HM_OK;
}

void hm_transform_normalise(float *dst, const hm_image *in, bool flip) {
    const size_t w = (size_t)in->w, n = w * (size_t)in->h;
    float table[3][256]; /* of each channel and pixel value */
    for (int c = 0; c < 3; c++)
        for (int v = 0; v < 256; v++)
            table[c][v] = ((float)v * (float)(1.0 / 255) - mean[c]) / deviation[c];
    for (size_t i = 0; i < n; i++) {
        const size_t x = i % w, at = flip ? i - x + (w - 1 - x) : i;
        for (size_t c = 0; c < 3; c++)
            dst[c * n + at] = table[c][in->rgb[3 * i + c]];
    }
}

/* Bilinear tap of output i: inputs lo and hi = lo or lo+1, weight f of hi. One rounding, as in torch's builds: far from
 * the origin a second one would show in the sixth digit. */
static void bilinear_tap(int32_t i, int32_t in, int32_t out, size_t *lo, size_t *hi, float *f) {
    const float src = fmaf((float)i + 0.5f, (float)in / (float)out, -0.5f);
    const float clamped = src < 0 ? 0 : src;
    const int32_t at = (int32_t)clamped < in - 1 ? (int32_t)clamped : in - 1;
    *lo = (size_t)at;
    *hi = (size_t)(at < in - 1 ? at + 1 : at);
    const float part = clamped - (float)at;
    *f = part > 1 ? 1 : part;
}

hm_status hm_transform_predict(float *dst, const hm_image *in, int32_t w, int32_t h) {
    const size_t n = (size_t)w * (size_t)h, stride = (size_t)in->w * 3;
    float unit[256];
    HM_TRY(check_sides(w, h));
    for (int v = 0; v < 256; v++)
        unit[v] = (float)v / 255.0f;
    for (int32_t y = 0; y < h; y++) {
        size_t y0, y1;
        float fy;
        bilinear_tap(y, in->h, h, &y0, &y1, &fy);
        for (int32_t x = 0; x < w; x++) {
            size_t x0, x1;
            float fx;
            bilinear_tap(x, in->w, w, &x0, &x1, &fx);
            for (size_t c = 0; c < 3; c++) {
                const uint8_t *const top = in->rgb + y0 * stride + c, *const low = in->rgb + y1 * stride + c;
                const float a = unit[top[3 * x0]] * (1 - fx) + unit[top[3 * x1]] * fx;
                const float b = unit[low[3 * x0]] * (1 - fx) + unit[low[3 * x1]] * fx;
                dst[c * n + (size_t)y * (size_t)w + (size_t)x] = (a * (1 - fy) + b * fy - mean[c]) / deviation[c];
            }
        }
    }
    return HM_OK;
}
