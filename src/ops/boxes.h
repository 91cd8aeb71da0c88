/* boxes.h: intersection over union of two boxes and its generalised form, with the gradient to the first box.
 *
 * Boxes are cxcywh; w and h are clamped at >= 0 on the way to xyxy, union and enclosing area at >= 1e-7 in the
 * divisions (Rezatofighi et al. 2019, "Generalized Intersection over Union"). A NaN coordinate gives NaN. At a kink the
 * gradient is PyTorch's: a clamp passes it at its bound, the larger or smaller of two equal edges gets half. Numbers
 * are HM_REAL: float, unless defined before (reference kernels: double). */
#ifndef HM_OPS_BOXES_H
#define HM_OPS_BOXES_H

#include <math.h>

#include "base/inline.h"

#ifndef HM_REAL
#define HM_REAL float
#endif

#define HM_BOX_EPS ((HM_REAL)1e-7)

/* One axis of two boxes: [a0, a1] of the first, [b0, b1] of the second. */
typedef struct hm_span {
    HM_REAL a0, a1, b0, b1;
    HM_REAL overlap; /* of both, not yet clamped at 0 */
    HM_REAL hull;    /* of the smallest span around both */
} hm_span;

HM_INLINE HM_REAL hm_box_max(HM_REAL a, HM_REAL b) {
    return a > b || a != a ? a : b;
}

HM_INLINE HM_REAL hm_box_min(HM_REAL a, HM_REAL b) {
    return a < b || a != a ? a : b;
}

/* max(x, low); NaN stays */
HM_INLINE HM_REAL hm_box_floor(HM_REAL x, HM_REAL low) {
    return x < low ? low : x;
}

/* From centre and size along one axis. */
HM_INLINE hm_span hm_span_make(HM_REAL a_centre, HM_REAL a_size, HM_REAL b_centre, HM_REAL b_size) {
    const HM_REAL a_half = (HM_REAL)0.5 * hm_box_floor(a_size, 0), b_half = (HM_REAL)0.5 * hm_box_floor(b_size, 0);
    hm_span s;
    s.a0 = a_centre - a_half;
    s.a1 = a_centre + a_half;
    s.b0 = b_centre - b_half;
    s.b1 = b_centre + b_half;
    s.overlap = hm_box_min(s.a1, s.b1) - hm_box_max(s.a0, s.b0);
    s.hull = hm_box_max(s.a1, s.b1) - hm_box_min(s.a0, s.b0);
    return s;
}

/* Areas of two boxes a, b [4]. */
typedef struct hm_areas {
    hm_span x, y;
    HM_REAL inter, whole, hull; /* intersection, union, enclosing box */
} hm_areas;

HM_INLINE hm_areas hm_areas_make(const HM_REAL *a, const HM_REAL *b) {
    hm_areas r;
    r.x = hm_span_make(a[0], a[2], b[0], b[2]);
    r.y = hm_span_make(a[1], a[3], b[1], b[3]);
    const HM_REAL area_a = (r.x.a1 - r.x.a0) * (r.y.a1 - r.y.a0), area_b = (r.x.b1 - r.x.b0) * (r.y.b1 - r.y.b0);
    r.inter = hm_box_floor(r.x.overlap, 0) * hm_box_floor(r.y.overlap, 0);
    r.whole = area_a + area_b - r.inter;
    r.hull = hm_box_floor(r.x.hull, 0) * hm_box_floor(r.y.hull, 0);
    return r;
}

HM_INLINE HM_REAL hm_box_iou(const HM_REAL *a, const HM_REAL *b) {
    const hm_areas r = hm_areas_make(a, b);
    return r.inter / hm_box_floor(r.whole, HM_BOX_EPS);
}

HM_INLINE HM_REAL hm_box_giou(const HM_REAL *a, const HM_REAL *b) {
    const hm_areas r = hm_areas_make(a, b);
    return r.inter / hm_box_floor(r.whole, HM_BOX_EPS) - (r.hull - r.whole) / hm_box_floor(r.hull, HM_BOX_EPS);
}

/* Share of the gradient that the first of two compared numbers gets: all, half, none. */
HM_INLINE HM_REAL hm_box_share(HM_REAL winner, HM_REAL loser) {
    return winner > loser ? 1 : winner == loser ? (HM_REAL)0.5 : 0;
}

/* Gradient along one axis: d_overlap and d_hull are those of the clamped lengths, d_size that of a1 - a0. */
HM_INLINE void hm_span_grad(hm_span s, HM_REAL size, HM_REAL d_overlap, HM_REAL d_hull, HM_REAL d_size,
                            HM_REAL *d_centre, HM_REAL *d_full) {
    const HM_REAL in = s.overlap >= 0 ? d_overlap : 0, out = s.hull >= 0 ? d_hull : 0;
    const HM_REAL d0 = -in * hm_box_share(s.a0, s.b0) - out * hm_box_share(s.b0, s.a0) - d_size;
    const HM_REAL d1 = in * hm_box_share(s.b1, s.a1) + out * hm_box_share(s.a1, s.b1) + d_size;
    *d_centre = d0 + d1;
    *d_full = size < 0 ? 0 : (HM_REAL)0.5 * (d1 - d0);
}

/* grad[4] = d giou(a, b) / d a. */
HM_INLINE void hm_box_giou_grad(const HM_REAL *a, const HM_REAL *b, HM_REAL *grad) {
    const hm_areas r = hm_areas_make(a, b);
    const HM_REAL whole = hm_box_floor(r.whole, HM_BOX_EPS), hull = hm_box_floor(r.hull, HM_BOX_EPS);
    const HM_REAL d_whole = 1 / hull - (r.whole < HM_BOX_EPS ? 0 : r.inter / (whole * whole));
    const HM_REAL d_hull = -1 / hull + (r.hull < HM_BOX_EPS ? 0 : (r.hull - r.whole) / (hull * hull));
    const HM_REAL d_inter = 1 / whole - d_whole;
    hm_span_grad(r.x, a[2], d_inter * hm_box_floor(r.y.overlap, 0), d_hull * hm_box_floor(r.y.hull, 0),
                 d_whole * (r.y.a1 - r.y.a0), &grad[0], &grad[2]);
    hm_span_grad(r.y, a[3], d_inter * hm_box_floor(r.x.overlap, 0), d_hull * hm_box_floor(r.x.hull, 0),
                 d_whole * (r.x.a1 - r.x.a0), &grad[1], &grad[3]);
}

#endif
