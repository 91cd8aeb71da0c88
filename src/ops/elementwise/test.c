/* test.c: cases of add, mul, sum_to, broadcast, scale_residual and detach. */
#include "graph/op.h"
#include "opcheck/opcheck.h"
#include "ops/elementwise/elementwise.h"

static void both(oc *o, hm_shape a, hm_shape b) {
    hm_tensor *const x = oc_input(o, a, -2, 2), *const y = oc_input(o, b, -2, 2);
    oc_output(o, hm_add(o->g, x, y));
    oc_output(o, hm_mul(o->g, x, y));
    oc_half(o, 8); /* a scalar's gradient is a sum of rounded products of both signs */
    oc_end(o);
}

static void binary_cases(oc *o) {
    if (oc_case(o, "scalars"))
        both(o, hm_scalar_shape(), hm_scalar_shape());
    if (oc_case(o, "same_33_1025"))
        both(o, HM_SHAPE(33, 1025), HM_SHAPE(33, 1025));
    if (oc_case(o, "bias_1025_33"))
        both(o, HM_SHAPE(1025, 33), HM_SHAPE(33));
    if (oc_case(o, "by_scalar_33"))
        both(o, HM_SHAPE(33), hm_scalar_shape());
    if (oc_case(o, "by_one_3x20000"))
        both(o, HM_SHAPE(3, 20000), HM_SHAPE(1));
    if (oc_case(o, "per_row"))
        both(o, HM_SHAPE(2, 33, 17), HM_SHAPE(2, 33, 1));
    if (oc_case(o, "per_image"))
        both(o, HM_SHAPE(2, 700, 65), HM_SHAPE(2, 1, 65));
    if (oc_case(o, "batch_of_positions"))
        both(o, HM_SHAPE(3, 50, 40), HM_SHAPE(1, 50, 40));
    if (oc_case(o, "mixed"))
        both(o, HM_SHAPE(2, 3, 4, 5, 6), HM_SHAPE(3, 1, 5, 1));
    if (oc_case(o, "ones"))
        both(o, HM_SHAPE(1, 7, 1), HM_SHAPE(1, 1, 1));
    if (oc_case(o, "bias_65_40"))
        both(o, HM_SHAPE(65, 40), HM_SHAPE(40));
    if (oc_case(o, "per_row_5_12"))
        both(o, HM_SHAPE(7, 5, 12), HM_SHAPE(7, 5, 1));
    if (oc_case(o, "per_window"))
        both(o, HM_SHAPE(8, 65, 40), HM_SHAPE(8, 1, 1));
    if (oc_case(o, "mixed_40"))
        both(o, HM_SHAPE(2, 3, 4, 5, 40), HM_SHAPE(2, 1, 4, 1, 40));
    if (oc_case(o, "odd_tail"))
        both(o, HM_SHAPE(2051), HM_SHAPE(2051));
    if (oc_case(o, "empty"))
        both(o, HM_SHAPE(0, 7), HM_SHAPE(7));
    if (oc_case(o, "empty_channels"))
        both(o, HM_SHAPE(3, 0), HM_SHAPE(3, 1));
    if (oc_case(o, "all_large")) {
        hm_tensor *const x = oc_constant(o, HM_SHAPE(5, 9), 1e37, 1.1e37), *const y = oc_constant(o, HM_SHAPE(9), 5, 6);
        oc_output(o, hm_mul(o->g, x, y));
        oc_end(o);
    }
    if (oc_case(o, "all_small")) {
        hm_tensor *const x = oc_constant(o, HM_SHAPE(5, 9), 1e-25, 2e-25), *const y = oc_constant(o, HM_SHAPE(9), 0, 1);
        oc_output(o, hm_add(o->g, hm_mul(o->g, x, y), x));
        oc_end(o);
    }
    if (oc_case(o, "square")) {
        hm_tensor *const x = oc_input(o, HM_SHAPE(33), -2, 2);
        oc_output(o, hm_mul(o->g, x, x));
        oc_output(o, hm_add(o->g, x, x));
        oc_end(o);
    }
    if (oc_case(o, "refused_shape")) {
        hm_add(o->g, oc_input(o, HM_SHAPE(3, 4), 0, 1), oc_input(o, HM_SHAPE(3), 0, 1));
        oc_end_refused(o, "does not broadcast");
    }
    if (oc_case(o, "refused_rank")) {
        hm_mul(o->g, oc_input(o, HM_SHAPE(4), 0, 1), oc_input(o, HM_SHAPE(1, 4), 0, 1));
        oc_end_refused(o, "does not broadcast");
    }
    if (oc_case(o, "refused_dtype")) {
        hm_mul(o->g, oc_input(o, HM_SHAPE(4), 0, 1), oc_ints_random(o, HM_SHAPE(4), 0, 1));
        oc_end_refused(o, "fp32");
    }
}

static void sum_to(oc *o, hm_shape large, hm_shape small) {
    oc_output(o, hm_sum_to(o->g, oc_input(o, large, -2, 2), small));
    oc_output(o, hm_broadcast(o->g, oc_input(o, small, -2, 2), large));
    oc_end(o);
}

static void sum_cases(oc *o) {
    if (oc_case(o, "sum_all"))
        sum_to(o, HM_SHAPE(70000), hm_scalar_shape());
    if (oc_case(o, "sum_nothing"))
        sum_to(o, HM_SHAPE(5, 33), HM_SHAPE(5, 33));
    if (oc_case(o, "sum_rows"))
        sum_to(o, HM_SHAPE(1025, 33), HM_SHAPE(1, 33));
    if (oc_case(o, "sum_last"))
        sum_to(o, HM_SHAPE(33, 1025), HM_SHAPE(33, 1));
    if (oc_case(o, "sum_wide"))
        sum_to(o, HM_SHAPE(3, 9000), HM_SHAPE(9000));
    if (oc_case(o, "sum_ends"))
        sum_to(o, HM_SHAPE(40, 33, 20), HM_SHAPE(33, 1));
    if (oc_case(o, "sum_1030_40"))
        sum_to(o, HM_SHAPE(1030, 40), HM_SHAPE(40));
    if (oc_case(o, "sum_100_388"))
        sum_to(o, HM_SHAPE(100, 388), HM_SHAPE(388));
    if (oc_case(o, "sum_per_image"))
        sum_to(o, HM_SHAPE(3, 130, 264), HM_SHAPE(3, 1, 264));
    if (oc_case(o, "sum_two_of_four"))
        sum_to(o, HM_SHAPE(6, 5, 7, 40), HM_SHAPE(5, 1, 40));
    if (oc_case(o, "sum_ends_in_parts"))
        sum_to(o, HM_SHAPE(40, 3, 404), HM_SHAPE(3, 1));
    if (oc_case(o, "sum_last_33_1028"))
        sum_to(o, HM_SHAPE(33, 1028), HM_SHAPE(33, 1));
    if (oc_case(o, "sum_last_empty"))
        sum_to(o, HM_SHAPE(5, 0), HM_SHAPE(5, 1));
    if (oc_case(o, "sum_empty"))
        sum_to(o, HM_SHAPE(0, 33), HM_SHAPE(33));
    if (oc_case(o, "sum_refused")) {
        hm_sum_to(o->g, oc_input(o, HM_SHAPE(3, 4), 0, 1), HM_SHAPE(2, 4));
        oc_end_refused(o, "cannot be summed to [2,4]");
    }
    if (oc_case(o, "broadcast_refused")) {
        hm_broadcast(o->g, oc_input(o, HM_SHAPE(3), 0, 1), HM_SHAPE(3, 4));
        oc_end_refused(o, "does not broadcast to [3,4]");
    }
}

static void add_all(oc *o, hm_shape shape, int n) {
    hm_tensor *terms[HM_ADD_MOST + 1];
    for (int i = 0; i < n; i++)
        terms[i] = i == 2 ? terms[0] : oc_input(o, shape, -2, 2);
    oc_output(o, hm_add_all(o->g, terms, n));
    if (n <= HM_ADD_MOST)
        oc_end(o);
    else
        oc_end_refused(o, "cannot add 17 terms");
}

static void add_all_cases(oc *o) {
    if (oc_case(o, "add_3_of_40000"))
        add_all(o, HM_SHAPE(40000), 3);
    if (oc_case(o, "add_5_of_7_33"))
        add_all(o, HM_SHAPE(7, 33), 5);
    if (oc_case(o, "add_16_of_1031"))
        add_all(o, HM_SHAPE(1031), HM_ADD_MOST);
    if (oc_case(o, "add_4_of_nothing"))
        add_all(o, HM_SHAPE(0, 3), 4);
    if (oc_case(o, "add_too_many"))
        add_all(o, HM_SHAPE(3), HM_ADD_MOST + 1);
    if (oc_case(o, "add_refused_shape")) {
        hm_tensor *const x = oc_input(o, HM_SHAPE(3, 4), 0, 1), *const y = oc_input(o, HM_SHAPE(4), 0, 1);
        hm_add_all(o->g, (hm_tensor *[]){x, y, x}, 3);
        oc_end_refused(o, "same shape");
    }
    if (oc_case(o, "many_users")) { /* gradients of 19 users, more than one sum takes */
        hm_tensor *const x = oc_input(o, HM_SHAPE(5, 9), -1, 1);
        hm_tensor *y = hm_mul(o->g, x, oc_constant(o, HM_SHAPE(5, 9), -1, 1));
        for (int i = 0; i < 18; i++)
            y = hm_add(o->g, y, hm_mul(o->g, x, oc_constant(o, HM_SHAPE(5, 9), -1, 1)));
        oc_output(o, y);
        oc_end(o);
    }
}

static void scale_residual(oc *o, hm_shape shape, bool gain_learns, bool branch_learns) {
    const hm_shape channels = HM_SHAPE(shape.dim[shape.rank - 1]);
    hm_tensor *const x = oc_input(o, shape, -2, 2);
    hm_tensor *const y = branch_learns ? oc_input(o, shape, -2, 2) : oc_constant(o, shape, -2, 2);
    hm_tensor *const gain = gain_learns ? oc_input(o, channels, -1, 1) : oc_constant(o, channels, -1, 1);
    oc_output(o, hm_scale_residual(o->g, x, y, gain));
    oc_end(o);
}

void opcheck_elementwise(oc *o) {
    binary_cases(o);
    sum_cases(o);
    add_all_cases(o);
    if (oc_case(o, "scale_1_1"))
        scale_residual(o, HM_SHAPE(1, 1), true, true);
    if (oc_case(o, "scale_2_517_33"))
        scale_residual(o, HM_SHAPE(2, 517, 33), true, true);
    if (oc_case(o, "scale_33_1025"))
        scale_residual(o, HM_SHAPE(33, 1025), true, true);
    if (oc_case(o, "scale_517_384"))
        scale_residual(o, HM_SHAPE(517, 384), true, true);
    if (oc_case(o, "scale_70_12"))
        scale_residual(o, HM_SHAPE(70, 12), true, true);
    if (oc_case(o, "scale_frozen_gain"))
        scale_residual(o, HM_SHAPE(33, 65), false, true);
    if (oc_case(o, "scale_frozen_branch"))
        scale_residual(o, HM_SHAPE(33, 65), true, false);
    if (oc_case(o, "scale_empty"))
        scale_residual(o, HM_SHAPE(0, 8), true, true);
    if (oc_case(o, "scale_refused")) {
        hm_scale_residual(o->g, oc_input(o, HM_SHAPE(2, 4), 0, 1), oc_input(o, HM_SHAPE(2, 4), 0, 1),
                          oc_input(o, HM_SHAPE(2), 0, 1));
        oc_end_refused(o, "one number per channel");
    }
    if (oc_case(o, "scale_refused_terms")) {
        hm_scale_residual(o->g, oc_input(o, HM_SHAPE(2, 4), 0, 1), oc_input(o, HM_SHAPE(4), 0, 1),
                          oc_input(o, HM_SHAPE(4), 0, 1));
        oc_end_refused(o, "same shape");
    }
    if (oc_case(o, "detach")) {
        hm_tensor *const x = oc_input(o, HM_SHAPE(3, 5), -1, 1), *const y = oc_input(o, HM_SHAPE(3, 5), -1, 1);
        oc_output(o, hm_mul(o->g, y, hm_detach(o->g, hm_add(o->g, x, y))));
        oc_difference_step(o, 0); /* the gradient leaves the detached factor's dependence out, on purpose */
        oc_end(o);
    }
}
