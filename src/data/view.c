/* view.c: geometry of the training augmentation. Formulas: DETR's training transforms (Carion et al. 2020, code) as
 * upstream's default recipe applies them; nearest index as torch's upsample_nearest2d. */
#include "data/view.h"

#include <math.h>

#include "base/rng.h"

hm_view hm_view_plain(int32_t in_w, int32_t in_h, int32_t out_w, int32_t out_h) {
    return (hm_view){in_w, in_h, in_w, in_h, 0, 0, in_w, in_h, out_w, out_h, false};
}

/* Draw i as an integer in lo..hi. */
static int32_t draw_between(uint64_t key, uint64_t i, int32_t lo, int32_t hi) {
    const uint64_t span = (uint64_t)((int64_t)hi - lo + 1);
    return lo + (int32_t)(((hm_rng_bits(key, i) >> 32) * span) >> 32);
}

static int32_t smaller(int32_t a, int32_t b) {
    return a < b ? a : b;
}

/* Longer side when the shorter becomes `side`; bounded for pictures of one pixel's height. */
static int32_t longer_side(int32_t side, int32_t longer, int32_t shorter) {
    const double v = nearbyint((double)side * longer / shorter);
    return v > 65500 ? 65500 : (int32_t)v;
}

static void draw_crop(hm_view *v, uint64_t key) {
    const int32_t side = (int32_t[]){400, 500, 600}[draw_between(key, 2, 0, 2)];
    v->mid_w = v->in_w <= v->in_h ? side : longer_side(side, v->in_w, v->in_h);
    v->mid_h = v->in_w <= v->in_h ? longer_side(side, v->in_h, v->in_w) : side;
    const int32_t most = smaller(600, smaller(v->mid_w, v->mid_h));
    const int32_t cut = draw_between(key, 3, smaller(384, most), most);
    v->cut_w = v->cut_h = cut;
    v->top = draw_between(key, 4, 0, v->mid_h - cut);
    v->left = draw_between(key, 5, 0, v->mid_w - cut);
}

hm_view hm_view_random(hm_augment augment, uint64_t key, int32_t in_w, int32_t in_h, int32_t out_w, int32_t out_h) {
    hm_view v = hm_view_plain(in_w, in_h, out_w, out_h);
    v.flip = augment.flip && hm_rng_uniform(key, 0) < 0.5f;
    if (augment.scale_jitter && hm_rng_uniform(key, 1) >= 0.5f)
        draw_crop(&v, key);
    return v;
}

static double clamp(double v, double lo, double hi) {
    return v < lo ? lo : v > hi ? hi : v;
}

/* Ends from..to of a box along one axis, relative to the output; false when empty. */
static bool map_ends(double from, double size, int32_t in, int32_t mid, int32_t start, int32_t cut, double ends[2]) {
    for (int e = 0; e < 2; e++)
        ends[e] = clamp(e ? from + size : from, 0, in);
    if (!(ends[1] > ends[0]))
        return false;
    for (int e = 0; e < 2; e++)
        ends[e] = clamp(ends[e] * mid / in - start, 0, cut) / cut;
    return ends[1] > ends[0];
}

bool hm_view_box(const hm_view *v, const double box[4], float out[4]) {
    double x[2], y[2];
    if (!map_ends(box[0], box[2], v->in_w, v->mid_w, v->left, v->cut_w, x) ||
        !map_ends(box[1], box[3], v->in_h, v->mid_h, v->top, v->cut_h, y))
        return false;
    const double centre = (x[0] + x[1]) / 2;
    out[0] = (float)(v->flip ? 1 - centre : centre);
    out[1] = (float)((y[0] + y[1]) / 2);
    out[2] = (float)(x[1] - x[0]);
    out[3] = (float)(y[1] - y[0]);
    return true;
}

static int32_t nearest(int32_t i, int32_t in, int32_t out) {
    const int32_t at = (int32_t)floorf((float)i * ((float)in / (float)out));
    return at < in - 1 ? at : in - 1;
}

void hm_view_nearest(const hm_view *v, int32_t *cols, int32_t *rows) {
    for (int32_t x = 0; x < v->out_w; x++)
        cols[v->flip ? v->out_w - 1 - x : x] = nearest(v->left + nearest(x, v->cut_w, v->out_w), v->in_w, v->mid_w);
    for (int32_t y = 0; y < v->out_h; y++)
        rows[y] = nearest(v->top + nearest(y, v->cut_h, v->out_h), v->in_h, v->mid_h);
}
