/* audit_map.c: the heat map of an audit. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "train/audit_table.h"

enum { LABEL_W = 420, PANEL_W = 320, ROW_H = 11, TOP = 46, BOTTOM = 40, GAP = 24, MOST_ROWS = 2800 };

/* The layers, once each, in the order of their first forward operation. */
static hm_status list_layers(const hm_audit_table *t, const char ***out, size_t *n) {
    *n = 0;
    HM_TRY(hm_alloc(out, t->n + 1, sizeof **out));
    for (size_t i = 0; i < t->n; i++) {
        size_t k = 0;
        while (k < *n && strcmp((*out)[k], t->lines[i].layer) != 0)
            k++;
        if (k == *n && *n < MOST_ROWS)
            (*out)[(*n)++] = t->lines[i].layer;
    }
    return HM_OK;
}

/* Largest magnitude of a layer at a step; negative when it has nothing in this direction. */
static double largest(const hm_audit_table *t, const char *layer, bool backward, size_t step) {
    double most = -1;
    for (size_t i = 0; i < t->n; i++) {
        const hm_audit_line *const l = &t->lines[i];
        if (l->backward != backward || strcmp(l->layer, layer) != 0)
            continue;
        const hm_audit_cell *const c = &l->cells[step];
        if (c->count > 0) /* else the step's input size has nothing of it */
            most = fmax(most, c->not_finite > 0 ? INFINITY : c->largest);
    }
    return most;
}

/* From blue (2^-24) over white (1) to red (65504); black beyond. */
static void set_colour(cairo_t *c, double x) {
    if (x > HM_AUDIT_LIMIT) {
        cairo_set_source_rgb(c, 0, 0, 0);
        return;
    }
    const double bits = x > 0 ? log2(x) : -24;
    const double part = bits < 0 ? fmin(1, -bits / 24) : fmin(1, bits / 16);
    cairo_set_source_rgb(c, bits < 0 ? 1 - part : 1, 1 - part, bits < 0 ? 1 : 1 - part);
}

static void draw_text(cairo_t *c, double x, double y, const char *s) {
    char safe[160];
    hm_canvas_text(safe, sizeof safe, s);
    cairo_set_source_rgb(c, 0.1, 0.1, 0.1);
    cairo_move_to(c, x, y);
    cairo_show_text(c, safe);
}

static void draw_panel(cairo_t *c, const hm_audit_table *t, const char *const *layers, size_t n, bool backward) {
    const double x0 = LABEL_W + (backward ? PANEL_W + GAP : 0), w = (double)PANEL_W / (double)t->n_steps;
    draw_text(c, x0, TOP - 8, backward ? "backward" : "forward");
    for (size_t k = 0; k < n; k++)
        for (size_t s = 0; s < t->n_steps; s++) {
            const double x = largest(t, layers[k], backward, s);
            if (x < 0)
                continue;
            set_colour(c, x);
            cairo_rectangle(c, x0 + w * (double)s, TOP + (double)(k * ROW_H), w, ROW_H);
            cairo_fill(c);
        }
    char steps[80];
    snprintf(steps, sizeof steps, "step %.0f to %.0f", t->steps[0], t->steps[t->n_steps - 1]);
    draw_text(c, x0, TOP + (double)(n * ROW_H) + 14, steps);
}

static void draw(cairo_t *c, const hm_audit_table *t, const char *const *layers, size_t n) {
    cairo_set_font_size(c, 12);
    draw_text(c, 8, 16, "largest magnitude of each layer's numbers: blue 2^-24, white 1, red 65504, black beyond fp16");
    cairo_set_font_size(c, 9);
    for (size_t k = 0; k < n; k++)
        draw_text(c, 8, TOP + (double)((k + 1) * ROW_H) - 3, layers[k]);
    draw_panel(c, t, layers, n, false);
    draw_panel(c, t, layers, n, true);
}

hm_status hm_audit_map(hm_picture *out, const hm_audit_table *t) {
    const char **layers = NULL;
    size_t n;
    hm_canvas canvas = {0};
    *out = (hm_picture){0};
    HM_TRY(list_layers(t, &layers, &n));
    hm_status st = hm_canvas_begin(&canvas, LABEL_W + 2 * PANEL_W + 2 * GAP, TOP + (int64_t)n * ROW_H + BOTTOM);
    if (st == HM_OK) {
        draw(canvas.c, t, layers, n);
        st = hm_canvas_take(&canvas, out);
    }
    hm_canvas_free(&canvas);
    free(layers);
    return st;
}
