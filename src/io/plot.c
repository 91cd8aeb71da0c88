/* plot.c: line plots (cairo). */
#include "io/plot.h"

#include <math.h>
#include <stdio.h>

enum { LEFT = 62, RIGHT = 16, TOP = 36, BOTTOM = 46, TEXT = 13, TICKS = 5, TEXT_ROOM = 64 };

typedef struct range {
    double lo, hi;
} range;

/* Where a panel's plot area lies on the canvas, and what it spans. */
typedef struct frame {
    double x, y, w, h;
    range of_x, of_y;
} frame;

double hm_plot_step(double span, int count) {
    const double rough = span / count, unit = pow(10, floor(log10(rough))), m = rough / unit;
    return unit * (m <= 1 ? 1 : m <= 2 ? 2 : m <= 5 ? 5 : 10);
}

static void extend(range *r, double v) {
    r->lo = fmin(r->lo, v);
    r->hi = fmax(r->hi, v);
}

static bool is_drawn(const hm_plot_series *s, size_t i) {
    return fabs(s->x[i]) < 1e30 && fabs(s->y[i]) < 1e30;
}

/* A range of no extent is widened; an empty one becomes 0..1. */
static range fit(range r) {
    if (r.lo > r.hi)
        return (range){0, 1};
    const double least = fmax(1e-9, 1e-6 * fmax(fabs(r.lo), fabs(r.hi)));
    if (r.hi - r.lo < least)
        return (range){r.lo - 0.5 * fmax(least, fabs(r.lo)), r.hi + 0.5 * fmax(least, fabs(r.hi))};
    return r;
}

static frame measure(const hm_plot_panel *p, double x, double w, double h) {
    frame f = {.x = x + LEFT, .y = TOP, .w = w - LEFT - RIGHT, .h = h - TOP - BOTTOM};
    range of_x = {INFINITY, -INFINITY}, of_y = of_x;
    for (size_t k = 0; k < p->n; k++)
        for (size_t i = 0; i < p->series[k].n; i++)
            if (is_drawn(&p->series[k], i)) {
                extend(&of_x, p->series[k].x[i]);
                extend(&of_y, p->series[k].y[i]);
            }
    if (of_y.lo > 0 && of_y.lo < 0.5 * of_y.hi)
        of_y.lo = 0;
    f.of_x = fit(of_x);
    f.of_y = fit(of_y);
    f.of_y.hi += 0.05 * (f.of_y.hi - f.of_y.lo);
    return f;
}

static double place_x(const frame *f, double v) {
    return f->x + f->w * (v - f->of_x.lo) / (f->of_x.hi - f->of_x.lo);
}

static double place_y(const frame *f, double v) {
    return f->y + f->h * (1 - (v - f->of_y.lo) / (f->of_y.hi - f->of_y.lo));
}

/* Text whose left end (align 0), middle (0.5) or right end (1) is at x. */
static void put_text(cairo_t *c, double x, double y, double align, const char *s) {
    char text[TEXT_ROOM];
    cairo_text_extents_t e;
    hm_canvas_text(text, sizeof text, s);
    cairo_text_extents(c, text, &e);
    cairo_move_to(c, x - align * e.x_advance, y);
    cairo_show_text(c, text);
}

static void draw_line(cairo_t *c, double x0, double y0, double x1, double y1) {
    cairo_move_to(c, x0, y0);
    cairo_line_to(c, x1, y1);
    cairo_stroke(c);
}

static void set_grey(cairo_t *c, double v) {
    cairo_set_source_rgb(c, v, v, v);
}

static void draw_x_ticks(cairo_t *c, const frame *f) {
    char text[TEXT_ROOM];
    const double step = hm_plot_step(f->of_x.hi - f->of_x.lo, TICKS), first = ceil(f->of_x.lo / step - 1e-9);
    for (int i = 0; i <= 2 * TICKS && (first + i) * step <= f->of_x.hi + 1e-9 * step; i++) {
        const double x = place_x(f, (first + i) * step);
        snprintf(text, sizeof text, "%.6g", (first + i) * step);
        set_grey(c, 0.88);
        draw_line(c, x, f->y, x, f->y + f->h);
        set_grey(c, 0.2);
        put_text(c, x, f->y + f->h + TEXT + 4, 0.5, text);
    }
}

static void draw_y_ticks(cairo_t *c, const frame *f) {
    char text[TEXT_ROOM];
    const double step = hm_plot_step(f->of_y.hi - f->of_y.lo, TICKS), first = ceil(f->of_y.lo / step - 1e-9);
    for (int i = 0; i <= 2 * TICKS && (first + i) * step <= f->of_y.hi + 1e-9 * step; i++) {
        const double y = place_y(f, (first + i) * step);
        snprintf(text, sizeof text, "%.4g", (first + i) * step);
        set_grey(c, 0.88);
        draw_line(c, f->x, y, f->x + f->w, y);
        set_grey(c, 0.2);
        put_text(c, f->x - 6, y + 0.35 * TEXT, 1, text);
    }
}

static void set_series_colour(cairo_t *c, size_t k) {
    double rgb[3];
    hm_canvas_colour((int32_t)(k % 1000), rgb);
    cairo_set_source_rgb(c, 0.85 * rgb[0], 0.85 * rgb[1], 0.85 * rgb[2]);
}

/* A line through the points, and a dot on each where there are few. */
static void draw_series(cairo_t *c, const frame *f, const hm_plot_series *s) {
    size_t points = 0;
    cairo_new_path(c);
    for (size_t i = 0; i < s->n; i++)
        if (is_drawn(s, i)) {
            cairo_line_to(c, place_x(f, s->x[i]), place_y(f, s->y[i]));
            points++;
        }
    cairo_stroke(c);
    for (size_t i = 0; i < s->n && points <= 40; i++)
        if (is_drawn(s, i)) {
            cairo_arc(c, place_x(f, s->x[i]), place_y(f, s->y[i]), 2.5, 0, 2 * M_PI);
            cairo_fill(c);
        }
}

/* Whether the right half's points lie mostly in its upper half, so that the legend is better off below. */
static bool is_crowded_above(const frame *f, const hm_plot_panel *p) {
    size_t above = 0, below = 0;
    for (size_t k = 0; k < p->n; k++)
        for (size_t i = 0; i < p->series[k].n; i++)
            if (is_drawn(&p->series[k], i) && place_x(f, p->series[k].x[i]) > f->x + f->w / 2) {
                const bool up = place_y(f, p->series[k].y[i]) < f->y + f->h / 2;
                above += up;
                below += !up;
            }
    return above > below;
}

static void draw_legend(cairo_t *c, const frame *f, const hm_plot_panel *p) {
    double wide = 0;
    char text[TEXT_ROOM];
    for (size_t k = 0; k < p->n; k++) {
        cairo_text_extents_t e;
        hm_canvas_text(text, sizeof text, p->series[k].name);
        cairo_text_extents(c, text, &e);
        wide = fmax(wide, e.x_advance);
    }
    const double x = f->x + f->w - wide - 38, high = 1.4 * TEXT, tall = high * (double)p->n + 6;
    const double top = is_crowded_above(f, p) ? f->y + f->h - tall - 4 : f->y + 4;
    cairo_set_source_rgba(c, 1, 1, 1, 0.8);
    cairo_rectangle(c, x, top, wide + 34, tall);
    cairo_fill(c);
    for (size_t k = 0; k < p->n; k++) {
        const double y = top + 3 + high * ((double)k + 0.5);
        set_series_colour(c, k);
        draw_line(c, x + 4, y, x + 22, y);
        set_grey(c, 0.1);
        put_text(c, x + 28, y + 0.35 * TEXT, 0, p->series[k].name);
    }
}

static void draw_panel(cairo_t *c, const hm_plot_panel *p, double x, double w, double h) {
    const frame f = measure(p, x, w, h);
    cairo_set_line_width(c, 1);
    cairo_set_font_size(c, TEXT);
    draw_x_ticks(c, &f);
    draw_y_ticks(c, &f);
    set_grey(c, 0.2);
    cairo_rectangle(c, f.x, f.y, f.w, f.h);
    cairo_stroke(c);
    put_text(c, f.x + f.w / 2, h - 10, 0.5, p->x_label);
    cairo_set_font_size(c, TEXT + 3);
    put_text(c, f.x + f.w / 2, TOP - 12, 0.5, p->title);
    cairo_set_font_size(c, TEXT);
    cairo_set_line_width(c, 1.8);
    for (size_t k = 0; k < p->n; k++) {
        set_series_colour(c, k);
        draw_series(c, &f, &p->series[k]);
    }
    draw_legend(c, &f, p);
}

hm_status hm_plot_draw(hm_picture *out, const hm_plot_panel *panels, size_t n, int32_t w, int32_t h) {
    hm_canvas canvas;
    *out = (hm_picture){0};
    if (n == 0 || n > 64 || w < 200 || h < 150)
        HM_FAIL(HM_ERR_ARG, "cannot plot %zu panels of %d x %d pixels: 1 to 64 of at least 200 x 150 are possible", n,
                (int)w, (int)h);
    HM_TRY(hm_canvas_begin(&canvas, (int64_t)n * w, h));
    cairo_select_font_face(canvas.c, "sans-serif", CAIRO_FONT_SLANT_NORMAL, CAIRO_FONT_WEIGHT_NORMAL);
    cairo_set_line_join(canvas.c, CAIRO_LINE_JOIN_ROUND);
    for (size_t i = 0; i < n; i++)
        draw_panel(canvas.c, &panels[i], (double)i * w, w, h);
    const hm_status st = hm_canvas_take(&canvas, out);
    hm_canvas_free(&canvas);
    return st;
}
