/* test.c: cases of max_last, topk, gather_rows and mask_rows. */
#include <math.h>

#include "opcheck/opcheck.h"
#include "ops/select/select.h"

static void largest(oc *o, hm_tensor *x, int k) {
    oc_output(o, hm_max_last(o->g, x));
    oc_output(o, hm_topk(o->g, x, k));
    oc_end(o);
}

static void largest_cases(oc *o) {
    if (oc_case(o, "largest_33x1025"))
        largest(o, oc_constant(o, HM_SHAPE(3, 11, 1025), -2, 2), 300);
    if (oc_case(o, "largest_in_parts"))
        largest(o, oc_constant(o, HM_SHAPE(1, 9001), -2, 2), 300);
    if (oc_case(o, "largest_many"))
        largest(o, oc_constant(o, HM_SHAPE(1, 4500), -2, 2), 2100);
    if (oc_case(o, "largest_ascending")) {
        double x[4096];
        for (int i = 0; i < 4096; i++)
            x[i] = i / 2 * 0.125;
        largest(o, oc_constant_values(o, HM_SHAPE(1, 4096), x), 100);
    }
    if (oc_case(o, "largest_1"))
        largest(o, oc_constant(o, HM_SHAPE(33, 1), -2, 2), 1);
    if (oc_case(o, "largest_all"))
        largest(o, oc_constant(o, HM_SHAPE(7, 33), -2, 2), 33);
    if (oc_case(o, "largest_none"))
        largest(o, oc_constant(o, HM_SHAPE(7, 33), -2, 2), 0);
    if (oc_case(o, "largest_vector"))
        largest(o, oc_constant(o, HM_SHAPE(33), -2, -1), 5);
    if (oc_case(o, "largest_ties")) {
        static const double x[] = {1, 3, 3, -0.0, 0, 3, 1, -INFINITY, -1, -1, 0, -0.0, INFINITY, INFINITY, 2, 2};
        largest(o, oc_constant_values(o, HM_SHAPE(2, 8), x), 6);
    }
    if (oc_case(o, "largest_nan")) {
        static const double x[] = {1, INFINITY, NAN, 3, NAN, -INFINITY, 0, -1};
        oc_output(o, hm_topk(o->g, oc_constant_values(o, HM_SHAPE(1, 8), x), 8));
        oc_end(o);
    }
    if (oc_case(o, "largest_equal"))
        largest(o, oc_constant(o, HM_SHAPE(3, 65), 1, 1), 17);
    if (oc_case(o, "largest_no_rows"))
        largest(o, oc_constant(o, HM_SHAPE(0, 8), 1, 1), 2);
    if (oc_case(o, "topk_refused")) {
        hm_topk(o->g, oc_constant(o, HM_SHAPE(2, 3), 0, 1), 4);
        oc_end_refused(o, "not 4 entries");
    }
    if (oc_case(o, "max_refused")) {
        hm_max_last(o->g, oc_constant(o, HM_SHAPE(2, 0), 0, 1));
        oc_end_refused(o, "empty");
    }
}

static void gather(oc *o, hm_shape x, int64_t k) {
    const hm_shape index = HM_SHAPE(x.dim[0], k);
    hm_tensor *const i = oc_ints_random(o, index, 0, (int32_t)x.dim[1] - 1);
    oc_output(o, hm_gather_rows(o->g, oc_input(o, x, -1, 1), i));
    oc_end(o);
}

static void row_cases(oc *o) {
    if (oc_case(o, "gather")) /* 300 draws from 33 rows: every row several times */
        gather(o, HM_SHAPE(3, 33, 65), 300);
    if (oc_case(o, "gather_some"))
        gather(o, HM_SHAPE(2, 1025, 33), 33);
    if (oc_case(o, "gather_words"))
        gather(o, HM_SHAPE(2, 50, 260), 70);
    if (oc_case(o, "gather_other_type")) { /* the rows are fp32 in every mode */
        hm_tensor *const x = hm_max_last(o->g, oc_constant(o, HM_SHAPE(2, 9, 12, 3), -1, 1));
        oc_output(o, hm_gather_rows(o->g, x, oc_ints_random(o, HM_SHAPE(2, 5), 0, 8)));
        oc_end(o);
    }
    if (oc_case(o, "gather_one"))
        gather(o, HM_SHAPE(1, 1, 1), 1);
    if (oc_case(o, "gather_none"))
        gather(o, HM_SHAPE(2, 3, 4), 0);
    if (oc_case(o, "gather_refused")) {
        hm_gather_rows(o->g, oc_input(o, HM_SHAPE(2, 3, 4), 0, 1), oc_ints_random(o, HM_SHAPE(3, 2), 0, 1));
        oc_end_refused(o, "[B,N,C] and [B,k]");
    }
    if (oc_case(o, "gather_refused_dtype")) {
        hm_gather_rows(o->g, oc_input(o, HM_SHAPE(2, 3, 4), 0, 1), oc_input(o, HM_SHAPE(2, 2), 0, 1));
        oc_end_refused(o, "i32");
    }
    if (oc_case(o, "mask")) {
        uint8_t keep[2 * 600];
        for (int i = 0; i < 2 * 600; i++)
            keep[i] = (uint8_t)(i % 3 == 0 ? 0 : i % 7);
        oc_output(o, hm_mask_rows(o->g, oc_input(o, HM_SHAPE(2, 600, 33), -1, 1), oc_bytes(o, HM_SHAPE(2, 600), keep)));
        oc_end(o);
    }
    if (oc_case(o, "mask_words")) {
        const uint8_t keep[2 * 5] = {1, 0, 0, 1, 1, 0, 1, 1, 1, 0};
        hm_tensor *const x = oc_input(o, HM_SHAPE(2, 5, 72), -1, 1), *const k = oc_bytes(o, HM_SHAPE(2, 5), keep);
        hm_tensor *const full = hm_max_last(o->g, oc_constant(o, HM_SHAPE(2, 5, 8, 2), -1, 1));
        oc_output(o, hm_mask_rows(o->g, x, k));
        oc_output(o, hm_mask_rows(o->g, full, k)); /* fp32 in every mode */
        oc_end(o);
    }
    if (oc_case(o, "mask_drops_nan")) {
        static const double x[] = {NAN, NAN, 1, 2};
        oc_output(o, hm_mask_rows(o->g, oc_constant_values(o, HM_SHAPE(1, 2, 2), x),
                                  oc_bytes(o, HM_SHAPE(1, 2), (const uint8_t[]){0, 1})));
        oc_end(o);
    }
    if (oc_case(o, "mask_refused")) {
        hm_mask_rows(o->g, oc_input(o, HM_SHAPE(1, 2, 2), 0, 1), oc_bytes(o, HM_SHAPE(2), (const uint8_t[]){0, 1}));
        oc_end_refused(o, "[B,N,C] and [B,N]");
    }
}

void opcheck_select(oc *o) {
    largest_cases(o);
    row_cases(o);
}
