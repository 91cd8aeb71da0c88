/* test.c: cases of mask_loss. Differences step over a change in the choice of points now and then; the step is small
 * enough that these cases meet none. */
#include <math.h>

#include "opcheck/opcheck.h"
#include "ops/mask_loss/mask_loss.h"

typedef struct sizes {
    int64_t images, queries, capacity, map_h, map_w, channels, mask_h, mask_w;
} sizes;

/* Masks of random bits. */
static hm_tensor *some_masks(oc *o, sizes s) {
    static uint8_t bits[1 << 16];
    uint32_t z = 5;
    for (size_t i = 0; i < sizeof bits; i++)
        bits[i] = (uint8_t)((z = z * 1664525 + 1013904223) >> 24);
    return oc_bytes(o, HM_SHAPE(s.images, s.capacity, (s.mask_h * s.mask_w + 7) / 8), bits);
}

static void declare(oc *o, sizes s, double scale, const int32_t *counts, const int32_t *match, int groups, int ratio) {
    const hm_prediction p = {.spatial = oc_input(o, HM_SHAPE(s.images, s.map_h * s.map_w, s.channels), -scale, scale),
                             .query = oc_input(o, HM_SHAPE(s.images, s.queries, s.channels), -scale, scale),
                             .bias = oc_input(o, HM_SHAPE(1), scale > 0 ? -1 : 0, scale > 0 ? 1 : 0),
                             .mask_h = s.map_h,
                             .mask_w = s.map_w};
    const hm_targets t = {.counts = oc_ints(o, HM_SHAPE(s.images), counts),
                          .masks = some_masks(o, s),
                          .mask_h = s.mask_h,
                          .mask_w = s.mask_w};
    hm_tensor *ce, *dice;
    hm_mask_loss(o->g, &p, &t, oc_ints(o, HM_SHAPE(s.images, s.queries), match), groups, ratio, 5, &ce, &dice);
    oc_output(o, ce);
    oc_output(o, dice);
}

static void usual(oc *o) {
    if (oc_case(o, "one_pair")) {
        declare(o, (sizes){1, 1, 1, 5, 7, 3, 20, 28}, 1, (int32_t[]){1}, (int32_t[]){0}, 1, 16);
        oc_end(o);
    }
    if (oc_case(o, "one_pixel")) {
        declare(o, (sizes){1, 2, 1, 1, 1, 1, 1, 1}, 1, (int32_t[]){1}, (int32_t[]){-1, 0}, 1, 16);
        oc_end(o);
    }
    if (oc_case(o, "images3")) {
        enum { Q = 13 };
        const int32_t match[3 * Q] = {-1, 3,  0,  -1, 2,  1,  -1, -1, 0,  1,  2,  3,  -1, -1, -1, -1, -1, -1, -1, -1,
                                      -1, -1, -1, -1, -1, -1, 0,  -1, -1, -1, -1, -1, 0,  -1, -1, -1, -1, -1, 0};
        declare(o, (sizes){3, Q, 4, 12, 9, 33, 50, 37}, 0.7, (int32_t[]){4, 0, 1}, match, 3, 4);
        oc_end(o);
    }
    if (oc_case(o, "more_pairs_than_a_block")) { /* more targets than queries: every query is matched */
        enum { Q = 150 };
        int32_t match[Q];
        for (int q = 0; q < Q; q++)
            match[q] = q + 7;
        declare(o, (sizes){1, Q, Q + 11, 8, 8, 5, 16, 16}, 1, (int32_t[]){Q + 11}, match, 1, 16);
        oc_difference_step(o, 1e-7); /* 3600 candidates: a longer step changes some choice */
        oc_end(o);
    }
    if (oc_case(o, "points1025_channels300")) {
        declare(o, (sizes){1, 3, 2, 25, 41, 300, 100, 164}, 0.2, (int32_t[]){2}, (int32_t[]){1, -1, 0}, 1, 1);
        oc_difference_step(o, 1e-7);
        oc_end(o);
    }
    if (oc_case(o, "images2_channels136")) {
        enum { Q = 70 };
        int32_t match[2 * Q];
        for (int q = 0; q < Q; q++) {
            match[q] = q % 33 == 5 ? -1 : (q * 3) % Q;
            match[Q + q] = q % 13 == 2 ? q / 13 : -1;
        }
        declare(o, (sizes){2, Q, Q, 13, 12, 136, 24, 30}, 0.3, (int32_t[]){Q, 6}, match, 1, 16);
        oc_difference_step(o, 1e-7);
        oc_end(o);
    }
    if (oc_case(o, "large_map")) {
        declare(o, (sizes){1, 2, 2, 130, 128, 3, 60, 64}, 1, (int32_t[]){2}, (int32_t[]){1, 0}, 1, 16);
        oc_difference_step(o, 0);
        oc_end(o);
    }
    if (oc_case(o, "many_points")) {
        declare(o, (sizes){1, 1, 1, 64, 64, 2, 60, 64}, 1, (int32_t[]){1}, (int32_t[]){0}, 1, 1);
        oc_difference_step(o, 0);
        oc_end(o);
    }
    if (oc_case(o, "all_logits_equal")) { /* the choice goes by number */
        declare(o, (sizes){1, 2, 2, 40, 24, 5, 60, 64}, 0, (int32_t[]){2}, (int32_t[]){1, 0}, 1, 16);
        oc_difference_step(o, 0);
        oc_end(o);
    }
    if (oc_case(o, "large_logits")) {
        declare(o, (sizes){1, 2, 2, 8, 8, 16, 16, 16}, 12, (int32_t[]){2}, (int32_t[]){1, 0}, 1, 4);
        oc_difference_step(o, 1e-7);
        oc_end(o);
    }
}

static void empty(oc *o) {
    if (oc_case(o, "no_pairs")) {
        declare(o, (sizes){2, 3, 0, 4, 4, 8, 16, 16}, 1, (int32_t[]){0, 0}, (int32_t[]){-1, -1, -1, -1, -1, -1}, 13,
                16);
        oc_end(o);
    }
    if (oc_case(o, "empty_batch")) {
        declare(o, (sizes){0, 3, 2, 4, 4, 8, 16, 16}, 1, NULL, NULL, 1, 16);
        oc_end(o);
    }
}

void opcheck_mask_loss(oc *o);
void opcheck_mask_loss(oc *o) {
    usual(o);
    empty(o);
    if (oc_case(o, "refuses_other_masks")) {
        sizes s = {1, 1, 1, 4, 4, 8, 16, 16};
        const hm_prediction p = {.spatial = oc_input(o, HM_SHAPE(1, 16, 8), -1, 1),
                                 .query = oc_input(o, HM_SHAPE(1, 1, 8), -1, 1),
                                 .bias = oc_input(o, HM_SHAPE(1), -1, 1),
                                 .mask_h = 4,
                                 .mask_w = 4};
        const hm_targets t = {
            .counts = oc_ints(o, HM_SHAPE(1), (int32_t[]){1}), .masks = some_masks(o, s), .mask_h = 20, .mask_w = 16};
        hm_tensor *ce, *dice;
        hm_mask_loss(o->g, &p, &t, oc_ints(o, HM_SHAPE(1, 1), (int32_t[]){0}), 1, 16, 5, &ce, &dice);
        oc_end_refused(o, "target masks must be u8 [1,any,40]");
    }
    if (oc_case(o, "refuses_point_ratio")) {
        declare(o, (sizes){1, 1, 1, 4, 4, 8, 16, 16}, 1, (int32_t[]){1}, (int32_t[]){0}, 1, 0);
        oc_end_refused(o, "point ratio is 0");
    }
}
