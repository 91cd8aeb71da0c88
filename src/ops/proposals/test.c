/* test.c: opcheck cases of the proposal grid. */
#include "opcheck/opcheck.h"

#include <stdlib.h>

#include "ops/proposals/proposals.h"

static void grid(oc *o, hm_tensor *padding, int64_t B, hm_levels levels) {
    const hm_proposals p = hm_make_proposals(o->g, padding, B, levels);
    oc_output(o, p.boxes);
    oc_output(o, p.valid);
    oc_output(o, p.unpadded);
    oc_output(o, p.ratios);
    oc_end(o);
}

/* Padding right of and below (h, w) of each image; B images of H x W. */
static hm_tensor *corner(oc *o, int64_t B, int64_t H, int64_t W, const int64_t (*seen)[2]) {
    uint8_t *const pad = malloc((size_t)(B * H * W));
    if (pad == NULL)
        return NULL;
    for (int64_t i = 0; i < B * H * W; i++)
        pad[i] = i / W % H >= seen[i / (H * W)][0] || i % W >= seen[i / (H * W)][1];
    hm_tensor *const t = oc_bytes(o, HM_SHAPE(B, H, W), pad);
    free(pad);
    return t;
}

void opcheck_proposals(oc *o) {
    if (oc_case(o, "no_padding"))
        grid(o, NULL, 2, (hm_levels){.n = 1, .h = {26}, .w = {26}, .power = {0}});
    if (oc_case(o, "border_ring_is_invalid"))
        grid(o, NULL, 1, (hm_levels){.n = 1, .h = {50}, .w = {52}, .power = {0}});
    if (oc_case(o, "one_token"))
        grid(o, NULL, 1, (hm_levels){.n = 1, .h = {1}, .w = {1}, .power = {0}});
    if (oc_case(o, "padding_two_levels"))
        grid(o, corner(o, 3, 96, 64, (const int64_t[][2]){{96, 64}, {40, 64}, {96, 17}}), 3,
             (hm_levels){.n = 2, .h = {12, 3}, .w = {8, 2}, .power = {0, 1}});
    if (oc_case(o, "uneven_ratio"))
        grid(o, corner(o, 2, 33, 31, (const int64_t[][2]){{20, 31}, {33, 8}}), 2,
             (hm_levels){.n = 2, .h = {7, 4}, .w = {5, 3}, .power = {0, 4}});
    if (oc_case(o, "everything_padded"))
        grid(o, corner(o, 1, 8, 8, (const int64_t[][2]){{0, 0}}), 1, (hm_levels){.n = 1, .h = {4}, .w = {4}});
    if (oc_case(o, "four_levels"))
        grid(o, corner(o, 2, 64, 64, (const int64_t[][2]){{64, 40}, {23, 64}}), 2,
             (hm_levels){.n = 4, .h = {32, 16, 8, 4}, .w = {32, 16, 8, 4}, .power = {0, 1, 2, 3}});
    if (oc_case(o, "size_too_large"))
        grid(o, NULL, 1, (hm_levels){.n = 1, .h = {3}, .w = {3}, .power = {5}});
    if (oc_case(o, "padding_of_another_batch")) {
        hm_make_proposals(o->g, corner(o, 1, 8, 8, (const int64_t[][2]){{8, 8}}), 2,
                          (hm_levels){.n = 1, .h = {4}, .w = {4}});
        oc_end_refused(o, "padding must be");
    }
    if (oc_case(o, "five_levels")) {
        hm_make_proposals(o->g, NULL, 2, (hm_levels){.n = 5});
        oc_end_refused(o, "feature levels");
    }
}
