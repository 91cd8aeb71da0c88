/* test_precision.c: the precision pass on whole models: what is stored how, the casts, overrides, true modes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "graph/exec.h"
#include "graph/op.h"
#include "train/step.h"

#define OK(expr)                                                                                                       \
    do {                                                                                                               \
        if ((expr) != HM_OK)                                                                                           \
            fail_msg("%s", hm_error_message());                                                                        \
    } while (0)

static hm_status build(hm_step **out, hm_precision p, const char *overrides) {
    hm_model_config c;
    OK(hm_model_config_named("seg-micro", &c));
    const hm_step_options o = {.model = {.batch = 1, .height = 96, .width = 96, .training = true},
                               .targets = 2,
                               .criterion = hm_criterion_defaults(),
                               .optim = hm_optim_defaults(),
                               .precision = p,
                               .precision_override = overrides};
    return hm_step_build(out, &c, &o);
}

static bool is(const hm_node *n, const char *op) {
    return strcmp(n->op->name, op) == 0;
}

/* Every op has exactly one row, so that no op's precision is left to chance. */
static void policy_is_complete(void **state) {
    (void)state;
    for (size_t i = 0; i < hm_ops_count; i++) {
        int rows = 0;
        for (size_t k = 0; k < hm_policies_count; k++)
            rows += hm_policies[k].op == hm_ops[i];
        if (rows != 1)
            fail_msg("op %s has %d rows in the policy", hm_ops[i]->name, rows);
    }
    assert_int_equal(hm_policies_count, hm_ops_count);
}

static void check_node(const hm_node *n, hm_dtype half) {
    const hm_tensor *const out = n->out[0];
    if (is(n, "linear_dw") && hm_dtype_is_half(n->in[0]->dtype))
        assert_int_equal(n->in[1]->dtype, half);
    if (is(n, "attention"))
        assert_true(n->in[0]->dtype == half && out->dtype == half && n->out[1]->dtype == HM_F32);
    if (is(n, "scale_residual") || is(n, "box_reparam") || is(n, "class_loss") || is(n, "match_cost"))
        assert_int_equal(out->dtype, HM_F32);
    if (is(n, "layer_norm"))
        assert_true(n->out[1]->dtype == HM_F32 && n->out[2]->dtype == HM_F32);
    if (out->base != NULL && hm_dtype_is_float(out->dtype))
        assert_int_equal(out->dtype, out->base->dtype);
}

static void check_mode(hm_precision p, hm_dtype half) {
    hm_step *s = NULL;
    int halves = 0, casts = 0;
    OK(build(&s, p, NULL));
    for (size_t k = 0; k < s->graph->n_nodes; k++) {
        const hm_node *const n = s->graph->nodes[k];
        assert_int_equal(n->id, k);
        for (int i = 0; i < n->n_in; i++)
            if (n->in[i] != NULL && n->in[i]->producer != NULL)
                assert_true(n->in[i]->producer->id < n->id); /* still in execution order */
        check_node(n, half);
        halves += is(n, "linear") && n->in[0]->dtype == half && n->in[1]->dtype == half;
        casts += n->op == hm_ops_cast && n->in[0]->storage == HM_PARAM;
    }
    assert_true(halves > 40);
    assert_int_equal(casts > 40, !hm_precision_true(p)); /* half copies of weights: not where they are half */
    for (int i = 0; i < s->n_params; i++) {
        assert_int_equal(s->params[i]->dtype, hm_precision_true(p) ? half : HM_F32);
        if (s->grads[i] != NULL && !hm_precision_true(p))
            assert_int_equal(s->grads[i]->dtype, HM_F32);
    }
    hm_step_free(s);
}

static void modes(void **state) {
    (void)state;
    check_mode(HM_PRECISION_BF16, HM_BF16);
    check_mode(HM_PRECISION_FP16, HM_F16);
    check_mode(HM_PRECISION_BF16_TRUE, HM_BF16);
    check_mode(HM_PRECISION_FP16_TRUE, HM_F16);
}

static void fp32_is_untouched(void **state) {
    (void)state;
    hm_step *s = NULL;
    OK(build(&s, HM_PRECISION_FP32, NULL));
    for (size_t i = 0; i < s->graph->n_tensors; i++)
        assert_false(hm_dtype_is_half(s->graph->tensors[i]->dtype));
    for (size_t k = 0; k < s->graph->n_nodes; k++)
        assert_true(s->graph->nodes[k]->op != hm_ops_cast);
    hm_step_free(s);
}

static void overrides(void **state) {
    (void)state;
    hm_step *s = NULL;
    int found = 0;
    OK(build(&s, HM_PRECISION_FP16, "*layer.0.*fc1=fp32,class_embed/linear=fp32"));
    for (size_t k = 0; k < s->graph->n_nodes; k++) {
        const hm_node *const n = s->graph->nodes[k];
        const bool fc1 = strstr(n->scope, "layer.0.") != NULL && strstr(n->scope, "fc1") != NULL;
        if (!fc1 || n->op == hm_ops_cast)
            continue;
        found++;
        assert_false(hm_dtype_is_half(n->out[0]->dtype));
    }
    assert_true(found >= 4); /* forward, activation, dx, dw */
    hm_step_free(s);
    assert_int_equal(build(&s, HM_PRECISION_FP16, "no.such.layer=fp32"), HM_ERR_ARG);
    assert_non_null(strstr(hm_error_message(), "no.such.layer"));
    assert_int_equal(build(&s, HM_PRECISION_FP16, "*=bf16"), HM_ERR_ARG);
    assert_non_null(strstr(hm_error_message(), "PATTERN=fp32"));
}

static double planned(hm_precision p) {
    hm_step *s = NULL;
    hm_plan plan;
    const hm_exec_options o = hm_exec_defaults();
    OK(build(&s, p, NULL));
    OK(hm_plan_make(&plan, s->graph, &o));
    const double bytes = (double)plan.bytes;
    hm_plan_free(&plan);
    hm_step_free(s);
    return bytes;
}

static void half_needs_less(void **state) {
    (void)state;
    const double full = planned(HM_PRECISION_FP32);
    assert_true(planned(HM_PRECISION_BF16) < 0.85 * full);
    assert_true(planned(HM_PRECISION_FP16) < 0.85 * full);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(policy_is_complete), cmocka_unit_test(modes),           cmocka_unit_test(fp32_is_untouched),
        cmocka_unit_test(overrides),          cmocka_unit_test(half_needs_less),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
