/* test_precision.c: the precision pass on whole models: what is stored how, the casts, overrides, true modes; and what
 * is made again instead of being kept. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ok.h"

#include "base/rng.h"
#include "graph/exec.h"
#include "graph/op.h"
#include "graph/trace.h"
#include "ops/layer_norm/layer_norm.h"
#include "ops/linear/linear.h"
#include "ops/shape/shape.h"
#include "train/step.h"

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
    if (is(n, "linear") && n->in[2] != NULL) /* as what it is added to is stored */
        assert_int_equal(n->in[2]->dtype, n->out[n->n_out - 1]->dtype);
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
        for (int i = 0; n->op == hm_ops_cast && i < n->n_in; i++)
            casts += n->in[i]->storage == HM_PARAM && n->in[i]->shape.rank > 1;
    }
    assert_true(halves > 40);
    assert_int_equal(casts > 40, !hm_precision_true(p)); /* half copies of weights: not where they are half */
    for (int i = 0; i < s->n_params; i++) {
        if (s->params[i]->shape.rank == 1 || !hm_precision_true(p)) /* gains, biases, scales */
            assert_int_equal(s->params[i]->dtype, HM_F32);
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

/* Bytes of a step of seg-nano with four images: what is stored, and the arena. */
static double planned(hm_precision p) {
    hm_step *s = NULL;
    hm_plan plan;
    hm_model_config c;
    const hm_exec_options exec = hm_exec_defaults();
    OK(hm_model_config_named("seg-nano", &c));
    const hm_step_options o = {.model = {.batch = 4, .height = c.resolution, .width = c.resolution, .training = true},
                               .targets = 100,
                               .criterion = hm_criterion_defaults(),
                               .optim = hm_optim_defaults(),
                               .precision = p,
                               .accumulate = true};
    OK(hm_step_build(&s, &c, &o));
    OK(hm_plan_make(&plan, s->graph, &exec));
    double bytes = (double)plan.bytes;
    hm_plan_free(&plan);
    for (size_t i = 0; i < s->graph->n_tensors + s->update->n_tensors; i++) {
        const bool first = i < s->graph->n_tensors;
        const hm_tensor *const t = first ? s->graph->tensors[i] : s->update->tensors[i - s->graph->n_tensors];
        const bool shared = !first && (t->storage == HM_PARAM || strncmp(t->name, "grad.", 5) == 0);
        if (t->base == NULL && !shared && (t->storage == HM_PARAM || t->storage == HM_STATE))
            bytes += (double)hm_count(t) * (double)hm_dtype_size(t->dtype);
    }
    hm_step_free(s);
    return bytes;
}

/* The project's promise for mixed precision. */
static void half_needs_less(void **state) {
    (void)state;
    const double full = planned(HM_PRECISION_FP32);
    assert_true(planned(HM_PRECISION_BF16) <= 0.66 * full);
    assert_true(planned(HM_PRECISION_FP16) <= 0.66 * full);
    assert_true(planned(HM_PRECISION_TF32) == full); /* stores what fp32 stores */
}

/* x -> norm -> GELU(linear) -> norm -> linear, with all that needs a gradient. */
static void build_chain(hm_graph *g) {
    hm_tensor *const gain = hm_graph_param(g, "gain", HM_SHAPE(40)), *const bias =
                                                                         hm_graph_param(g, "bias", HM_SHAPE(40));
    hm_tensor *x = hm_graph_param(g, "x", HM_SHAPE(3, 11, 40));
    x = hm_layer_norm(g, x, gain, bias, 1e-6f);
    x = hm_reshape(g, x, HM_SHAPE(33, 40));
    x = hm_linear(g, x, hm_graph_param(g, "w1", HM_SHAPE(40, 40)), bias, HM_ACT_GELU);
    x = hm_layer_norm(g, x, gain, bias, 1e-6f);
    x = hm_layer_norm(g, x, gain, bias, 1e-6f);
    x = hm_linear(g, x, hm_graph_param(g, "w2", HM_SHAPE(5, 40)), NULL, HM_ACT_NONE);
    hm_tensor *const seed = hm_graph_input(g, "seed", HM_F32, HM_SHAPE(33, 5));
    OK(hm_graph_backward(g, &x, &seed, 1));
    OK(hm_graph_make_again(g));
}

static void fill(hm_store *store) {
    const uint64_t key = hm_rng_key(1, "chain");
    for (size_t i = 0, at = 0; i < hm_store_count(store); i++) {
        const char *name;
        hm_shape shape;
        hm_storage kind;
        float *const to = hm_store_at(store, i, &name, &shape, &kind);
        for (int64_t k = 0; k < hm_shape_count(shape); k++)
            to[k] = hm_rng_uniform(key, at++) - 0.3f;
    }
}

/* What the backward pass makes again has the type and the bits of what the forward pass made, and nothing of that is
 * read in the backward pass. */
static void check_again(hm_precision p, hm_isa isa) {
    hm_graph *g = NULL;
    hm_store *store = NULL;
    hm_exec *e = NULL;
    int found = 0;
    OK(hm_graph_create(&g));
    build_chain(g);
    OK(hm_graph_precision(g, p, NULL));
    OK(hm_store_create(&store));
    OK(hm_store_add(store, g));
    fill(store);
    OK(hm_exec_create(&e, g, store, &(hm_exec_options){.guard = true, .isa = isa, .threads = 1}));
    OK(hm_exec_run(e, 1, 0));
    for (size_t i = 0; i < g->n_tensors; i++) {
        const hm_tensor *const t = g->tensors[i], *const first = t->again_of;
        if (first == NULL)
            continue;
        found++;
        assert_int_equal(t->dtype, first->dtype);
        assert_memory_equal(hm_exec_data(e, t), hm_exec_data(e, first), (size_t)hm_count(t) * hm_dtype_size(t->dtype));
        for (size_t k = 0; k < g->n_nodes; k++)
            for (int j = 0; j < g->nodes[k]->n_in && g->nodes[k]->backward; j++)
                assert_ptr_not_equal(g->nodes[k]->in[j], first);
    }
    assert_int_equal(found, 5); /* three norms, a view of one of them, an activation */
    hm_exec_free(e);
    hm_store_free(store);
    hm_graph_free(g);
}

static void made_again_is_the_same(void **state) {
    (void)state;
    for (int isa = 0; isa <= (int)hm_isa_best(); isa++) {
        check_again(HM_PRECISION_FP32, (hm_isa)isa);
        check_again(HM_PRECISION_BF16, (hm_isa)isa);
        check_again(HM_PRECISION_FP16, (hm_isa)isa);
    }
}

/* A kernel that rounds as it stores hides what became zero; an audit counts it all the same. */
static void look_for_lost(void *user, hm_exec *e, const hm_node *n) {
    if (is(n, "linear_dx") && hm_dtype_is_half(n->out[0]->dtype))
        *(hm_magnitudes *)user = hm_magnitudes_made(e, n, 0);
}

static void audit_sees_what_rounding_lost(void **state) {
    (void)state;
    hm_graph *g = NULL;
    hm_store *store = NULL;
    hm_exec *e = NULL;
    hm_magnitudes m = {0};
    OK(hm_graph_create(&g));
    hm_tensor *x = hm_graph_param(g, "x", HM_SHAPE(3, 8)), *const w = hm_graph_param(g, "w", HM_SHAPE(4, 8));
    hm_tensor *const seed = hm_graph_input(g, "seed", HM_F32, HM_SHAPE(3, 4));
    x = hm_linear(g, hm_linear(g, x, hm_graph_param(g, "v", HM_SHAPE(8, 8)), NULL, HM_ACT_NONE), w, NULL, HM_ACT_NONE);
    OK(hm_graph_backward(g, &x, &seed, 1));
    OK(hm_graph_precision(g, HM_PRECISION_FP16, NULL));
    OK(hm_store_create(&store));
    OK(hm_store_add(store, g));
    for (int i = 0; i < 32; i++)
        hm_store_find(store, "w", NULL)[i] = 1e-4f;
    const hm_exec_options o = hm_exec_defaults();
    OK(hm_exec_create(&e, g, store, &o));
    for (int i = 0; i < 12; i++)
        ((float *)hm_exec_data(e, seed))[i] = 2e-5f; /* dx is 4 * 2e-9: zero in fp16 */
    hm_exec_set_hook(e, look_for_lost, &m);
    OK(hm_exec_run(e, 1, 0));
    assert_int_equal(m.count, 24);
    assert_int_equal(m.below, 24);
    assert_int_equal(m.zero, 0);
    hm_exec_free(e);
    hm_store_free(store);
    hm_graph_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(policy_is_complete),
        cmocka_unit_test(modes),
        cmocka_unit_test(fp32_is_untouched),
        cmocka_unit_test(overrides),
        cmocka_unit_test(half_needs_less),
        cmocka_unit_test(made_again_is_the_same),
        cmocka_unit_test(audit_sees_what_rounding_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
