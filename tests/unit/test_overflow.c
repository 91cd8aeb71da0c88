/* test_overflow.c: numbers that are not finite, at many places of a training step in fp16: the operation is named, no
 * weight is touched, the loss scale falls and the next step goes on. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "ok.h"

#include "graph/op.h"
#include "graph/trace.h"
#include "train/step.h"

typedef struct bench {
    hm_step *step;
    hm_store *store;
    hm_exec *e;
} bench;

static void fill_batch(const bench *b) {
    float *const images = hm_exec_data(b->e, b->step->model->images);
    for (int64_t i = 0; i < hm_count(b->step->model->images); i++)
        images[i] = sinf(0.37f * (float)i);
    const hm_targets *const t = &b->step->criterion.targets;
    *(int32_t *)hm_exec_data(b->e, t->counts) = 1;
    *(int32_t *)hm_exec_data(b->e, t->labels) = 0;
    memcpy(hm_exec_data(b->e, t->boxes), (const float[]){0.5f, 0.5f, 0.4f, 0.3f}, 16);
    memset(hm_exec_data(b->e, t->masks), 0x3C, (size_t)hm_count(t->masks));
    *(float *)hm_exec_data(b->e, b->step->seed) = 1;
}

static bench start(void) {
    bench b = {0};
    hm_model_config c;
    OK(hm_model_config_named("seg-micro", &c));
    hm_step_options o = {.model = {.batch = 1, .height = 96, .width = 96, .training = true},
                         .targets = 1,
                         .criterion = hm_criterion_defaults(),
                         .optim = hm_optim_defaults(),
                         .precision = HM_PRECISION_FP16};
    o.optim.loss_scale = hm_loss_scale_defaults();
    o.optim.loss_scale.initial = 64;
    OK(hm_step_build(&b.step, &c, &o));
    OK(hm_store_create(&b.store));
    OK(hm_store_add(b.store, b.step->graph));
    OK(hm_model_init(&c, b.store, 1));
    const hm_exec_options eo = hm_exec_defaults();
    OK(hm_exec_create(&b.e, b.step->graph, b.store, &eo));
    fill_batch(&b);
    return b;
}

static void stop(bench *b) {
    hm_exec_free(b->e);
    hm_store_free(b->store);
    hm_step_free(b->step);
}

/* Every parameter, moment and average. */
static uint64_t digest(const bench *b) {
    uint64_t h = 0xCBF29CE484222325ull;
    for (size_t i = 0; i < hm_store_count(b->store); i++) {
        const char *name;
        hm_shape shape;
        hm_storage kind;
        const float *const x = hm_store_at(b->store, i, &name, &shape, &kind);
        if (strcmp(name, HM_STATE_SCALE) == 0 || strcmp(name, HM_STATE_PROGRESS) == 0)
            continue;
        for (int64_t k = 0; k < hm_shape_count(shape); k++) {
            uint32_t u;
            memcpy(&u, &x[k], sizeof u);
            h = (h ^ u) * 0x100000001B3ull;
        }
    }
    return h;
}

static float state(const bench *b, const char *name, int i) {
    return hm_store_find(b->store, name, NULL)[i];
}

/* The step overflows, touches nothing, halves the scale; returns what a trace of it says. */
static hm_first_bad bad_step(bench *b) {
    const uint64_t before = digest(b);
    const float scale = state(b, HM_STATE_SCALE, 0), skipped = state(b, HM_STATE_PROGRESS, 1);
    hm_first_bad f;
    OK(hm_exec_run(b->e, 1, 5));
    assert_true(*(const float *)hm_exec_data(b->e, b->step->overflow) == 1);
    assert_true(digest(b) == before);
    assert_true(state(b, HM_STATE_SCALE, 0) == scale / 2);
    assert_true(state(b, HM_STATE_PROGRESS, 1) == skipped + 1);
    OK(hm_trace(b->e, 0, 1, 5, &f));
    assert_true(digest(b) == before && state(b, HM_STATE_SCALE, 0) == scale / 2);
    assert_non_null(f.node);
    return f;
}

static void good_step(bench *b) {
    const uint64_t before = digest(b);
    const float made = state(b, HM_STATE_PROGRESS, 0);
    OK(hm_exec_run(b->e, 1, 6));
    assert_true(*(const float *)hm_exec_data(b->e, b->step->overflow) == 0);
    assert_true(digest(b) != before && state(b, HM_STATE_PROGRESS, 0) == made + 1);
}

/* --- a poisoned result */

typedef struct poison {
    const hm_node *node;
    float value;
} poison;

static void inject(void *user, hm_exec *e, const hm_node *n) {
    const poison *const p = user;
    if (n == p->node)
        hm_float_put(n->out[0]->dtype, hm_exec_data(e, n->out[0]), (size_t)hm_count(n->out[0]) / 2, p->value);
}

/* The middle one of the nodes of this op. */
static const hm_node *middle(const hm_graph *g, const char *op) {
    const hm_node *found[1024];
    size_t n = 0;
    for (size_t k = 0; k < g->n_nodes && n < 1024; k++)
        if (strcmp(g->nodes[k]->op->name, op) == 0)
            found[n++] = g->nodes[k];
    return n > 0 ? found[n / 2] : NULL;
}

static void poisoned_results(void **unused) {
    (void)unused;
    static const char *const ops[] = {"linear",         "attention",       "layer_norm",         "conv2d",
                                      "deform_attn",    "scale_residual",  "linear_dx",          "linear_dw",
                                      "attention_back", "layer_norm_back", "deform_attn_back",   "class_loss_back",
                                      "mask_loss_back", "linear_act_back", "scale_residual_back"};
    bench b = start();
    good_step(&b);
    for (size_t i = 0; i < sizeof ops / sizeof ops[0]; i++) {
        poison p = {.node = middle(b.step->graph, ops[i]), .value = i % 2 ? NAN : INFINITY};
        assert_non_null(p.node);
        hm_store_find(b.store, HM_STATE_SCALE, NULL)[0] = 64;
        hm_exec_set_hook(b.e, inject, &p);
        const hm_first_bad f = bad_step(&b);
        if (f.node != p.node)
            fail_msg("%s in %s was poisoned, but %s in %s is named", ops[i], p.node->scope, f.node->op->name,
                     f.node->scope);
        assert_int_equal(f.made.not_finite, 1);
        hm_exec_set_hook(b.e, NULL, NULL);
        good_step(&b);
    }
    stop(&b);
}

/* --- a weight that is much too large */

static bool comes_from(const hm_tensor *t, const hm_tensor *param) {
    const hm_node *const n = t->producer;
    for (int i = 0; n != NULL && n->op == hm_ops_cast && i < n->n_in; i++)
        if (n->in[i] == param && n->out[i] == t)
            return true;
    return t == param;
}

static bool all_zero(const bench *b, const hm_tensor *param) {
    const float *const w = hm_store_find(b->store, param->name, NULL);
    for (int64_t i = 0; i < hm_count(param); i++)
        if (w[i] != 0)
            return false;
    return true;
}

/* The layer that multiplies by this parameter in half, or NULL. */
static const hm_node *layer_of(const hm_graph *g, const hm_tensor *param) {
    for (size_t k = 0; k < g->n_nodes; k++) {
        const hm_node *const n = g->nodes[k];
        if (strcmp(n->op->name, "linear") == 0 && n->in[1]->dtype == HM_F16 && comes_from(n->in[1], param))
            return n;
    }
    return NULL;
}

static void scale_by(bench *b, const hm_tensor *param, float by) {
    float *const w = hm_store_find(b->store, param->name, NULL);
    for (int64_t i = 0; i < hm_count(param); i++)
        w[i] *= by;
}

static void weights_too_large(void **unused) {
    (void)unused;
    bench b = start();
    int tried = 0;
    for (int i = 0; i < b.step->n_params && tried < 10; i++) {
        const hm_tensor *const param = b.step->params[i];
        const hm_node *const layer = layer_of(b.step->graph, param);
        if (layer == NULL || all_zero(&b, param) || i % 3 != 0)
            continue;
        tried++;
        hm_store_find(b.store, HM_STATE_SCALE, NULL)[0] = 64;
        scale_by(&b, param, 0x1p20f);
        const hm_first_bad f = bad_step(&b);
        const bool copied = f.node->op == hm_ops_cast && comes_from(f.tensor, param);
        if (strcmp(f.node->scope, layer->scope) != 0 && !copied)
            fail_msg("%s was made too large, but %s in %s is named", param->name, f.node->op->name, f.node->scope);
        if (copied)
            assert_non_null(strstr(f.tensor->name, param->name));
        assert_true(!f.node->backward && f.made.not_finite > 0);
        scale_by(&b, param, 0x1p-20f);
        good_step(&b);
    }
    assert_int_equal(tried, 10);
    stop(&b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(poisoned_results),
        cmocka_unit_test(weights_too_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
