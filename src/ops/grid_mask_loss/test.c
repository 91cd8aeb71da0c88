/* test.c: cases of grid_mask_loss. */
#include "opcheck/opcheck.h"
#include "ops/grid_mask_loss/grid_mask_loss.h"

typedef struct sizes {
    int64_t images, queries, capacity, grid, mask_h, mask_w;
} sizes;

static void run(oc *o, sizes s, const int32_t *counts, const int32_t *match, double range) {
    static uint8_t bits[4096];
    uint32_t z = 7;
    for (size_t i = 0; i < sizeof bits; i++) /* runs, as masks have them */
        bits[i] = (z = z * 1664525 + 1013904223) >> 31 ? 0xFF : (uint8_t)(z >> 22 & 0xF0);
    hm_prediction p = {.grid = oc_input(o, HM_SHAPE(s.images, s.queries, s.grid * s.grid), -range, range),
                       .mask_h = s.grid,
                       .mask_w = s.grid};
    hm_targets t = {.counts = oc_ints(o, HM_SHAPE(s.images), counts),
                    .masks = oc_bytes(o, HM_SHAPE(s.images, s.capacity, (s.mask_h * s.mask_w + 7) / 8), bits),
                    .mask_h = s.mask_h,
                    .mask_w = s.mask_w};
    hm_tensor *ce, *dice;
    hm_grid_mask_loss(o->g, &p, &t, oc_ints(o, HM_SHAPE(s.images, s.queries), match), 1, &ce, &dice);
    oc_output(o, ce);
    oc_output(o, dice);
}

void opcheck_grid_mask_loss(oc *o) {
    const sizes usual = {2, 5, 3, 28, 60, 72};
    if (oc_case(o, "usual")) {
        run(o, usual, (const int32_t[]){3, 1}, (const int32_t[]){-1, 2, 0, -1, 1, 0, -1, -1, -1, -1}, 3);
        oc_end(o);
    }
    if (oc_case(o, "queries53")) {
        enum { B = 2, Q = 53 };
        static int32_t match[B * Q];
        const int32_t counts[B] = {3, 1};
        for (int i = 0; i < B * Q; i++)
            match[i] = i % 4 == 1 ? i % counts[i / Q] : -1;
        run(o, (sizes){B, Q, 3, 9, 25, 31}, counts, match, 3);
        oc_end(o);
    }
    if (oc_case(o, "large_logits")) {
        run(o, usual, (const int32_t[]){3, 1}, (const int32_t[]){-1, 2, 0, -1, 1, 0, -1, -1, -1, -1}, 40);
        oc_end(o);
    }
    if (oc_case(o, "finer_than_the_mask")) {
        run(o, (sizes){1, 2, 1, 9, 5, 7}, (const int32_t[]){1}, (const int32_t[]){0, -1}, 3);
        oc_end(o);
    }
    if (oc_case(o, "nothing_matched")) {
        run(o, (sizes){1, 2, 1, 4, 8, 8}, (const int32_t[]){0}, (const int32_t[]){-1, -1}, 3);
        oc_end(o);
    }
    if (oc_case(o, "refused")) {
        run(o, (sizes){1, 2, 1, 4, 0, 8}, (const int32_t[]){0}, (const int32_t[]){-1, -1}, 3);
        oc_end_refused(o, "masks without size");
    }
}
