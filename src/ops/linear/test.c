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

/* Only the bias needs one: no product may be asked for. */
static void frozen_weight(oc *o, const char *name, bool x_wants) {
    if (!oc_case(o, name))
        return;
    hm_tensor *const x = x_wants ? oc_input(o, HM_SHAPE(70, 12), -1, 1) : oc_constant(o, HM_SHAPE(70, 12), -1, 1);
    hm_tensor *const w = oc_constant(o, HM_SHAPE(40, 12), -1, 1), *const b = oc_input(o, HM_SHAPE(40), -1, 1);
    oc_output(o, hm_linear(o->g, x, w, b, HM_ACT_SILU));
    oc_end(o);
}

static void no_gradient(oc *o) {
    if (!oc_case(o, "no_gradient"))
        return;
    hm_tensor *const x = oc_constant(o, HM_SHAPE(33, 40), -2, 2), *const w = oc_constant(o, HM_SHAPE(65, 40), -1, 1);
    oc_output(o, hm_linear(o->g, x, w, oc_constant(o, HM_SHAPE(65), -1, 1), HM_ACT_GELU));
    oc_end(o);
}

/* In half some tensors stay in fp32, as in layers that the precision policy excepts. */
static void mixed(oc *o, const char *name, bool x_full, bool w_full, bool b_full, bool y_full, hm_act act) {
    if (!oc_case(o, name))
        return;
    hm_tensor *const x = oc_input(o, HM_SHAPE(37, 24), -1, 1), *const w = oc_input(o, HM_SHAPE(19, 24), -1, 1);
    hm_tensor *const b = oc_input(o, HM_SHAPE(19), -1, 1);
    hm_tensor *const y = hm_linear(o->g, x, w, b, act);
    hm_tensor *const all[] = {x, w, b, y};
    const bool full[] = {x_full, w_full, b_full, y_full};
    for (int i = 0; i < 4; i++)
        if (full[i])
            oc_full(o, all[i]);
    oc_output(o, y);
    oc_end(o);
}

static void matmul_mixed(oc *o, const char *name, bool a_full, bool b_full) {
    if (!oc_case(o, name))
        return;
    hm_tensor *const a = oc_input(o, HM_SHAPE(3, 9, 17), -1, 1), *const b = oc_input(o, HM_SHAPE(17, 8), -1, 1);
    if (a_full)
        oc_full(o, a);
    if (b_full)
        oc_full(o, b);
    oc_output(o, hm_matmul(o->g, a, b, false, false));
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
    matmul_case(o, "matmul_shared_a", HM_SHAPE(6, 10), HM_SHAPE(3, 10, 7), false, false);
    matmul_case(o, "matmul_shared_a_11", HM_SHAPE(10, 6), HM_SHAPE(3, 7, 10), true, true);
    matmul_case(o, "matmul_empty_batch", HM_SHAPE(0, 4, 5), HM_SHAPE(5, 6), false, false);
    matmul_mixed(o, "matmul_fp32_a", true, false);
    matmul_mixed(o, "matmul_fp32_b", false, true);
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
    linear_case(o, "one_column", HM_SHAPE(700, 6), HM_SHAPE(1, 6), true, HM_ACT_NONE, 1);
    linear_case(o, "columns_in_tiles", HM_SHAPE(97, 4), HM_SHAPE(520, 4), true, HM_ACT_NONE, 1);
    linear_case(o, "columns_odd", HM_SHAPE(97, 4), HM_SHAPE(523, 4), true, HM_ACT_SILU, 1);
    linear_case(o, "rows_in_many_parts", HM_SHAPE(9001, 2), HM_SHAPE(8, 2), true, HM_ACT_NONE, 1);
    linear_case(o, "rows_in_parts_136", HM_SHAPE(1500, 2), HM_SHAPE(136, 2), true, HM_ACT_NONE, 1);
    linear_case(o, "rows_in_parts_100", HM_SHAPE(1501, 2), HM_SHAPE(100, 2), true, HM_ACT_NONE, 1);
    linear_case(o, "large_enough_to_time", HM_SHAPE(256, 200), HM_SHAPE(208, 200), true, HM_ACT_GELU, 0.1);
    linear_case(o, "relu_no_bias", HM_SHAPE(33, 20), HM_SHAPE(41, 20), false, HM_ACT_RELU, 1);
    mixed(o, "fp32_x", true, false, false, false, HM_ACT_NONE);
    mixed(o, "fp32_w", false, true, false, false, HM_ACT_GELU);
    mixed(o, "fp32_bias", false, false, true, false, HM_ACT_NONE);
    mixed(o, "fp32_y", false, false, true, true, HM_ACT_GELU);
    mixed(o, "fp32_all_but_w", true, false, true, true, HM_ACT_SILU);
    constant_input(o);
    frozen_weight(o, "frozen_weight", true);
    frozen_weight(o, "frozen_weight_constant_input", false);
    no_gradient(o);
    refused(o, "width_differs", HM_SHAPE(3, 5), HM_SHAPE(4, 6), HM_SHAPE(4), HM_ACT_NONE, "do not fit the weight");
    refused(o, "bias_differs", HM_SHAPE(3, 5), HM_SHAPE(4, 5), HM_SHAPE(5), HM_ACT_NONE, "bias");
    refused(o, "sigmoid", HM_SHAPE(3, 5), HM_SHAPE(4, 5), HM_SHAPE(4), HM_ACT_SIGMOID, "cannot be fused");
    matmul_cases(o);
}
