/* test.c: linear and matmul. */
#include "ops/linear/linear.h"

#include <stdio.h>

#include "opcheck/opcheck.h"

void opcheck_linear(oc *o);

static void linear_case(oc *o, const char *name, hm_shape x_shape, hm_shape w_shape, bool bias, hm_act act,
                        double range) {
    if (!oc_case(o, name))
        return;
    hm_tensor *const x = oc_input(o, x_shape, -range, range);
    hm_tensor *const w = oc_input(o, w_shape, -1, 1);
    hm_tensor *const b = bias ? oc_input(o, HM_SHAPE(w_shape.dim[0]), -1, 1) : NULL;
    oc_output(o, hm_linear(o->g, x, w, b, act));
    oc_end(o);
}

static void refused(oc *o, const char *name, hm_shape x, hm_shape w, hm_shape b, hm_act act, const char *words) {
    if (!oc_case(o, name))
        return;
    hm_linear(o->g, oc_input(o, x, -1, 1), oc_input(o, w, -1, 1), oc_input(o, b, -1, 1), act);
    oc_end_refused(o, words);
}

/* Only the weight needs a gradient: no other backward node may be asked for. */
static void constant_input(oc *o) {
    if (!oc_case(o, "constant_input"))
        return;
    hm_tensor *const x = oc_constant(o, HM_SHAPE(9, 12), -1, 1);
    oc_output(o, hm_linear(o->g, x, oc_input(o, HM_SHAPE(5, 12), -1, 1), NULL, HM_ACT_GELU));
    oc_end(o);
}

static void no_gradient(oc *o) {
    if (!oc_case(o, "no_gradient"))
        return;
    hm_tensor *const x = oc_constant(o, HM_SHAPE(33, 40), -2, 2), *const w = oc_constant(o, HM_SHAPE(65, 40), -1, 1);
    oc_output(o, hm_linear(o->g, x, w, oc_constant(o, HM_SHAPE(65), -1, 1), HM_ACT_GELU));
    oc_end(o);
}

static void matmul_case(oc *o, const char *name, hm_shape a, hm_shape b, bool ta, bool tb) {
    if (!oc_case(o, name))
        return;
    oc_output(o, hm_matmul(o->g, oc_input(o, a, -1, 1), oc_input(o, b, -1, 1), ta, tb));
    oc_end(o);
}

static void matmul_cases(oc *o) {
    for (int flags = 0; flags < 4; flags++) {
        const bool ta = flags & 1, tb = flags & 2;
        const int64_t m = 33, k = 17, n = 5;
        char name[48];
        snprintf(name, sizeof name, "matmul_%d%d", ta, tb);
        matmul_case(o, name, HM_SHAPE(2, 3, ta ? k : m, ta ? m : k), HM_SHAPE(2, 3, tb ? n : k, tb ? k : n), ta, tb);
        snprintf(name, sizeof name, "matmul_%d%d_shared", ta, tb);
        matmul_case(o, name, HM_SHAPE(2, 3, ta ? k : m, ta ? m : k), HM_SHAPE(tb ? n : k, tb ? k : n), ta, tb);
        snprintf(name, sizeof name, "matmul_%d%d_single", ta, tb);
        matmul_case(o, name, HM_SHAPE(ta ? k : m, ta ? m : k), HM_SHAPE(tb ? n : k, tb ? k : n), ta, tb);
    }
    if (oc_case(o, "matmul_inner_differs")) {
        hm_matmul(o->g, oc_input(o, HM_SHAPE(2, 3), -1, 1), oc_input(o, HM_SHAPE(2, 3), -1, 1), false, false);
        oc_end_refused(o, "inner dimensions");
    }
    if (oc_case(o, "matmul_batch_differs")) {
        hm_matmul(o->g, oc_input(o, HM_SHAPE(2, 3, 4), -1, 1), oc_input(o, HM_SHAPE(3, 4, 3), -1, 1), false, false);
        oc_end_refused(o, "leading dimensions");
    }
}

void opcheck_linear(oc *o) {
    linear_case(o, "one", HM_SHAPE(1, 1), HM_SHAPE(1, 1), true, HM_ACT_NONE, 1);
    linear_case(o, "vector", HM_SHAPE(33), HM_SHAPE(4, 33), true, HM_ACT_NONE, 1);
    linear_case(o, "rows33_k65", HM_SHAPE(3, 11, 65), HM_SHAPE(33, 65), true, HM_ACT_NONE, 1);
    linear_case(o, "deep", HM_SHAPE(9, 801), HM_SHAPE(5, 801), true, HM_ACT_SILU, 0.1);
    linear_case(o, "no_bias", HM_SHAPE(33, 64), HM_SHAPE(91, 64), false, HM_ACT_NONE, 1);
    linear_case(o, "rows1025", HM_SHAPE(1025, 16), HM_SHAPE(4, 16), true, HM_ACT_NONE, 1);
    linear_case(o, "blocks", HM_SHAPE(401, 33), HM_SHAPE(200, 33), true, HM_ACT_GELU, 1);
    linear_case(o, "kernel_1x1", HM_SHAPE(2, 9, 32), HM_SHAPE(16, 32, 1, 1), false, HM_ACT_NONE, 1);
    linear_case(o, "empty", HM_SHAPE(0, 8), HM_SHAPE(4, 8), true, HM_ACT_RELU, 1);
    linear_case(o, "relu", HM_SHAPE(33, 20), HM_SHAPE(40, 20), true, HM_ACT_RELU, 1);
    linear_case(o, "gelu", HM_SHAPE(33, 20), HM_SHAPE(40, 20), true, HM_ACT_GELU, 1);
    linear_case(o, "gelu_large", HM_SHAPE(33, 20), HM_SHAPE(40, 20), true, HM_ACT_GELU, 10);
    linear_case(o, "silu", HM_SHAPE(33, 20), HM_SHAPE(40, 20), true, HM_ACT_SILU, 1);
    linear_case(o, "silu_large_no_bias", HM_SHAPE(33, 20), HM_SHAPE(40, 20), false, HM_ACT_SILU, 30);
    constant_input(o);
    no_gradient(o);
    refused(o, "width_differs", HM_SHAPE(3, 5), HM_SHAPE(4, 6), HM_SHAPE(4), HM_ACT_NONE, "do not fit the weight");
    refused(o, "bias_differs", HM_SHAPE(3, 5), HM_SHAPE(4, 5), HM_SHAPE(5), HM_ACT_NONE, "bias");
    refused(o, "sigmoid", HM_SHAPE(3, 5), HM_SHAPE(4, 5), HM_SHAPE(4), HM_ACT_SIGMOID, "cannot be fused");
    matmul_cases(o);
}
