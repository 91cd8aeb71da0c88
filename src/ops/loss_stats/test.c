/* test.c: opcheck cases of loss_stats. */
#include "opcheck/opcheck.h"

#include <math.h>

#include "ops/loss_stats/loss_stats.h"

/* match [B, GQ], labels [B, T] */
static void stats(oc *o, hm_tensor *logits, const int32_t *match, int64_t T, const int32_t *labels,
                  const int32_t *counts) {
    const int64_t B = hm_dim(logits, 0), GQ = hm_dim(logits, 1);
    hm_tensor *class_error, *cardinality_error;
    const hm_prediction p = {.logits = logits};
    const hm_targets t = {.counts = oc_ints(o, HM_SHAPE(B), counts), .labels = oc_ints(o, HM_SHAPE(B, T), labels)};
    hm_loss_stats(o->g, &p, &t, oc_ints(o, HM_SHAPE(B, GQ), match), &class_error, &cardinality_error);
    oc_output(o, class_error);
    oc_output(o, cardinality_error);
    oc_end(o);
}

void opcheck_loss_stats(oc *o) {
    if (oc_case(o, "k91")) {
        const int32_t match[] = {-1, 2, 0, -1, 1, -1, -1, -1, -1, 0, -1, -1, -1, -1};
        const int32_t labels[] = {90, 0, 5, 7, 0, 0};
        stats(o, oc_constant(o, HM_SHAPE(2, 7, 91), -1.2, 0.01), match, 3, labels, (int32_t[]){3, 1});
    }
    if (oc_case(o, "ties_take_the_first")) {
        const double logits[] = {1, 1, 1, -1, 0, 0, -2, -2, -2};
        const int32_t match[] = {0, 1, 2}, labels[] = {0, 1, 2};
        stats(o, oc_constant_values(o, HM_SHAPE(1, 3, 3), logits), match, 3, labels, (int32_t[]){3});
    }
    if (oc_case(o, "all_right")) {
        const double logits[] = {3, -1, 2, -1, -4, 4, 0.5, 0.25};
        const int32_t match[] = {-1, 1, 0, -1}, labels[] = {1, 0};
        stats(o, oc_constant_values(o, HM_SHAPE(1, 4, 2), logits), match, 2, labels, (int32_t[]){2});
    }
    if (oc_case(o, "no_pairs")) {
        const int32_t match[] = {-1, -1, -1, -1}, labels[] = {0, 0};
        stats(o, oc_constant(o, HM_SHAPE(2, 2, 1), -1, 1), match, 1, labels, (int32_t[]){0, 0});
    }
    if (oc_case(o, "one_image_has_nan")) {
        const double logits[] = {3, -1, NAN, 9, 9, NAN};
        const int32_t match[] = {0, 1, 2}, labels[] = {0, 1, 0};
        stats(o, oc_constant_values(o, HM_SHAPE(1, 3, 2), logits), match, 3, labels, (int32_t[]){3});
    }
    if (oc_case(o, "queries325")) {
        enum { B = 3, GQ = 325, T = 9 };
        static int32_t match[B * GQ], labels[B * T];
        const int32_t counts[B] = {T, 0, 4};
        for (int i = 0; i < B * GQ; i++)
            match[i] = i % 7 == 0 && counts[i / GQ] > 0 ? i % counts[i / GQ] : -1;
        for (int i = 0; i < B * T; i++)
            labels[i] = i % 5;
        stats(o, oc_constant(o, HM_SHAPE(B, GQ, 5), -1, 0.3), match, T, labels, counts);
    }
    if (oc_case(o, "match_per_query")) {
        const hm_prediction p = {.logits = oc_constant(o, HM_SHAPE(1, 4, 3), -1, 1)};
        const hm_targets t = {.counts = oc_ints(o, HM_SHAPE(1), (int32_t[]){1}),
                              .labels = oc_ints(o, HM_SHAPE(1, 1), (int32_t[]){1})};
        hm_tensor *a, *b;
        hm_loss_stats(o->g, &p, &t, oc_ints(o, HM_SHAPE(1, 3), (int32_t[]){0, -1, -1}), &a, &b);
        oc_end_refused(o, "match must be");
    }
}
