/* test.c: cases of match_cost. */
#include <math.h>

#include "opcheck/opcheck.h"
#include "ops/match_cost/match_cost.h"

typedef struct sizes {
    int64_t images, queries, classes, capacity;
    int64_t map_h, map_w, channels; /* 0: no masks */
    int64_t mask_h, mask_w;
} sizes;

static const hm_cost_weights weights = {.bbox = 5, .cls = 2, .giou = 2, .mask_ce = 5, .mask_dice = 5};

/* Masks of random bits. */
static hm_tensor *some_masks(oc *o, sizes s) {
    static uint8_t bits[1 << 16];
    uint32_t z = 1;
    for (size_t i = 0; i < sizeof bits; i++)
        bits[i] = (uint8_t)((z = z * 1664525 + 1013904223) >> 24);
    return oc_bytes(o, HM_SHAPE(s.images, s.capacity, (s.mask_h * s.mask_w + 7) / 8), bits);
}

static void declare(oc *o, sizes s, double scale, hm_tensor *boxes, const int32_t *counts, int ratio) {
    hm_prediction p = {.logits = oc_constant(o, HM_SHAPE(s.images, s.queries, s.classes), -6 * scale, 2 * scale),
                       .boxes = boxes,
                       .mask_h = s.map_h,
                       .mask_w = s.map_w};
    hm_targets t = {.counts = oc_ints(o, HM_SHAPE(s.images), counts),
                    .labels = oc_ints_random(o, HM_SHAPE(s.images, s.capacity), 0, (int32_t)s.classes - 1),
                    .boxes = oc_constant(o, HM_SHAPE(s.images, s.capacity, 4), 0.2, 0.8),
                    .mask_h = s.mask_h,
                    .mask_w = s.mask_w};
    if (s.channels > 0) {
        p.spatial = oc_constant(o, HM_SHAPE(s.images, s.map_h * s.map_w, s.channels), -scale, scale);
        p.query = oc_constant(o, HM_SHAPE(s.images, s.queries, s.channels), -scale, scale);
        p.bias = oc_constant(o, HM_SHAPE(1), -1, 1);
        t.masks = some_masks(o, s);
    }
    oc_output(o, hm_match_cost(o->g, &p, &t, weights, ratio, 4));
}

static hm_tensor *some_boxes(oc *o, sizes s) {
    return oc_constant(o, HM_SHAPE(s.images, s.queries, 4), 0.2, 0.8);
}

static void usual(oc *o) {
    if (oc_case(o, "detection")) {
        const sizes s = {.images = 2, .queries = 33, .classes = 91, .capacity = 5};
        declare(o, s, 1, some_boxes(o, s), (int32_t[]){5, 2}, 16);
        oc_end(o);
    }
    if (oc_case(o, "masks")) {
        const sizes s = {3, 65, 7, 9, 12, 13, 33, 50, 47};
        declare(o, s, 1, some_boxes(o, s), (int32_t[]){9, 0, 1}, 1);
        oc_end(o);
    }
    if (oc_case(o, "more_targets_than_queries")) {
        const sizes s = {1, 3, 2, 21, 16, 16, 8, 64, 64};
        declare(o, s, 1, some_boxes(o, s), (int32_t[]){21}, 16);
        oc_end(o);
    }
    if (oc_case(o, "one_point")) {
        const sizes s = {1, 1, 1, 1, 4, 4, 1, 1, 1};
        declare(o, s, 1, some_boxes(o, s), (int32_t[]){1}, 16);
        oc_end(o);
    }
    if (oc_case(o, "points1025")) {
        const sizes s = {1, 9, 3, 5, 25, 41, 20, 100, 164};
        declare(o, s, 1, some_boxes(o, s), (int32_t[]){5}, 1);
        oc_end(o);
    }
    if (oc_case(o, "targets70")) {
        const sizes s = {2, 19, 5, 70, 21, 20, 40, 40, 44};
        declare(o, s, 1, some_boxes(o, s), (int32_t[]){67, 33}, 1);
        oc_end(o);
    }
    if (oc_case(o, "large_logits")) {
        const sizes s = {1, 9, 3, 5, 16, 16, 16, 32, 32};
        declare(o, s, 12, some_boxes(o, s), (int32_t[]){5}, 4);
        oc_end(o);
    }
}

static void odd(oc *o) {
    if (oc_case(o, "empty_images")) {
        const sizes s = {2, 5, 3, 0, 8, 8, 4, 16, 16};
        declare(o, s, 1, some_boxes(o, s), (int32_t[]){0, 0}, 16);
        oc_end(o);
    }
    if (oc_case(o, "empty_batch")) {
        const sizes s = {0, 5, 3, 2, 8, 8, 4, 16, 16};
        declare(o, s, 1, some_boxes(o, s), NULL, 16);
        oc_end(o);
    }
    if (oc_case(o, "not_finite")) { /* a NaN box, an infinite one */
        const sizes s = {.images = 1, .queries = 4, .classes = 3, .capacity = 3};
        const double box[16] = {0.5, 0.5, 0.2, 0.2, NAN, 0.5, 0.2, 0.2, 0.4, 0.5, INFINITY, 0.2, 0.4, 0.4, 0.1, 0.3};
        declare(o, s, 1, oc_constant_values(o, HM_SHAPE(1, 4, 4), box), (int32_t[]){2}, 16);
        oc_end(o);
    }
    if (oc_case(o, "nothing_finite")) {
        const sizes s = {.images = 1, .queries = 1, .classes = 3, .capacity = 2};
        const double box[4] = {NAN, NAN, NAN, NAN};
        declare(o, s, 1, oc_constant_values(o, HM_SHAPE(1, 1, 4), box), (int32_t[]){2}, 16);
        oc_end(o);
    }
}

void opcheck_match_cost(oc *o);
void opcheck_match_cost(oc *o) {
    usual(o);
    odd(o);
    if (oc_case(o, "refuses_no_points")) {
        const sizes s = {1, 2, 3, 2, 3, 5, 4, 16, 16};
        declare(o, s, 1, some_boxes(o, s), (int32_t[]){1}, 16);
        oc_end_refused(o, "leave no point");
    }
    if (oc_case(o, "refuses_point_ratio")) {
        const sizes s = {1, 2, 3, 2, 3, 5, 4, 16, 16};
        declare(o, s, 1, some_boxes(o, s), (int32_t[]){1}, 0);
        oc_end_refused(o, "point ratio is 0");
    }
}
