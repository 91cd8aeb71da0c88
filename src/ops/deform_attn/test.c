/* test.c: opcheck cases of deform_attn. The output has kinks where a sample crosses a pixel centre; random positions
 * stay further from them than the difference step. */
#include "opcheck/opcheck.h"

#include "ops/deform_attn/deform_attn.h"

typedef struct sizes {
    int64_t B, Q, C;
    int heads, points;
    hm_levels levels;
    double reach; /* of the offsets */
} sizes;

static hm_tensor *build(oc *o, const sizes *z, int64_t tokens) {
    const int64_t samples = (int64_t)z->heads * z->levels.n * z->points;
    hm_tensor *const value = oc_input(o, HM_SHAPE(z->B, tokens, z->C), -2, 2);
    hm_tensor *const offsets = oc_input(o, HM_SHAPE(z->B, z->Q, samples * 2), -z->reach, z->reach);
    hm_tensor *const logits = oc_input(o, HM_SHAPE(z->B, z->Q, samples), -3, 3);
    hm_tensor *const ref = oc_input(o, HM_SHAPE(z->B, z->Q, 4), 0.05, 0.95);
    hm_tensor *const ratios = oc_constant(o, HM_SHAPE(z->B, z->levels.n, 2), 0.5, 1);
    return hm_deform_attn(o->g, value, offsets, logits, ref, ratios, z->levels, z->heads, z->points);
}

static void attend(oc *o, const char *name, sizes z) {
    if (!oc_case(o, name))
        return;
    int64_t tokens = 0;
    for (int i = 0; i < z.levels.n; i++)
        tokens += z.levels.h[i] * z.levels.w[i];
    oc_output(o, build(o, &z, tokens));
    if (z.Q * z.C > 4096) /* checked on the small ones */
        oc_difference_step(o, 0);
    oc_end(o);
}

void opcheck_deform_attn(oc *o) {
    const hm_levels one = {.n = 1, .h = {7}, .w = {5}}, two = {.n = 2, .h = {6, 3}, .w = {8, 4}};
    attend(o, "smallest", (sizes){1, 1, 1, 1, 1, {.n = 1, .h = {1}, .w = {1}}, 1});
    attend(o, "d16_one_level", (sizes){2, 33, 64, 4, 2, one, 1});
    attend(o, "d16_two_levels", (sizes){2, 9, 48, 3, 4, two, 2});
    attend(o, "d5_four_levels",
           (sizes){1, 5, 10, 2, 3, {.n = 4, .h = {8, 4, 2, 1}, .w = {9, 5, 3, 1}, .power = {0, 1, 2, 3}}, 2});
    attend(o, "mostly_outside", (sizes){1, 17, 32, 2, 2, one, 30});
    const hm_levels nano = {.n = 1, .h = {26}, .w = {26}}, four = {.n = 1, .h = {2}, .w = {2}};
    attend(o, "m16_d16_nano", (sizes){2, 37, 256, 16, 2, nano, 3});
    attend(o, "m24_d16_two_levels", (sizes){1, 13, 384, 24, 4, two, 2});
    attend(o, "d16_many_on_few_pixels", (sizes){1, 301, 32, 2, 2, four, 1});
    attend(o, "d32", (sizes){1, 11, 64, 2, 3, one, 1});
    attend(o, "m67_d1", (sizes){2, 3, 67, 67, 2, one, 1}); /* more heads than the GPU has in a block at a time */
    attend(o, "no_queries", (sizes){2, 0, 32, 2, 2, one, 1});
    if (oc_case(o, "all_outside")) {
        const hm_levels l = {.n = 1, .h = {3}, .w = {3}};
        hm_tensor *const value = oc_input(o, HM_SHAPE(1, 9, 16), 1, 2);
        hm_tensor *const offsets = oc_input(o, HM_SHAPE(1, 4, 4), 100, 1000);
        hm_tensor *const logits = oc_input(o, HM_SHAPE(1, 4, 2), -80, 80);
        hm_tensor *const ref = oc_input(o, HM_SHAPE(1, 4, 4), 0.5, 1);
        oc_output(o,
                  hm_deform_attn(o->g, value, offsets, logits, ref, oc_constant(o, HM_SHAPE(1, 1, 2), 1, 1), l, 1, 2));
        oc_end(o);
    }
    if (oc_case(o, "tokens_of_other_levels")) {
        build(o, &(sizes){1, 3, 16, 2, 2, one, 1}, 34);
        oc_end_refused(o, "35 tokens");
    }
    if (oc_case(o, "heads_do_not_divide")) {
        build(o, &(sizes){1, 3, 16, 3, 2, one, 1}, 35);
        oc_end_refused(o, "3 heads");
    }
}
