/* test.c: attention. */
#include "ops/attention/attention.h"

#include "opcheck/opcheck.h"

void opcheck_attention(oc *o);

static void attend(oc *o, const char *name, int64_t b, int64_t nq, int64_t nk, int64_t c, int heads, double range) {
    if (!oc_case(o, name))
        return;
    hm_tensor *const q = oc_input(o, HM_SHAPE(b, nq, c), -range, range);
    hm_tensor *const k = oc_input(o, HM_SHAPE(b, nk, c), -range, range);
    hm_tensor *const v = oc_input(o, HM_SHAPE(b, nk, c), -1, 1);
    oc_output(o, hm_attention(o->g, q, k, v, heads));
    oc_end(o);
}

static void refused(oc *o, const char *name, hm_shape q, hm_shape k, hm_shape v, int heads, const char *words) {
    if (!oc_case(o, name))
        return;
    hm_attention(o->g, oc_input(o, q, -1, 1), oc_input(o, k, -1, 1), oc_input(o, v, -1, 1), heads);
    oc_end_refused(o, words);
}

void opcheck_attention(oc *o) {
    attend(o, "one", 1, 1, 1, 1, 1, 1);
    attend(o, "n33_heads3", 2, 33, 33, 24, 3, 1);
    attend(o, "group_of_queries", 3, 100, 100, 64, 2, 1);
    attend(o, "odd_channels", 2, 7, 19, 15, 3, 1);
    attend(o, "other_keys", 2, 17, 65, 32, 2, 1);
    if (oc_case(o, "one_key")) { /* its weight is 1: queries and keys would have gradient 0, with no relative error */
        hm_tensor *const q = oc_constant(o, HM_SHAPE(1, 9, 16), -1, 1), *const k =
                                                                            oc_constant(o, HM_SHAPE(1, 1, 16), -1, 1);
        oc_output(o, hm_attention(o->g, q, k, oc_input(o, HM_SHAPE(1, 1, 16), -1, 1), 1));
        oc_end(o);
    }
    attend(o, "no_queries", 1, 0, 5, 16, 1, 1);
    attend(o, "blocks", 1, 301, 801, 32, 2, 1);
    if (oc_case(o, "peaked")) { /* scores far apart: the running maximum must move */
        hm_tensor *const q = oc_input(o, HM_SHAPE(1, 40, 16), -8, 8), *const k =
                                                                          oc_input(o, HM_SHAPE(1, 900, 16), -8, 8);
        oc_tolerance(o, 1e-4, 1e-4); /* scores near 200 carry an error of 1e-5 into the exponent */
        oc_difference_step(o, 1e-6);
        oc_output(o, hm_attention(o->g, q, k, oc_input(o, HM_SHAPE(1, 900, 16), -1, 1), 1));
        oc_half(o, 8); /* the gradient is what rounded products leave of each other */
        oc_end(o);
    }
    /* the GPU's tiles: 64 or 128 rows, head sizes up to 64 at once, of 16, 32 and 64 on tensor cores */
    attend(o, "d64_n65", 1, 65, 65, 128, 2, 1);
    attend(o, "d64_n130", 1, 130, 130, 64, 1, 1);
    attend(o, "d64_n257_keys63", 1, 257, 63, 64, 1, 1);
    attend(o, "d64_keys129", 1, 31, 129, 64, 1, 1);
    attend(o, "d32_n129_keys193", 2, 129, 193, 32, 1, 1);
    attend(o, "d16_n70", 2, 70, 70, 48, 3, 1);
    attend(o, "d33", 1, 67, 70, 66, 2, 1);
    attend(o, "d68", 1, 66, 70, 68, 1, 1);
    attend(o, "d130", 1, 10, 65, 130, 1, 1);
    attend(o, "d64_no_queries", 1, 0, 70, 64, 1, 1);
    refused(o, "channels_differ", HM_SHAPE(1, 4, 8), HM_SHAPE(1, 4, 6), HM_SHAPE(1, 4, 6), 2, "batch or channels");
    refused(o, "values_differ", HM_SHAPE(1, 4, 8), HM_SHAPE(1, 4, 8), HM_SHAPE(1, 5, 8), 2, "same shape");
    refused(o, "heads", HM_SHAPE(1, 4, 8), HM_SHAPE(1, 4, 8), HM_SHAPE(1, 4, 8), 3, "do not divide");
    refused(o, "no_keys", HM_SHAPE(1, 4, 8), HM_SHAPE(1, 0, 8), HM_SHAPE(1, 0, 8), 2, "no keys");
}
