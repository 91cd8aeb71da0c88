/* canvas.h: what pictures and plots share: a cairo surface with its context, its pixels as RGB bytes, and text that is
 * safe to hand to cairo. */
#ifndef HM_IO_CANVAS_H
#define HM_IO_CANVAS_H

#include <cairo.h>

#include "base/status.h"

typedef struct hm_picture {
    int32_t w, h; /* pixels */
    uint8_t *rgb; /* [h, w, 3] row-major */
} hm_picture;

void hm_picture_free(hm_picture *p); /* takes NULL and zeroed objects; leaves a zeroed one */

typedef struct hm_canvas {
    cairo_surface_t *surface; /* 32-bit xRGB */
    cairo_t *c;
} hm_canvas;

/* White. HM_ERR_UNSUPPORTED when a side is not in 1..32767 (cairo's limit). */
hm_status hm_canvas_begin(hm_canvas *out, int64_t w, int64_t h);

/* Copies the pixels out; HM_ERR_INTERNAL with cairo's reason when something drawn before has failed. */
hm_status hm_canvas_take(const hm_canvas *canvas, hm_picture *out);

void hm_canvas_free(hm_canvas *canvas); /* takes NULL and zeroed objects */

/* A surface that holds the bytes [h, w, 3]; cairo_surface_destroy. */
hm_status hm_canvas_image(cairo_surface_t **out, const uint8_t *rgb, int32_t w, int32_t h);

/* Copies `s` into `to` (cut at a character's end when it is longer); bytes that are no UTF-8 become '?'. */
void hm_canvas_text(char *to, size_t room, const char *s);

/* Colour number `i` of a series in which neighbours differ clearly; 0..1. */
void hm_canvas_colour(int32_t i, double rgb[3]);

#endif
