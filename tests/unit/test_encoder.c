/* test_encoder.c: the encoder frozen, and with paths dropped: what is differentiated, updated and drawn. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "model_fill.h"
#include "small_run.h"

#include "model/drop_path.h"
#include "weights/weights.h"

#define ENCODER "backbone.0.encoder."

static int make_data(void **state) {
    (void)state;
    return small_data("encoder", 4, 2);
}

static bool of_encoder(const char *name) {
    return strncmp(name, ENCODER, strlen(ENCODER)) == 0;
}

/* ---- frozen */

static hm_step *make_step(bool freeze, bool accumulate) {
    hm_model_config c;
    hm_step *s;
    OK(hm_model_config_named("seg-micro", &c));
    const hm_step_options o = {
        .model = {.batch = 1, .height = 96, .width = 96, .training = true, .freeze_encoder = freeze},
        .targets = 3,
        .criterion = hm_criterion_defaults(),
        .optim = hm_optim_defaults(),
        .accumulate = accumulate};
    OK(hm_step_build(&s, &c, &o));
    return s;
}

static int backward_nodes(const hm_graph *g, const char *scope) {
    int n = 0;
    for (size_t i = 0; i < g->n_nodes; i++)
        n += g->nodes[i]->backward && strncmp(g->nodes[i]->scope, scope, strlen(scope)) == 0;
    return n;
}

static bool has_state_of_encoder(const hm_graph *g, const char *prefix) {
    bool has = false;
    for (size_t i = 0; i < g->n_tensors; i++)
        has |= strncmp(g->tensors[i]->name, prefix, strlen(prefix)) == 0 &&
               of_encoder(g->tensors[i]->name + strlen(prefix));
    return has;
}

/* No node of the encoder's backward pass, no gradient, no moments, no sums; all of it for the rest. */
static void frozen_has_no_backward(void **state) {
    (void)state;
    for (int accumulate = 0; accumulate < 2; accumulate++) {
        hm_step *const whole = make_step(false, accumulate), *const frozen = make_step(true, accumulate);
        const hm_graph *const update = accumulate ? frozen->update : frozen->graph;
        assert_true(backward_nodes(whole->graph, "backbone.") > 50);
        assert_true(backward_nodes(whole->graph, ENCODER) > 10); /* linear layers and norms have scopes of their own */
        assert_int_equal(backward_nodes(frozen->graph, "backbone.layer"), 0);
        assert_int_equal(backward_nodes(frozen->graph, "backbone.embeddings"), 0);
        assert_int_equal(backward_nodes(frozen->graph, ENCODER), 0);
        assert_int_equal(backward_nodes(frozen->graph, "heads."), backward_nodes(whole->graph, "heads."));
        for (int i = 0; i < frozen->n_params; i++)
            assert_int_equal(frozen->grads[i] == NULL, whole->grads[i] == NULL || of_encoder(frozen->params[i]->name));
        assert_false(has_state_of_encoder(update, "exp_avg."));
        assert_false(has_state_of_encoder(update, "exp_avg_sq."));
        assert_false(has_state_of_encoder(update, HM_STATE_SUM));
        assert_true(has_state_of_encoder(update, "ema."));
        hm_step_free(whole);
        hm_step_free(frozen);
    }
}

static hm_store *weights_of(const char *name) {
    char path[128];
    hm_weights *w;
    hm_store *s;
    snprintf(path, sizeof path, "%s/%s", output_dir, name);
    OK(hm_weights_open(&w, path));
    OK(hm_weights_store(&s, hm_weights_config(w)));
    OK(hm_weights_load(w, s));
    hm_weights_close(w);
    return s;
}

/* A run leaves the encoder's bits, in every kind of weights, and moves all else that has a gradient. */
static void frozen_stays(void **state) {
    (void)state;
    static const hm_precision modes[] = {HM_PRECISION_FP32, HM_PRECISION_BF16, HM_PRECISION_BF16_TRUE};
    for (int m = 0; m < 3; m++) {
        hm_train_options o = small_options(HM_DEVICE_CHOICE_CPU, modes[m]);
        o.epochs = 1;
        o.batch_size = o.grad_accum_steps = 1;
        o.freeze_encoder = true;
        o.resolution = 48;
        o.multi_scale = o.use_ema = o.run_test = false;
        OK(hm_train(&o, NULL, NULL));
        hm_store *const after = weights_of("last.pth");
        hm_store *before = NULL;
        hm_model_config c;
        OK(hm_model_config_named("seg-micro", &c));
        c.resolution = 48;
        OK(hm_weights_store(&before, &c));
        OK(hm_model_init(&c, before, (uint64_t)o.seed));
        size_t moved = 0;
        for (size_t i = 0; i < hm_store_count(after); i++) {
            const char *name;
            hm_shape shape;
            hm_storage kind;
            const float *const now = hm_store_at(after, i, &name, &shape, &kind);
            const float *const then = hm_store_find(before, name, NULL);
            bool same = true;
            for (int64_t k = 0; k < hm_shape_count(shape); k++)
                same &= now[k] == then[k] || (m == 2 && fabsf(now[k] - then[k]) <= fabsf(then[k]) * 0x1p-8f);
            if (of_encoder(name) && !same)
                fail_msg("%s has moved", name);
            moved += !of_encoder(name) && !same;
        }
        assert_true(m == 2 || moved > 40);
        hm_store_free(before);
        hm_store_free(after);
    }
}

/* ---- dropped paths */

typedef struct encoder {
    hm_graph *graph;
    hm_model *model;
    hm_exec *exec;
    hm_tensor *features[4], *seeds[4];
} encoder;

/* seg-micro with 2 x 2 windows. */
static hm_model_config windowed(void) {
    hm_model_config c;
    OK(hm_model_config_named("seg-micro", &c));
    c.num_windows = 2;
    return c;
}

static hm_tensor *feature(const hm_model *m, int j) {
    char name[40];
    snprintf(name, sizeof name, "act.backbone_feature.%d", j);
    for (int i = 0; i < m->n_taps; i++)
        if (strcmp(m->taps[i].name, name) == 0)
            return m->taps[i].t;
    fail_msg("no %s", name);
    return NULL;
}

/* Features of a batch of 2, and with `backward` the gradients of their sum, weighted by seeds. */
static void encoder_open(encoder *e, hm_store *store, const hm_model_config *c, double drop_path, bool backward) {
    const hm_model_options o = {.batch = 2, .height = 96, .width = 96, .training = true, .drop_path = drop_path};
    *e = (encoder){0};
    OK(hm_graph_create(&e->graph));
    OK(hm_model_build(&e->model, e->graph, c, &o));
    for (int j = 0; j < 4; j++)
        e->features[j] = hm_graph_output(e->graph, feature(e->model, j), "feature.%d", j);
    OK(hm_graph_prune(e->graph));
    for (int j = 0; j < 4 && backward; j++)
        e->seeds[j] = hm_graph_input(e->graph, "seed", HM_F32, e->features[j]->shape);
    if (backward)
        OK(hm_graph_backward(e->graph, e->features, e->seeds, 4));
    for (size_t i = 0; i < e->graph->n_tensors && backward; i++)
        if (e->graph->tensors[i]->storage == HM_PARAM && hm_graph_grad(e->graph, e->graph->tensors[i]) != NULL)
            hm_graph_output(e->graph, hm_graph_grad(e->graph, e->graph->tensors[i]), "grad.%s",
                            e->graph->tensors[i]->name);
    OK(hm_store_add(store, e->graph));
    const hm_exec_options eo = hm_exec_defaults();
    OK(hm_exec_create(&e->exec, e->graph, store, &eo));
}

static void encoder_close(encoder *e) {
    hm_exec_free(e->exec);
    hm_model_free(e->model);
    hm_graph_free(e->graph);
}

static void fill(hm_exec *e, const hm_tensor *t, const char *name) {
    float *const x = hm_exec_data(e, t);
    for (int64_t i = 0; i < hm_count(t); i++)
        x[i] = 2 * hm_rng_uniform(hm_rng_key(1, name), (uint64_t)i) - 1;
}

static void encoder_run(encoder *e, float factor) {
    fill(e->exec, e->model->images, "images");
    for (int j = 0; j < 4 && e->seeds[j] != NULL; j++)
        fill(e->exec, e->seeds[j], e->features[j]->name);
    for (int64_t i = 0; e->model->drop_path != NULL && i < hm_count(e->model->drop_path); i++)
        ((float *)hm_exec_data(e->exec, e->model->drop_path))[i] = factor;
    OK(hm_exec_run(e->exec, 1, 0));
}

static const float *numbers(const encoder *e, int j) {
    return hm_exec_data(e->exec, e->features[j]);
}

/* Factors of 1 change nothing; of 0 they leave out every layer behind the first, whose rate is 0. */
static void drops_branches(void **state) {
    (void)state;
    const hm_model_config c = windowed();
    hm_store *store;
    encoder plain, dropping;
    OK(hm_store_create(&store));
    encoder_open(&plain, store, &c, 0, false);
    encoder_open(&dropping, store, &c, 0.5, false);
    model_fill(store, 3);
    assert_null(plain.model->drop_path);
    assert_true(hm_shape_equal(dropping.model->drop_path->shape, HM_SHAPE(8, 8)));
    encoder_run(&plain, 0);
    encoder_run(&dropping, 1);
    const size_t bytes = (size_t)hm_count(plain.features[0]) * sizeof(float);
    for (int j = 0; j < 4; j++)
        assert_memory_equal(numbers(&plain, j), numbers(&dropping, j), bytes);
    encoder_run(&dropping, 0);
    for (int j = 0; j < 4; j++)
        assert_memory_equal(numbers(&plain, 0), numbers(&dropping, j), bytes);
    encoder_close(&plain);
    encoder_close(&dropping);
    hm_store_free(store);
}

static double weighted_sum(encoder *e, const float *factors) {
    double sum = 0;
    memcpy(hm_exec_data(e->exec, e->model->drop_path), factors,
           (size_t)hm_count(e->model->drop_path) * sizeof *factors);
    fill(e->exec, e->model->images, "images");
    for (int j = 0; j < 4; j++)
        fill(e->exec, e->seeds[j], e->features[j]->name);
    OK(hm_exec_run(e->exec, 1, 0));
    for (int j = 0; j < 4; j++)
        for (int64_t i = 0; i < hm_count(e->features[j]); i++)
            sum += (double)numbers(e, j)[i] * (double)((const float *)hm_exec_data(e->exec, e->seeds[j]))[i];
    return sum;
}

static const float *gradient_of(const encoder *e, const char *parameter) {
    char name[160];
    snprintf(name, sizeof name, "grad.%s", parameter);
    for (size_t i = 0; i < e->graph->n_tensors; i++)
        if (strcmp(e->graph->tensors[i]->name, name) == 0)
            return hm_exec_data(e->exec, e->graph->tensors[i]);
    fail_msg("there is no gradient of %s", parameter);
    return NULL;
}

/* The slope of the sum along the parameter's gradient, by differences, is the gradient's length. */
static void check_gradient(encoder *e, hm_store *store, const float *factors, const char *parameter) {
    hm_shape shape;
    float *const p = hm_store_find(store, parameter, &shape);
    assert_non_null(p);
    const int64_t n = hm_shape_count(shape);
    float *const was = malloc((size_t)n * sizeof *was), *const step = malloc((size_t)n * sizeof *step);
    double squares = 0, sum[2];
    memcpy(was, p, (size_t)n * sizeof *was);
    weighted_sum(e, factors);
    const float *const g = gradient_of(e, parameter);
    for (int64_t i = 0; i < n; i++)
        squares += (double)g[i] * (double)g[i];
    for (int64_t i = 0; i < n; i++)
        step[i] = (float)(0.02 * (double)g[i] / sqrt(squares));
    for (int side = 0; side < 2; side++) {
        for (int64_t i = 0; i < n; i++)
            p[i] = side == 0 ? was[i] + step[i] : was[i] - step[i];
        sum[side] = weighted_sum(e, factors);
    }
    memcpy(p, was, (size_t)n * sizeof *was);
    const double slope = (sum[0] - sum[1]) / 0.04;
    if (!(fabs(slope - sqrt(squares)) <= 2e-3 * slope))
        fail_msg("%s: the gradient's length is %g, differences say %g", parameter, sqrt(squares), slope);
    free(step);
    free(was);
}

/* Of parameters in front of, in and behind dropped branches. */
static void gradients_follow(void **state) {
    (void)state;
    static const char *const names[] = {ENCODER "encoder.embeddings.cls_token",
                                        ENCODER "encoder.encoder.layer.1.attention.output.dense.weight",
                                        ENCODER "encoder.encoder.layer.1.layer_scale1.lambda1",
                                        ENCODER "encoder.encoder.layer.2.mlp.fc1.weight",
                                        ENCODER "encoder.encoder.layer.3.layer_scale2.lambda1",
                                        ENCODER "encoder.layernorm.bias"};
    const hm_model_config c = windowed();
    hm_store *store;
    encoder e;
    float factors[64];
    OK(hm_store_create(&store));
    encoder_open(&e, store, &c, 0.5, true);
    model_fill(store, 3);
    hm_drop_path_draw(e.model, 5, 0, factors);
    for (size_t k = 0; k < sizeof names / sizeof names[0]; k++)
        check_gradient(&e, store, factors, names[k]);
    encoder_close(&e);
    hm_store_free(store);
}

/* Each layer at its rate, kept branches scaled up so that the mean is 1; every window, batch and seed for itself. */
static void draws(void **state) {
    (void)state;
    const hm_model_config c = windowed();
    hm_tensor input = {.shape = hm_drop_path_shape(&c, 500)};
    const hm_model m = {.config = c, .options = {.drop_path = 0.3}, .drop_path = &input};
    float *const a = malloc(8 * 2000 * sizeof *a), *const b = malloc(8 * 2000 * sizeof *b);
    assert_true(hm_shape_equal(input.shape, HM_SHAPE(8, 2000)));
    hm_drop_path_draw(&m, 42, 7, a);
    for (int row = 0; row < 8; row++) {
        const double rate = 0.3 * (row / 2) / 3;
        double dropped = 0;
        assert_true(fabs(hm_drop_path_rate(&c, 0.3, row / 2) - rate) < 1e-15);
        for (int i = 0; i < 2000; i++) {
            assert_true(a[row * 2000 + i] == 0 || a[row * 2000 + i] == (float)(1 / (1 - rate)));
            dropped += a[row * 2000 + i] == 0;
        }
        assert_true(fabs(dropped / 2000 - rate) <= 3 * sqrt(rate * (1 - rate) / 2000));
    }
    const size_t bytes = 8 * 2000 * sizeof *a;
    hm_drop_path_draw(&m, 42, 7, b);
    assert_memory_equal(a, b, bytes);
    hm_drop_path_draw(&m, 42, 8, b);
    assert_memory_not_equal(a, b, bytes);
    hm_drop_path_draw(&m, 43, 7, b);
    assert_memory_not_equal(a, b, bytes);
    assert_memory_not_equal(a + 2000 * 6, a + 2000 * 7, 2000 * sizeof *a); /* attention and MLP apart */
    free(a);
    free(b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frozen_has_no_backward), cmocka_unit_test(frozen_stays), cmocka_unit_test(drops_branches),
        cmocka_unit_test(gradients_follow),       cmocka_unit_test(draws),
    };
    return cmocka_run_group_tests(tests, make_data, drop_data);
}
