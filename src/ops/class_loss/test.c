/* test.c: cases of class_loss. The soft targets are constants of the logits for differentiation but not for finite
 * differences, which therefore run only where no query is matched or where the boxes are disjoint (target 0.01). */
#include "opcheck/opcheck.h"
#include "ops/class_loss/class_loss.h"

typedef struct sizes {
    int64_t images, queries, classes, capacity;
} sizes;

static void declare(oc *o, sizes s, double lo, double hi, hm_tensor *boxes, hm_tensor *targets, const int32_t *counts,
                    const int32_t *match, int groups) {
    const hm_prediction p = {.logits = oc_input(o, HM_SHAPE(s.images, s.queries, s.classes), lo, hi), .boxes = boxes};
    const hm_targets t = {.counts = oc_ints(o, HM_SHAPE(s.images), counts),
                          .labels = oc_ints_random(o, HM_SHAPE(s.images, s.capacity), 0, (int32_t)s.classes - 1),
                          .boxes = targets};
    oc_output(o, hm_class_loss(o->g, &p, &t, oc_ints(o, HM_SHAPE(s.images, s.queries), match), groups));
}

static hm_tensor *some_boxes(oc *o, int64_t images, int64_t n) {
    return oc_constant(o, HM_SHAPE(images, n, 4), 0.3, 0.8);
}

/* Far outside the image: no overlap with anything. */
static hm_tensor *far_boxes(oc *o, int64_t images, int64_t n) {
    return oc_constant(o, HM_SHAPE(images, n, 4), 8, 9);
}

static void many(oc *o, double lo, double hi, bool overlap) {
    enum { B = 3, Q = 325, K = 91, T = 9 };
    static int32_t match[B * Q];
    const int32_t counts[B] = {T, 0, 4};
    for (int i = 0; i < B * Q; i++)
        match[i] = i % 7 == 0 && counts[i / Q] > 0 ? i % counts[i / Q] : -1;
    declare(o, (sizes){B, Q, K, T}, lo, hi, some_boxes(o, B, Q), overlap ? some_boxes(o, B, T) : far_boxes(o, B, T),
            counts, match, 13);
    if (overlap)
        oc_difference_step(o, 0);
    oc_end(o);
}

/* More queries than the GPU takes at a time, in rows that leave most of a warp idle. */
static void long_batch(oc *o) {
    enum { B = 3, Q = 1401, K = 3, T = 5 };
    static int32_t match[B * Q];
    const int32_t counts[B] = {2, T, 1};
    for (int i = 0; i < B * Q; i++)
        match[i] = i % 3 == 0 ? i / 3 % counts[i / Q] : -1;
    declare(o, (sizes){B, Q, K, T}, -4, 4, some_boxes(o, B, Q), some_boxes(o, B, T), counts, match, 2);
    oc_difference_step(o, 0);
    oc_end(o);
}

static void small(oc *o) {
    if (oc_case(o, "one_logit")) {
        declare(o, (sizes){1, 1, 1, 1}, -1, 1, some_boxes(o, 1, 1), far_boxes(o, 1, 1), (int32_t[]){1}, (int32_t[]){0},
                1);
        oc_end(o);
    }
    if (oc_case(o, "degenerate_boxes")) { /* IoU 0/1e-7 */
        const double point[4] = {0.5, 0.5, 0, 0};
        declare(o, (sizes){1, 1, 5, 1}, -1, 1, oc_constant_values(o, HM_SHAPE(1, 1, 4), point),
                oc_constant_values(o, HM_SHAPE(1, 1, 4), point), (int32_t[]){1}, (int32_t[]){0}, 1);
        oc_end(o);
    }
    if (oc_case(o, "no_targets")) {
        declare(o, (sizes){2, 33, 7, 0}, -2, 2, some_boxes(o, 2, 33), some_boxes(o, 2, 0), (int32_t[]){0, 0},
                (int32_t[66]){[0 ... 65] = -1}, 13);
        oc_end(o);
    }
    if (oc_case(o, "empty_batch")) {
        declare(o, (sizes){0, 3, 5, 2}, -1, 1, some_boxes(o, 0, 3), some_boxes(o, 0, 2), NULL, NULL, 1);
        oc_end(o);
    }
}

void opcheck_class_loss(oc *o);
void opcheck_class_loss(oc *o) {
    small(o);
    if (oc_case(o, "overlapping"))
        many(o, -6, 2, true);
    if (oc_case(o, "disjoint"))
        many(o, -6, 2, false);
    if (oc_case(o, "all_large"))
        many(o, 80, 120, true);
    if (oc_case(o, "all_small"))
        many(o, -30, -20, true);
    if (oc_case(o, "queries1401_classes3"))
        long_batch(o);
    if (oc_case(o, "refuses_missing_boxes")) {
        declare(o, (sizes){1, 1, 1, 1}, -1, 1, NULL, some_boxes(o, 1, 1), (int32_t[]){1}, (int32_t[]){0}, 1);
        oc_end_refused(o, "predicted boxes is missing");
    }
    if (oc_case(o, "refuses_other_queries")) {
        declare(o, (sizes){1, 2, 1, 1}, -1, 1, some_boxes(o, 1, 3), some_boxes(o, 1, 1), (int32_t[]){1},
                (int32_t[]){0, -1}, 1);
        oc_end_refused(o, "predicted boxes must be fp32 [1,2,4]");
    }
}
