/* shapes_scene.c: composes the images of the built-in data set: which shapes, where, how large, and what is visible of
 * each. A mask is the rasterised polygon minus the later shapes' masks, so polygons, areas and boxes agree exactly.
 * Hues follow the class in nine of ten shapes, so that a small model learns from few images but not from colour alone.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "data/shapes.h"
#include "data/shapes_draw.h"

#define LEAST_VISIBLE    0.45 /* of each shape's own pixels */
#define EMPTY_CHANCE     0.07
#define CROWD_CHANCE     0.04
#define CLASS_HUE_CHANCE 0.9
#define NOTCH            0.45 /* of a star: its inner corners */
#define ARM              0.35 /* of a cross: half its width, with the length as 1 */
enum { TRIES = 12, CIRCLE_POINTS = 32, CLIPPED_POINTS = HM_SHAPE_MAX_POINTS };

const char *const hm_shape_names[HM_SHAPE_KINDS] = {"circle", "triangle", "square", "star", "cross", "pentagon"};
enum { CIRCLE, TRIANGLE, SQUARE, STAR, CROSS };

static const size_t corners[HM_SHAPE_KINDS] = {CIRCLE_POINTS, 3, 4, 10, 12, 5};

typedef struct outline {
    size_t n;
    double xy[CLIPPED_POINTS][2]; /* pixels */
} outline;

/* Corner i in polar coordinates, the farthest at 1. A cross has two corners an arm and one between arms. */
static void corner(int32_t kind, size_t i, double *angle, double *distance) {
    const double arm = atan(ARM), beside = i % 3 == 2 ? M_PI / 4 : i % 3 == 1 ? arm : -arm;
    *angle = 2 * M_PI * (double)i / (double)corners[kind] + (kind == SQUARE ? M_PI / 4 : 0);
    *distance = kind == STAR && i % 2 == 1 ? NOTCH : 1;
    if (kind != CROSS)
        return;
    *angle = M_PI / 2 * (double)(i / 3) + beside;
    *distance = i % 3 == 2 ? M_SQRT2 * sin(arm) : 1;
}

/* Corners of a kind around (cx,cy), `radius` to the farthest point. */
static outline make_outline(hm_draws *d, int32_t kind, double cx, double cy, double radius) {
    outline o = {.n = corners[kind]};
    const double turn = hm_draw(d, 0, 2 * M_PI), flat = kind == TRIANGLE ? 1 : hm_draw(d, 0.85, 1);
    for (size_t i = 0; i < o.n; i++) {
        double a, r;
        corner(kind, i, &a, &r);
        const double x = radius * r * cos(a), y = radius * r * flat * sin(a);
        o.xy[i][0] = cx + x * cos(turn) - y * sin(turn);
        o.xy[i][1] = cy + x * sin(turn) + y * cos(turn);
    }
    return o;
}

/* Keeps the part where sign * xy[axis] <= sign * limit (Sutherland and Hodgman 1974, one side). */
static outline clip_side(const outline *o, int axis, double sign, double limit) {
    outline r = {0};
    for (size_t i = 0; i < o->n; i++) {
        const double *const p = o->xy[i], *const q = o->xy[(i + 1) % o->n];
        const double a = sign * (limit - p[axis]), b = sign * (limit - q[axis]);
        if (a >= 0)
            memcpy(r.xy[r.n++], p, sizeof r.xy[0]);
        if ((a < 0) != (b < 0) && a != b) {
            const double t = a / (a - b);
            r.xy[r.n][0] = p[0] + t * (q[0] - p[0]);
            r.xy[r.n++][1] = p[1] + t * (q[1] - p[1]);
        }
    }
    return r;
}

static outline clip_to_image(outline o, int32_t w, int32_t h) {
    o = clip_side(&o, 0, 1, w);
    o = clip_side(&o, 0, -1, 0);
    o = clip_side(&o, 1, 1, h);
    return clip_side(&o, 1, -1, 0);
}

static void add_part(hm_scene_shape *s, const outline *o) {
    size_t at = s->start[s->n_parts];
    for (size_t i = 0; i < o->n; i++)
        for (int c = 0; c < 2; c++)
            s->xy[at++] = round(o->xy[i][c] * 100) / 100;
    s->start[++s->n_parts] = at;
}

/* Hue in turns, saturation and value in 0..1. */
static void set_colour(float rgb[3], double hue, double saturation, double value) {
    for (int c = 0; c < 3; c++) {
        const double k = fmod((5 - 2 * c) + 6 * hue + 6, 6), m = fmin(fmin(k, 4 - k), 1);
        rgb[c] = (float)(value - value * saturation * fmax(m, 0));
    }
}

/* The later kinds have hues between those of the first three. */
static void choose_colours(hm_draws *d, hm_scene_shape *s, int32_t n_classes) {
    const double place = s->label + (s->kind < HM_SHAPE_CLASSES ? 0 : 0.5);
    const double own = place / n_classes + hm_draw(d, -0.08, 0.08), any = hm_draw(d, 0, 1);
    const double hue = 1 + (hm_draw_chance(d, CLASS_HUE_CHANCE) ? own : any);
    const double saturation = hm_draw(d, 0.65, 1), value = hm_draw(d, 0.7, 1);
    set_colour(s->rgb, hue, saturation, value);
    set_colour(s->rgb_end, hue + hm_draw(d, -0.04, 0.04), saturation * hm_draw(d, 0.7, 1), value * hm_draw(d, 0.7, 1));
    s->outlined = hm_draw_chance(d, 0.3);
}

static hm_scene_shape begin_shape(hm_draws *d, const hm_shapes_config *o) {
    const int32_t label = hm_draw_int(d, 0, hm_shapes_classes(o) - 1);
    return (hm_scene_shape){.label = label, .kind = hm_shapes_kind(o, label)};
}

static void choose_shape(hm_draws *d, hm_scene_shape *s, int32_t w, int32_t h, const hm_shapes_config *config) {
    const double side = fmin(w, h), u = hm_draw(d, 0, 1);
    const double radius = side * (0.12 + 0.20 * u * u);
    const double edge = 0.6 * radius; /* the centre's least distance to the border: some shapes are cut by it */
    *s = begin_shape(d, config);
    const double cx = hm_draw(d, edge, w - edge), cy = hm_draw(d, edge, h - edge);
    const outline o = clip_to_image(make_outline(d, s->kind, cx, cy, radius), w, h);
    add_part(s, &o);
    choose_colours(d, s, hm_shapes_classes(config));
}

static void choose_crowd(hm_draws *d, hm_scene_shape *s, int32_t w, int32_t h, const hm_shapes_config *config) {
    const double side = fmin(w, h), radius = 0.05 * side, reach = 0.16 * side;
    const double cx = hm_draw(d, reach, w - reach), cy = hm_draw(d, reach, h - reach);
    const int32_t members = hm_draw_int(d, 7, HM_SHAPES_MAX_IN_CROWD);
    *s = begin_shape(d, config);
    s->crowd = true;
    for (int32_t i = 0; i < members; i++) {
        const double x = cx + hm_draw(d, -reach, reach), y = cy + hm_draw(d, -reach, reach);
        const outline o = clip_to_image(make_outline(d, s->kind, x, y, radius), w, h);
        add_part(s, &o);
    }
    choose_colours(d, s, hm_shapes_classes(config));
}

/* ---- masks ---- */

/* *out = a minus b. */
static hm_status subtract(hm_rle *out, const hm_rle *a, const hm_rle *b) {
    const size_t pixels = (size_t)a->h * (size_t)a->w;
    uint8_t *ma = NULL, *mb = NULL;
    hm_status st;
    HM_TRY_TO(st, done, hm_alloc(&ma, pixels, 1));
    HM_TRY_TO(st, done, hm_alloc(&mb, pixels, 1));
    hm_rle_to_mask(a, ma);
    hm_rle_to_mask(b, mb);
    for (size_t i = 0; i < pixels; i++)
        ma[i] = ma[i] && !mb[i];
    st = hm_rle_from_mask(out, ma, a->h, a->w);
done:
    free(ma);
    free(mb);
    return st;
}

/* What of the older shapes stays visible under `mask`; *fits = whether that is enough of each. `left` is [s->n]. */
static hm_status cover(const hm_scene *s, const hm_rle *full, const hm_rle *mask, hm_rle *left, bool *fits) {
    *fits = hm_rle_area(mask) >= 24;
    for (size_t i = 0; i < s->n && *fits; i++) {
        HM_TRY(subtract(&left[i], &s->shapes[i].visible, mask));
        *fits = (double)hm_rle_area(&left[i]) >= LEAST_VISIBLE * (double)hm_rle_area(&full[i]);
    }
    return HM_OK;
}

/* Adds the candidate as the topmost shape if enough of every other one stays visible; takes its mask over. */
static hm_status try_add(hm_scene *s, hm_rle *full, const hm_scene_shape *candidate, bool *added) {
    hm_rle mask = {0}, copy = {0}, left[HM_SHAPES_MAX + 1] = {0};
    hm_status st;
    *added = false;
    HM_TRY_TO(st, done, hm_rle_from_polygons(&mask, candidate->xy, candidate->start, candidate->n_parts, s->h, s->w));
    HM_TRY_TO(st, done, cover(s, full, &mask, left, added));
    if (!*added)
        goto done;
    HM_TRY_TO(st, done, hm_rle_merge(&copy, &mask, 1, false));
    for (size_t i = 0; i < s->n; i++) {
        hm_scene_shape *const below = &s->shapes[i];
        below->occluded |= hm_rle_area(&left[i]) < hm_rle_area(&below->visible);
        const hm_rle old = below->visible;
        below->visible = left[i];
        left[i] = old;
    }
    s->shapes[s->n] = *candidate;
    s->shapes[s->n].visible = mask;
    full[s->n++] = copy;
    mask = copy = (hm_rle){0};
done:
    for (size_t i = 0; i < HM_SHAPES_MAX + 1; i++)
        hm_rle_free(&left[i]);
    hm_rle_free(&mask);
    hm_rle_free(&copy);
    return st;
}

static hm_status compose(hm_scene *s, hm_draws *d, const hm_shapes_config *config) {
    hm_rle full[HM_SHAPES_MAX + 1] = {0};
    hm_status st = HM_OK;
    bool added;
    hm_scene_shape *candidate = NULL;
    HM_TRY(hm_alloc(&candidate, 1, sizeof *candidate));
    const bool empty = hm_draw_chance(d, EMPTY_CHANCE), crowd = hm_draw_chance(d, CROWD_CHANCE);
    const int32_t wanted = hm_draw_int(d, 1, HM_SHAPES_MAX);
    if (!empty && crowd) {
        choose_crowd(d, candidate, s->w, s->h, config);
        HM_TRY_TO(st, done, try_add(s, full, candidate, &added));
    }
    for (int32_t i = 0; !empty && i < wanted; i++) {
        added = false;
        for (int t = 0; t < TRIES && !added; t++) {
            choose_shape(d, candidate, s->w, s->h, config);
            HM_TRY_TO(st, done, try_add(s, full, candidate, &added));
        }
    }
done:
    for (size_t i = 0; i < HM_SHAPES_MAX + 1; i++)
        hm_rle_free(&full[i]);
    free(candidate);
    return st;
}

hm_status hm_scene_make(hm_scene **out, const hm_shapes_config *options, const char *split, int32_t index) {
    hm_draws d = hm_draws_begin(options->seed, split, "scene", index);
    hm_scene *s = NULL;
    *out = NULL;
    HM_TRY(hm_alloc(&s, 1, sizeof *s));
    s->w = hm_draw_int(&d, options->min_side, options->max_side);
    s->h = hm_draw_int(&d, options->min_side, options->max_side);
    const hm_status st = compose(s, &d, options);
    if (st == HM_OK)
        *out = s;
    else
        hm_scene_free(s);
    return st;
}

void hm_scene_free(hm_scene *scene) {
    if (scene == NULL)
        return;
    for (size_t i = 0; i < scene->n; i++)
        hm_rle_free(&scene->shapes[i].visible);
    free(scene);
}
