/* test.c: cases of the activations. */
#include <stdio.h>

#include "opcheck/opcheck.h"
#include "ops/activation/activation.h"

static void one(oc *o, hm_tensor *x, hm_act kind) {
    oc_output(o, hm_activation(o->g, x, kind));
    oc_end(o);
}

void opcheck_activation(oc *o) {
    static const char *const names[] = {"none", "relu", "gelu", "silu", "sigmoid"};
    char name[64];
    for (int kind = HM_ACT_RELU; kind <= HM_ACT_SIGMOID; kind++) {
        for (int64_t n = 1; n <= 1025; n = n == 1 ? 33 : n == 33 ? 1025 : n + 1) {
            snprintf(name, sizeof name, "%s_%d", names[kind], (int)n);
            if (oc_case(o, name))
                one(o, oc_input(o, HM_SHAPE(n), -4, 4), (hm_act)kind);
        }
        snprintf(name, sizeof name, "%s_threads", names[kind]);
        if (oc_case(o, name))
            one(o, oc_input(o, HM_SHAPE(9, 1025), -4, 4), (hm_act)kind);
        snprintf(name, sizeof name, "%s_large", names[kind]);
        if (oc_case(o, name))
            one(o, oc_input(o, HM_SHAPE(33), 50, 200), (hm_act)kind);
        snprintf(name, sizeof name, "%s_negative", names[kind]);
        if (oc_case(o, name)) /* as far as the results are normal numbers */
            one(o, oc_input(o, HM_SHAPE(33), -12, -4), (hm_act)kind);
        snprintf(name, sizeof name, "%s_small", names[kind]);
        if (oc_case(o, name)) {
            hm_tensor *const x = oc_constant(o, HM_SHAPE(33), -1e-20, 1e-20);
            one(o, x, (hm_act)kind);
        }
        snprintf(name, sizeof name, "%s_empty", names[kind]);
        if (oc_case(o, name))
            one(o, oc_input(o, HM_SHAPE(0, 3), -1, 1), (hm_act)kind);
    }
    if (oc_case(o, "none"))
        one(o, oc_input(o, HM_SHAPE(3), -1, 1), HM_ACT_NONE);
    if (oc_case(o, "refused_dtype")) {
        hm_activation(o->g, oc_ints_random(o, HM_SHAPE(3), 0, 1), HM_ACT_GELU);
        oc_end_refused(o, "fp32");
    }
    if (oc_case(o, "refused_kind")) {
        hm_activation(o->g, oc_input(o, HM_SHAPE(3), 0, 1), (hm_act)9);
        oc_end_refused(o, "unknown activation 9");
    }
}
