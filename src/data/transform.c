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

static void resize_rows(uint8_t *dst, const hm_image *in, const taps *t) {
    for (int32_t y = 0; y < in->h; y++) {
        const uint8_t *const row = in->rgb + (size_t)y * (size_t)in->w * 3;
        for (int32_t x = 0; x < t->n; x++, dst += 3) {
            const int32_t *const w = t->weight + (size_t)x * (size_t)t->width;
            const uint8_t *p = row + (size_t)t->first[x] * 3;
            int32_t r = 1 << (FRACTION_BITS - 1), g = r, b = r;
            for (int32_t j = 0; j < t->count[x]; j++, p += 3) {
                r += p[0] * w[j];
                g += p[1] * w[j];
                b += p[2] * w[j];
            }
            dst[0] = to_byte(r);
            dst[1] = to_byte(g);
            dst[2] = to_byte(b);
        }
    }
}

/* acc [bytes of a row] is scratch. */
static void resize_columns(uint8_t *dst, const uint8_t *src, size_t row_bytes, const taps *t, int32_t *acc) {
    for (int32_t y = 0; y < t->n; y++, dst += row_bytes) {
        for (size_t i = 0; i < row_bytes; i++)
            acc[i] = 1 << (FRACTION_BITS - 1);
        for (int32_t j = 0; j < t->count[y]; j++) {
            const int32_t w = t->weight[(size_t)y * (size_t)t->width + (size_t)j];
            const uint8_t *const row = src + (size_t)(t->first[y] + j) * row_bytes;
            for (size_t i = 0; i < row_bytes; i++)
                acc[i] += row[i] * w;
        }
        for (size_t i = 0; i < row_bytes; i++)
            dst[i] = to_byte(acc[i]);
    }
}

static hm_status check_sides(int32_t w, int32_t h) {
    if (w < 1 || h < 1 || (int64_t)w * h > HM_IMAGE_MAX_PIXELS)
        HM_FAIL(HM_ERR_ARG, "cannot make a picture of %d x %d pixels", (int)w, (int)h);
    return HM_OK;
}

hm_status hm_transform_resize(hm_image *out, const hm_image *in, int32_t w, int32_t h) {
    taps across = {0}, down = {0};
    int32_t *acc = NULL;
    hm_image wide = {.w = w, .h = in->h}; /* after the horizontal pass */
    hm_status st = HM_OK;
    const size_t row_bytes = (size_t)w * 3;
    memset(out, 0, sizeof *out);
    HM_TRY(check_sides(w, h));
    HM_TRY_TO(st, done, hm_alloc(&wide.rgb, row_bytes, (size_t)in->h));
    if (w == in->w) {
        memcpy(wide.rgb, in->rgb, row_bytes * (size_t)in->h);
    } else {
        HM_TRY_TO(st, done, taps_make(&across, in->w, w));
        resize_rows(wide.rgb, in, &across);
    }
    if (h == in->h) {
        *out = wide;
        wide.rgb = NULL;
        goto done;
    }
    HM_TRY_TO(st, done, taps_make(&down, in->h, h));
    HM_TRY_TO(st, done, hm_alloc(&acc, row_bytes, sizeof *acc));
    HM_TRY_TO(st, done, hm_alloc(&out->rgb, row_bytes, (size_t)h));
    out->w = w;
    out->h = h;
    resize_columns(out->rgb, wide.rgb, row_bytes, &down, acc);
done:
    taps_free(&across);
    taps_free(&down);
    free(acc);
    free(wide.rgb);
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
