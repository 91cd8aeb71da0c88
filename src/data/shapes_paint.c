/* shapes_paint.c: paints a composed scene with cairo: a dull textured ground, the shapes in order, sensor noise. It
 * draws the very polygons that the masks were rasterised from; only edge pixels mix colours. */
#include <cairo.h>
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "data/shapes.h"
#include "data/shapes_draw.h"

static void set_dull(cairo_t *c, hm_draws *d, double lo, double hi, double alpha) {
    const double grey = hm_draw(d, lo, hi);
    const double r = grey + hm_draw(d, -0.05, 0.05), g = grey + hm_draw(d, -0.05, 0.05);
    cairo_set_source_rgba(c, r, g, grey + hm_draw(d, -0.05, 0.05), alpha);
}

static void paint_stripes(cairo_t *c, hm_draws *d, double w, double h) {
    const double reach = w + h, step = hm_draw(d, 0.06, 0.2) * reach, turn = hm_draw(d, 0, M_PI);
    cairo_save(c);
    cairo_translate(c, w / 2, h / 2);
    cairo_rotate(c, turn);
    set_dull(c, d, 0.1, 0.9, 0.5);
    for (double x = -reach; x < reach; x += step)
        cairo_rectangle(c, x, -reach, step / 2, 2 * reach);
    cairo_fill(c);
    cairo_restore(c);
}

static void paint_checks(cairo_t *c, hm_draws *d, double w, double h) {
    const double step = hm_draw(d, 0.06, 0.16) * fmin(w, h);
    set_dull(c, d, 0.1, 0.9, 0.4);
    for (int i = 0; i * step < h; i++)
        for (int k = i & 1; k * step < w; k += 2)
            cairo_rectangle(c, k * step, i * step, step, step);
    cairo_fill(c);
}

static void paint_spots(cairo_t *c, hm_draws *d, double w, double h) {
    const double side = fmin(w, h);
    for (int i = hm_draw_int(d, 6, 20); i > 0; i--) {
        const double x = hm_draw(d, 0, w), y = hm_draw(d, 0, h), r = hm_draw(d, 0.05, 0.3) * side;
        cairo_pattern_t *const spot = cairo_pattern_create_radial(x, y, 0, x, y, r);
        const double grey = hm_draw(d, 0, 1);
        cairo_pattern_add_color_stop_rgba(spot, 0, grey, grey, grey, 0.5);
        cairo_pattern_add_color_stop_rgba(spot, 1, grey, grey, grey, 0);
        cairo_set_source(c, spot);
        cairo_paint(c);
        cairo_pattern_destroy(spot);
    }
}

static void paint_ground(cairo_t *c, hm_draws *d, double w, double h) {
    set_dull(c, d, 0.1, 0.9, 1);
    cairo_paint(c);
    switch (hm_draw_int(d, 0, 3)) {
    case 0:
        paint_stripes(c, d, w, h);
        break;
    case 1:
        paint_checks(c, d, w, h);
        break;
    case 2:
        paint_spots(c, d, w, h);
        break;
    default: /* plain */
        break;
    }
}

static void paint_part(cairo_t *c, const hm_scene_shape *s, size_t part, double line) {
    const double *const p = s->xy + s->start[part];
    const size_t n = s->start[part + 1] - s->start[part]; /* numbers */
    double box[4];
    cairo_new_path(c);
    for (size_t i = 0; i < n; i += 2)
        cairo_line_to(c, p[i], p[i + 1]);
    cairo_close_path(c);
    cairo_path_extents(c, &box[0], &box[1], &box[2], &box[3]);
    cairo_pattern_t *const fill = cairo_pattern_create_linear(box[0], box[1], box[2], box[3]);
    cairo_pattern_add_color_stop_rgb(fill, 0, s->rgb[0], s->rgb[1], s->rgb[2]);
    cairo_pattern_add_color_stop_rgb(fill, 1, s->rgb_end[0], s->rgb_end[1], s->rgb_end[2]);
    cairo_set_source(c, fill);
    cairo_fill_preserve(c);
    cairo_pattern_destroy(fill);
    if (s->outlined) { /* inside the shape: clipped to itself, so the mask keeps its border */
        cairo_save(c);
        cairo_clip_preserve(c);
        cairo_set_source_rgb(c, 0.4 * s->rgb[0], 0.4 * s->rgb[1], 0.4 * s->rgb[2]);
        cairo_set_line_width(c, 2 * line);
        cairo_stroke(c);
        cairo_restore(c);
    }
}

/* A sum of four uniform draws: bell-shaped, standard deviation 1. */
static double draw_noise(hm_draws *d) {
    const double sum = hm_draw(d, 0, 1) + hm_draw(d, 0, 1) + hm_draw(d, 0, 1) + hm_draw(d, 0, 1);
    return (sum - 2) * 1.7320508075688772;
}

/* Copies cairo's rows of 32-bit xRGB to bytes and adds noise of `sigma` levels. */
static void take_pixels(cairo_surface_t *surface, hm_draws *d, double sigma, uint8_t *rgb) {
    const int w = cairo_image_surface_get_width(surface), h = cairo_image_surface_get_height(surface);
    const uint8_t *const data = cairo_image_surface_get_data(surface);
    const size_t stride = (size_t)cairo_image_surface_get_stride(surface);
    for (int y = 0; y < h; y++) {
        const uint32_t *const row = (const uint32_t *)(const void *)(data + (size_t)y * stride);
        for (int x = 0; x < w; x++)
            for (int k = 0; k < 3; k++) {
                const double v = (double)((row[x] >> (16 - 8 * k)) & 255u) + sigma * draw_noise(d);
                *rgb++ = (uint8_t)fmin(fmax(round(v), 0), 255);
            }
    }
}

hm_status hm_scene_paint(const hm_scene *scene, const hm_shapes_config *options, const char *split, int32_t index,
                         uint8_t **rgb) {
    hm_draws d = hm_draws_begin(options->seed, split, "paint", index);
    hm_status st;
    cairo_surface_t *const surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24, scene->w, scene->h);
    cairo_t *const c = cairo_create(surface);
    *rgb = NULL;
    if (cairo_status(c) != CAIRO_STATUS_SUCCESS) {
        st = hm_fail(HM_ERR_MEMORY, "cannot paint %d x %d pixels: %s", (int)scene->w, (int)scene->h,
                     cairo_status_to_string(cairo_status(c)));
        goto done;
    }
    HM_TRY_TO(st, done, hm_alloc(rgb, (size_t)scene->w * (size_t)scene->h, 3));
    paint_ground(c, &d, scene->w, scene->h);
    for (size_t i = 0; i < scene->n; i++)
        for (size_t k = 0; k < scene->shapes[i].n_parts; k++)
            paint_part(c, &scene->shapes[i], k, 0.015 * fmin(scene->w, scene->h));
    cairo_surface_flush(surface);
    const double sigma = hm_draw(&d, 0, 10);
    take_pixels(surface, &d, sigma, *rgb);
done:
    cairo_destroy(c);
    cairo_surface_destroy(surface);
    return st;
}
