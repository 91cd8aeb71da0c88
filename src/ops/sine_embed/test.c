/* test.c: opcheck cases of sine_embed. */
#include "opcheck/opcheck.h"

#include "ops/sine_embed/sine_embed.h"

static void embed(oc *o, const char *name, int64_t B, int64_t Q, int64_t L, int dim, double reach) {
    if (!oc_case(o, name))
        return;
    hm_tensor *const ref = oc_input(o, HM_SHAPE(B, Q, 4), -reach, reach);
    oc_output(o, hm_sine_embed(o->g, ref, oc_constant(o, HM_SHAPE(B, L, 2), 0.5, 1), dim));
    oc_end(o);
}

void opcheck_sine_embed(oc *o) {
    embed(o, "smallest", 1, 1, 1, 4, 1);
    embed(o, "d256", 2, 33, 1, 256, 1.5);
    embed(o, "two_levels_d12", 3, 5, 2, 12, 1);
    embed(o, "no_queries", 2, 0, 1, 16, 1);
    embed(o, "one_block_d20000", 1, 2, 1, 20000, 1);
    embed(o, "many_turns", 1, 9, 1, 64, 1000);
    if (oc_case(o, "quarter_turns")) {
        const double boxes[] = {0, 0.25, 0.5, 0.75, 1, -0.25, -0.5, -1, 0.125, -0.375, 1.25, 2};
        hm_tensor *const ref = oc_input_values(o, HM_SHAPE(1, 3, 4), boxes);
        oc_output(o, hm_sine_embed(o->g, ref, oc_constant_values(o, HM_SHAPE(1, 1, 2), (double[]){1, 1}), 8));
        oc_end(o);
    }
    if (oc_case(o, "odd_size")) {
        hm_sine_embed(o->g, oc_input(o, HM_SHAPE(1, 2, 4), 0, 1), oc_constant(o, HM_SHAPE(1, 1, 2), 1, 1), 6);
        oc_end_refused(o, "multiple of 4");
    }
    if (oc_case(o, "ratios_of_another_batch")) {
        hm_sine_embed(o->g, oc_input(o, HM_SHAPE(2, 2, 4), 0, 1), oc_constant(o, HM_SHAPE(1, 1, 2), 1, 1), 8);
        oc_end_refused(o, "ratios must be");
    }
}
