/* canvas.c: a cairo surface, its pixels, and text that is safe to hand to cairo. */
#include "io/canvas.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { MAX_SIDE = 32767 };

void hm_picture_free(hm_picture *p) {
    if (p == NULL)
        return;
    free(p->rgb);
    *p = (hm_picture){0};
}

static hm_status new_surface(cairo_surface_t **out, int64_t w, int64_t h) {
    *out = NULL;
    if (w < 1 || h < 1 || w > MAX_SIDE || h > MAX_SIDE)
        HM_FAIL(HM_ERR_UNSUPPORTED, "cannot draw on %lld x %lld pixels: sides of 1 to %d are possible", (long long)w,
                (long long)h, (int)MAX_SIDE);
    cairo_surface_t *const s = cairo_image_surface_create(CAIRO_FORMAT_RGB24, (int)w, (int)h);
    if (cairo_surface_status(s) != CAIRO_STATUS_SUCCESS) {
        cairo_surface_destroy(s);
        HM_FAIL(HM_ERR_MEMORY, "cannot draw on %lld x %lld pixels: out of memory", (long long)w, (long long)h);
    }
    *out = s;
    return HM_OK;
}

hm_status hm_canvas_begin(hm_canvas *out, int64_t w, int64_t h) {
    *out = (hm_canvas){0};
    HM_TRY(new_surface(&out->surface, w, h));
    out->c = cairo_create(out->surface);
    cairo_set_source_rgb(out->c, 1, 1, 1);
    cairo_paint(out->c);
    return HM_OK;
}

hm_status hm_canvas_take(const hm_canvas *canvas, hm_picture *out) {
    *out = (hm_picture){0};
    cairo_surface_flush(canvas->surface);
    if (cairo_status(canvas->c) != CAIRO_STATUS_SUCCESS)
        HM_FAIL(HM_ERR_INTERNAL, "drawing failed: %s", cairo_status_to_string(cairo_status(canvas->c)));
    const int32_t w = cairo_image_surface_get_width(canvas->surface);
    const int32_t h = cairo_image_surface_get_height(canvas->surface);
    const size_t stride = (size_t)cairo_image_surface_get_stride(canvas->surface);
    const uint8_t *const data = cairo_image_surface_get_data(canvas->surface);
    HM_TRY(hm_alloc(&out->rgb, (size_t)w * (size_t)h, 3));
    out->w = w;
    out->h = h;
    uint8_t *to = out->rgb;
    for (int32_t y = 0; y < h; y++)
        for (int32_t x = 0; x < w; x++) {
            uint32_t v;
            memcpy(&v, data + (size_t)y * stride + 4 * (size_t)x, sizeof v);
            *to++ = (uint8_t)(v >> 16);
            *to++ = (uint8_t)(v >> 8);
            *to++ = (uint8_t)v;
        }
    return HM_OK;
}

void hm_canvas_free(hm_canvas *canvas) {
    if (canvas == NULL)
        return;
    if (canvas->c)
        cairo_destroy(canvas->c);
    if (canvas->surface)
        cairo_surface_destroy(canvas->surface);
    *canvas = (hm_canvas){0};
}

hm_status hm_canvas_image(cairo_surface_t **out, const uint8_t *rgb, int32_t w, int32_t h) {
    HM_TRY(new_surface(out, w, h));
    const size_t stride = (size_t)cairo_image_surface_get_stride(*out);
    uint8_t *const data = cairo_image_surface_get_data(*out);
    for (int32_t y = 0; y < h; y++)
        for (int32_t x = 0; x < w; x++, rgb += 3) {
            const uint32_t v = (uint32_t)rgb[0] << 16 | (uint32_t)rgb[1] << 8 | rgb[2];
            memcpy(data + (size_t)y * stride + 4 * (size_t)x, &v, sizeof v);
        }
    cairo_surface_mark_dirty(*out);
    return HM_OK;
}

/* Bytes of the UTF-8 character at s, 0 when there is none (RFC 3629: no surrogates, no long forms). */
static size_t utf8_length(const unsigned char *s) {
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    const size_t n = s[0] < 0x80 ? 1 : s[0] >> 5 == 6 ? 2 : s[0] >> 4 == 14 ? 3 : s[0] >> 3 == 30 ? 4 : 0;
    uint32_t v = n < 2 ? s[0] : s[0] & (0x7Fu >> n);
    for (size_t i = 1; i < n; i++) {
        if (s[i] >> 6 != 2)
            return 0;
        v = v << 6 | (s[i] & 63u);
    }
    return n && v >= least[n] && v <= 0x10FFFF && (v < 0xD800 || v > 0xDFFF) ? n : 0;
}

void hm_canvas_text(char *to, size_t room, const char *s) {
    size_t at = 0;
    while (*s) {
        const size_t n = utf8_length((const unsigned char *)s), step = n ? n : 1;
        if (at + step >= room)
            break;
        memcpy(to + at, n ? s : "?", step);
        at += step;
        s += step;
    }
    to[at] = '\0';
}

void hm_canvas_colour(int32_t i, double rgb[3]) {
    const double hue = fmod(0.02 + 0.61803398875 * (double)i, 1); /* golden section: far from all hues before */
    for (int c = 0; c < 3; c++) {
        const double k = fmod((5 - 2 * c) + 6 * hue, 6);
        rgb[c] = 0.95 * (1 - 0.8 * fmax(fmin(fmin(k, 4 - k), 1), 0));
    }
}
