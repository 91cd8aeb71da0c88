/* test.c: cases of box_loss. */
#include <stdlib.h>

#include "opcheck/opcheck.h"
#include "ops/box_loss/box_loss.h"

/* Random boxes around the middle of the image; `match` [B*Q] over targets of `counts` [B]. */
static void declare(oc *o, hm_tensor *pred, hm_tensor *target, const int32_t *counts, const int32_t *match,
                    int groups) {
    const int64_t images = hm_dim(pred, 0);
    const hm_prediction p = {.boxes = pred};
    const hm_targets t = {.counts = oc_ints(o, HM_SHAPE(images), counts), .boxes = target};
    hm_tensor *l1, *giou;
    hm_box_loss(o->g, &p, &t, oc_ints(o, HM_SHAPE(images, hm_dim(pred, 1)), match), groups, &l1, &giou);
    oc_output(o, l1);
    oc_output(o, giou);
}

static void many(oc *o) {
    enum { B = 3, Q = 1025, T = 33 };
    static int32_t match[B * Q];
    const int32_t counts[B] = {T, 0, 7};
    for (int i = 0; i < B * Q; i++)
        match[i] = i % 5 == 0 && counts[i / Q] > 0 ? i % counts[i / Q] : -1;
    declare(o, oc_input(o, HM_SHAPE(B, Q, 4), 0.2, 0.9), oc_constant(o, HM_SHAPE(B, T, 4), 0.2, 0.9), counts, match,
            13);
}

static void edges(oc *o) {
    if (oc_case(o, "identical_boxes")) { /* a kink everywhere: no finite differences; gradients halve */
        const double box[8] = {0.5, 0.5, 0.25, 0.5, 0.25, 0.75, 0.5, 0.125};
        declare(o, oc_input_values(o, HM_SHAPE(1, 2, 4), box), oc_constant_values(o, HM_SHAPE(1, 2, 4), box),
                (int32_t[]){2}, (int32_t[]){0, 1}, 1);
        oc_difference_step(o, 0);
        oc_end(o);
    }
    if (oc_case(o, "negative_and_empty_sizes")) {
        const double pred[16] = {0.5, 0.5, -0.2, 0.3, 0.4, 0.6, -0.1, -0.1, 0.3, 0.3, 0.2, 0.2, 0.7, 0.2, 0.5, -0.5};
        const double target[16] = {0.5, 0.4, 0.3, 0.2, 0.4, 0.6, 0.0, 0.0, 0.8, 0.8, 0.1, 0.1, 0.6, 0.25, 0.0, 0.5};
        declare(o, oc_input_values(o, HM_SHAPE(1, 4, 4), pred), oc_constant_values(o, HM_SHAPE(1, 4, 4), target),
                (int32_t[]){4}, (int32_t[]){0, 1, 2, 3}, 1);
        oc_difference_step(o, 0); /* the second pair is two points: the centre's kink */
        oc_end(o);
    }
    if (oc_case(o, "inside_and_outside")) {
        const double pred[8] = {0.5, 0.5, 0.1, 0.2, 0.5, 0.5, 0.9, 0.8};
        const double target[8] = {0.52, 0.47, 0.6, 0.7, 0.45, 0.55, 0.2, 0.3};
        declare(o, oc_input_values(o, HM_SHAPE(1, 2, 4), pred), oc_constant_values(o, HM_SHAPE(1, 2, 4), target),
                (int32_t[]){2}, (int32_t[]){0, 1}, 1);
        oc_end(o);
    }
    if (oc_case(o, "tiny_boxes")) { /* areas below 1e-7: both clamps hold */
        declare(o, oc_input(o, HM_SHAPE(1, 9, 4), 0.0, 1e-4), oc_constant(o, HM_SHAPE(1, 1, 4), 0.0, 1e-4),
                (int32_t[]){1}, (int32_t[]){-1, 0, 0, 0, 0, -1, 0, 0, 0}, 1);
        oc_difference_step(o, 1e-9);
        oc_tolerance(o, 1e-4, 1e-3);
        oc_end(o);
    }
}

static void empty(oc *o) {
    if (oc_case(o, "no_targets")) {
        declare(o, oc_input(o, HM_SHAPE(2, 3, 4), 0, 1), oc_constant(o, HM_SHAPE(2, 0, 4), 0, 1), (int32_t[]){0, 0},
                (int32_t[]){-1, -1, -1, -1, -1, -1}, 13);
        oc_end(o);
    }
    if (oc_case(o, "empty_batch")) {
        declare(o, oc_input(o, HM_SHAPE(0, 3, 4), 0, 1), oc_constant(o, HM_SHAPE(0, 2, 4), 0, 1), NULL, NULL, 1);
        oc_end(o);
    }
}

void opcheck_box_loss(oc *o);
void opcheck_box_loss(oc *o) {
    if (oc_case(o, "one")) {
        declare(o, oc_input(o, HM_SHAPE(1, 1, 4), 0.3, 0.7), oc_constant(o, HM_SHAPE(1, 1, 4), 0.3, 0.7),
                (int32_t[]){1}, (int32_t[]){0}, 1);
        oc_end(o);
    }
    if (oc_case(o, "images3_queries1025")) {
        many(o);
        oc_difference_step(o, 1e-8); /* some edges are closer to each other than a longer step */
        oc_end(o);
    }
    edges(o);
    empty(o);
    if (oc_case(o, "refuses_other_batch")) {
        declare(o, oc_input(o, HM_SHAPE(2, 3, 4), 0, 1), oc_constant(o, HM_SHAPE(1, 2, 4), 0, 1), (int32_t[]){0, 0},
                (int32_t[]){-1, -1, -1, -1, -1, -1}, 1);
        oc_end_refused(o, "target boxes must be fp32 [2,any,4]");
    }
    if (oc_case(o, "refuses_no_groups")) {
        declare(o, oc_input(o, HM_SHAPE(1, 1, 4), 0, 1), oc_constant(o, HM_SHAPE(1, 1, 4), 0, 1), (int32_t[]){1},
                (int32_t[]){0}, 0);
        oc_end_refused(o, "0 groups");
    }
}
