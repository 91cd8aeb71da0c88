/* picture.c: objects on an image, and pictures side by side (cairo). */
#include "eval/picture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/image_write.h"

enum { MAX_ZOOM = 8, READABLE_SIDE = 384, GRID_GAP = 12, CAPTION_SIZE = 18, TEXT_ROOM = 96 };
enum { MASK_ALPHA = 100, EDGE_ALPHA = 225 }; /* of 255 */

/* ---- masks ---- */

/* Opacity of each pixel: the border of a mask is nearly opaque, its inside lets the image through. */
static void set_opacity(const uint8_t *mask, int32_t w, int32_t h, uint8_t *to, size_t stride) {
    for (int32_t y = 0; y < h; y++)
        for (int32_t x = 0; x < w; x++) {
            const uint8_t *const m = mask + (size_t)y * (size_t)w + (size_t)x;
            if (!*m)
                continue;
            const bool inner = x > 0 && m[-1] && x + 1 < w && m[1] && y > 0 && m[-w] && y + 1 < h && m[w];
            to[(size_t)y * stride + (size_t)x] = inner ? MASK_ALPHA : EDGE_ALPHA;
        }
}

static hm_status draw_mask(cairo_t *c, const hm_picture_object *o, int32_t w, int32_t h) {
    uint8_t *mask = NULL;
    double rgb[3];
    if (o->mask->w != w || o->mask->h != h)
        HM_FAIL(HM_ERR_ARG, "a mask of %d x %d pixels does not fit an image of %d x %d", (int)o->mask->w,
                (int)o->mask->h, (int)w, (int)h);
    HM_TRY(hm_alloc(&mask, (size_t)w * (size_t)h, 1));
    hm_rle_to_mask(o->mask, mask);
    cairo_surface_t *const s = cairo_image_surface_create(CAIRO_FORMAT_A8, w, h);
    if (cairo_surface_status(s) == CAIRO_STATUS_SUCCESS) {
        set_opacity(mask, w, h, cairo_image_surface_get_data(s), (size_t)cairo_image_surface_get_stride(s));
        cairo_surface_mark_dirty(s);
    }
    hm_canvas_colour(o->label, rgb);
    cairo_set_source_rgb(c, rgb[0], rgb[1], rgb[2]);
    cairo_mask_surface(c, s, 0, 0); /* a failed surface puts c into its error state, which hm_canvas_take reports */
    cairo_surface_destroy(s);
    free(mask);
    return HM_OK;
}

/* ---- boxes and text; coordinates in the canvas's pixels ---- */

static void draw_box(cairo_t *c, const hm_picture_object *o, double zoom, double line) {
    double rgb[3];
    hm_canvas_colour(o->label, rgb);
    cairo_set_source_rgb(c, rgb[0], rgb[1], rgb[2]);
    cairo_set_line_width(c, line);
    cairo_rectangle(c, o->box[0] * zoom, o->box[1] * zoom, o->box[2] * zoom, o->box[3] * zoom);
    cairo_stroke(c);
}

static void label_text(const hm_picture_object *o, char *to, size_t room) {
    hm_canvas_text(to, room - 8, o->name);
    if (!isnan(o->score))
        snprintf(to + strlen(to), 8, " %.2f", fmin(fmax(o->score, -1), 1));
}

/* On a patch above the box's left corner, or inside the box where there is no room above; always within the canvas. */
static void draw_label(cairo_t *c, const hm_picture_object *o, double zoom, double size, double w) {
    char text[TEXT_ROOM];
    double rgb[3];
    cairo_text_extents_t e;
    label_text(o, text, sizeof text);
    cairo_set_font_size(c, size);
    cairo_text_extents(c, text, &e);
    const double high = 1.25 * size, wide = e.x_advance + 0.5 * size;
    const double x = fmax(0, fmin(o->box[0] * zoom, w - wide));
    const double above = o->box[1] * zoom - high, y = above >= 0 ? above : fmax(0, o->box[1] * zoom);
    hm_canvas_colour(o->label, rgb);
    cairo_set_source_rgba(c, rgb[0], rgb[1], rgb[2], 0.85);
    cairo_rectangle(c, x, y, wide, high);
    cairo_fill(c);
    const double ink = 0.3 * rgb[0] + 0.59 * rgb[1] + 0.11 * rgb[2] > 0.5 ? 0 : 1;
    cairo_set_source_rgb(c, ink, ink, ink);
    cairo_move_to(c, x + 0.25 * size, y + 0.95 * size);
    cairo_show_text(c, text);
}

static bool has_finite_box(const hm_picture_object *o) {
    for (int i = 0; i < 4; i++)
        if (!(fabs(o->box[i]) < 1e6))
            return false;
    return true;
}

static void draw_image(cairo_t *c, cairo_surface_t *image) {
    cairo_set_source_surface(c, image, 0, 0);
    cairo_pattern_set_filter(cairo_get_source(c), CAIRO_FILTER_BILINEAR);
    cairo_pattern_set_extend(cairo_get_source(c), CAIRO_EXTEND_PAD);
    cairo_paint(c);
}

hm_status hm_picture_draw(hm_picture *out, const uint8_t *rgb, int32_t w, int32_t h, const hm_picture_object *objects,
                          size_t n, int32_t zoom) {
    hm_canvas canvas = {0};
    cairo_surface_t *image = NULL;
    hm_status st;
    const int32_t side = w < h ? w : h;
    if (zoom < 1 && side > 0)
        zoom = side >= READABLE_SIDE ? 1 : (READABLE_SIDE + side - 1) / side;
    zoom = zoom > MAX_ZOOM ? MAX_ZOOM : zoom;
    *out = (hm_picture){0};
    HM_TRY_TO(st, done, hm_canvas_begin(&canvas, (int64_t)w * zoom, (int64_t)h * zoom));
    HM_TRY_TO(st, done, hm_canvas_image(&image, rgb, w, h));
    const double scaled = (double)side * zoom, size = fmax(12, scaled / 32), line = fmax(1.5, scaled / 256);
    cairo_scale(canvas.c, zoom, zoom);
    draw_image(canvas.c, image);
    for (size_t i = n; i-- > 0;)
        if (objects[i].mask)
            HM_TRY_TO(st, done, draw_mask(canvas.c, &objects[i], w, h));
    cairo_identity_matrix(canvas.c);
    cairo_select_font_face(canvas.c, "sans-serif", CAIRO_FONT_SLANT_NORMAL, CAIRO_FONT_WEIGHT_BOLD);
    for (size_t i = n; i-- > 0;)
        if (has_finite_box(&objects[i]))
            draw_box(canvas.c, &objects[i], zoom, line);
    for (size_t i = n; i-- > 0;)
        if (objects[i].name && has_finite_box(&objects[i]))
            draw_label(canvas.c, &objects[i], zoom, size, (double)w * zoom);
    st = hm_canvas_take(&canvas, out);
done:
    if (image)
        cairo_surface_destroy(image);
    hm_canvas_free(&canvas);
    return st;
}

/* ---- grids ---- */

static hm_status draw_tile(cairo_t *c, const hm_picture_tile *t, double x, double y, int32_t cell_w, int32_t cell_h) {
    cairo_surface_t *image;
    char text[TEXT_ROOM];
    const hm_picture *const p = t->picture;
    HM_TRY(hm_canvas_image(&image, p->rgb, p->w, p->h));
    cairo_set_source_surface(c, image, x + (cell_w - p->w) / 2, y + (cell_h - p->h) / 2);
    cairo_paint(c);
    cairo_surface_destroy(image);
    if (t->caption) {
        cairo_text_extents_t e;
        hm_canvas_text(text, sizeof text, t->caption);
        cairo_text_extents(c, text, &e);
        cairo_set_source_rgb(c, 0, 0, 0);
        cairo_move_to(c, x + (cell_w - e.x_advance) / 2, y + cell_h + CAPTION_SIZE);
        cairo_show_text(c, text);
    }
    return HM_OK;
}

hm_status hm_picture_grid(hm_picture *out, const hm_picture_tile *tiles, size_t n, size_t columns) {
    hm_canvas canvas;
    int32_t w = 1, h = 1;
    bool captions = false;
    *out = (hm_picture){0};
    if (n == 0 || columns == 0)
        HM_FAIL(HM_ERR_ARG, "a grid of %zu pictures in %zu columns cannot be drawn: both must be at least 1", n,
                columns);
    for (size_t i = 0; i < n; i++) {
        w = tiles[i].picture->w > w ? tiles[i].picture->w : w;
        h = tiles[i].picture->h > h ? tiles[i].picture->h : h;
        captions |= tiles[i].caption != NULL;
    }
    columns = columns > n ? n : columns;
    const int64_t step_x = w + GRID_GAP, step_y = h + GRID_GAP + (captions ? 3 * CAPTION_SIZE / 2 : 0);
    const size_t rows = (n + columns - 1) / columns;
    if (columns > 32767 || rows > 32767)
        HM_FAIL(HM_ERR_ARG, "a grid of %zu x %zu pictures is too large", columns, rows);
    HM_TRY(hm_canvas_begin(&canvas, (int64_t)columns * step_x + GRID_GAP, (int64_t)rows * step_y + GRID_GAP));
    cairo_select_font_face(canvas.c, "sans-serif", CAIRO_FONT_SLANT_NORMAL, CAIRO_FONT_WEIGHT_NORMAL);
    cairo_set_font_size(canvas.c, CAPTION_SIZE);
    hm_status st = HM_OK;
    for (size_t i = 0; i < n && st == HM_OK; i++) {
        const int64_t x = GRID_GAP + (int64_t)(i % columns) * step_x, y = GRID_GAP + (int64_t)(i / columns) * step_y;
        st = draw_tile(canvas.c, &tiles[i], (double)x, (double)y, w, h);
    }
    if (st == HM_OK)
        st = hm_canvas_take(&canvas, out);
    hm_canvas_free(&canvas);
    return st;
}

hm_status hm_picture_write_png(const hm_picture *p, const char *path) {
    return hm_image_write_png(path, p->rgb, p->w, p->h, 3);
}
