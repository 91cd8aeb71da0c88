/* test.c: mask_logits. */
#include "ops/mask_logits/mask_logits.h"

#include "opcheck/opcheck.h"

void opcheck_mask_logits(oc *o);

static void logits(oc *o, const char *name, int64_t b, int64_t hw, int64_t q, int64_t c, bool bias_gradient) {
    if (!oc_case(o, name))
        return;
    hm_tensor *const s = oc_input(o, HM_SHAPE(b, hw, c), -1, 1), *const f = oc_input(o, HM_SHAPE(b, q, c), -1, 1);
    hm_tensor *const bias = bias_gradient ? oc_input(o, HM_SHAPE(1), -1, 1) : oc_constant(o, HM_SHAPE(1), -1, 1);
    oc_output(o, hm_mask_logits(o->g, s, f, bias));
    oc_end(o);
}

/* In half the queries and the bias stay in fp32. */
static void mixed(oc *o) {
    if (!oc_case(o, "fp32_query"))
        return;
    hm_tensor *const s = oc_input(o, HM_SHAPE(2, 20, 8), -1, 1);
    hm_tensor *const f = oc_full(o, oc_input(o, HM_SHAPE(2, 5, 8), -1, 1));
    oc_output(o, hm_mask_logits(o->g, s, f, oc_full(o, oc_constant(o, HM_SHAPE(1), -1, 1))));
    oc_end(o);
}

static void refused(oc *o, const char *name, hm_shape s, hm_shape q, hm_shape bias, const char *words) {
    if (!oc_case(o, name))
        return;
    hm_mask_logits(o->g, oc_input(o, s, -1, 1), oc_input(o, q, -1, 1), oc_input(o, bias, -1, 1));
    oc_end_refused(o, words);
}

void opcheck_mask_logits(oc *o) {
    logits(o, "one", 1, 1, 1, 1, true);
    logits(o, "constant_bias", 2, 35, 5, 33, false);
    logits(o, "maps", 3, 33, 7, 16, true);
    logits(o, "blocks", 2, 1025, 33, 8, true);
    logits(o, "no_queries", 2, 9, 0, 8, false);
    mixed(o);
    refused(o, "channels_differ", HM_SHAPE(1, 4, 3), HM_SHAPE(1, 2, 4), HM_SHAPE(1), "batch or channels");
    refused(o, "bias", HM_SHAPE(1, 4, 3), HM_SHAPE(1, 2, 3), HM_SHAPE(2), "one number");
}
