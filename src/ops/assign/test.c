/* test.c: opcheck cases of assign. Random costs have one optimum, so that the matches must be the same numbers. */
#include "opcheck/opcheck.h"

#include "ops/assign/assign.h"

static void solve(oc *o, const char *name, hm_shape cost, const int32_t *counts, int groups) {
    if (!oc_case(o, name))
        return;
    hm_tensor *const c = oc_constant(o, cost, -3, 5);
    oc_output(o, hm_assign(o->g, c, oc_ints(o, HM_SHAPE(cost.dim[0]), counts), groups));
    oc_end(o);
}

/* Several costs at once, with columns that no warp divides. */
static void several(oc *o) {
    if (!oc_case(o, "three_costs"))
        return;
    hm_tensor *cost[3], *match[3];
    for (int i = 0; i < 3; i++)
        cost[i] = oc_constant(o, HM_SHAPE(2, 2 * 37, 41), -3, 5);
    hm_assign_all(o->g, match, cost, 3, oc_ints(o, HM_SHAPE(2), (int32_t[]){41, 9}), 2);
    for (int i = 0; i < 3; i++)
        oc_output(o, match[i]);
    oc_end(o);
}

/* Every query wants the same targets first: long paths. */
static void alike(oc *o) {
    if (!oc_case(o, "queries_alike"))
        return;
    static double cost[2 * 70 * 70];
    for (int i = 0; i < 2 * 70 * 70; i++)
        cost[i] = (double)(i % 70) + 0x1p-10 * (double)((i * 7919) % 1009);
    oc_output(o, hm_assign(o->g, oc_constant_values(o, HM_SHAPE(2, 70, 70), cost),
                           oc_ints(o, HM_SHAPE(2), (int32_t[]){70, 40}), 1));
    oc_end(o);
}

static void refused(oc *o) {
    if (oc_case(o, "groups_do_not_divide")) {
        hm_assign(o->g, oc_constant(o, HM_SHAPE(1, 10, 3), 0, 1), oc_ints(o, HM_SHAPE(1), (int32_t[]){3}), 3);
        oc_end_refused(o, "equal groups");
    }
    if (oc_case(o, "costs_of_two_shapes")) {
        hm_tensor *const cost[] = {oc_constant(o, HM_SHAPE(1, 10, 3), 0, 1), oc_constant(o, HM_SHAPE(1, 10, 4), 0, 1)};
        hm_tensor *match[2];
        hm_assign_all(o->g, match, cost, 2, oc_ints(o, HM_SHAPE(1), (int32_t[]){3}), 1);
        oc_end_refused(o, "shape of the first");
    }
    if (oc_case(o, "counts_per_image")) {
        hm_assign(o->g, oc_constant(o, HM_SHAPE(2, 10, 3), 0, 1), oc_ints(o, HM_SHAPE(1), (int32_t[]){3}), 1);
        oc_end_refused(o, "counts");
    }
}

void opcheck_assign(oc *o) {
    solve(o, "one_by_one", HM_SHAPE(1, 1, 1), (int32_t[]){1}, 1);
    solve(o, "no_targets", HM_SHAPE(2, 6, 4), (int32_t[]){0, 0}, 2);
    solve(o, "no_room", HM_SHAPE(2, 6, 0), (int32_t[]){0, 0}, 2);
    solve(o, "groups13_mixed_counts", HM_SHAPE(3, 13 * 20, 17), (int32_t[]){3, 0, 17}, 13);
    solve(o, "more_targets_than_queries", HM_SHAPE(2, 2 * 10, 33), (int32_t[]){33, 12}, 2);
    solve(o, "square", HM_SHAPE(1, 33, 33), (int32_t[]){33}, 1);
    solve(o, "tall", HM_SHAPE(1, 1025, 5), (int32_t[]){4}, 1);
    solve(o, "all_of_128_columns", HM_SHAPE(1, 128, 128), (int32_t[]){128}, 1);
    solve(o, "columns_129_to_320", HM_SHAPE(2, 150, 120), (int32_t[]){115, 31}, 1);
    solve(o, "more_targets_100_180", HM_SHAPE(1, 100, 190), (int32_t[]){180}, 1);
    solve(o, "more_targets_40_330", HM_SHAPE(1, 40, 330), (int32_t[]){330}, 1);
    solve(o, "prices_beyond_shared_memory", HM_SHAPE(1, 3001, 9), (int32_t[]){9}, 1);
    several(o);
    alike(o);
    refused(o);
}
