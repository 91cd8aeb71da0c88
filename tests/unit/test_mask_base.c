/* test_mask_base.c: the network of the fork RF-DETR-Mask, which gave up on fp16: it trains in every mode. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ok.h"

#include "graph/exec.h"
#include "train/step.h"
#include "weights/weights.h"

enum { SIDE = 56, STEPS = 2 };

static void fill_batch(hm_exec *e, const hm_step *s) {
    float *const images = hm_exec_data(e, s->model->images);
    const hm_targets *const t = &s->criterion.targets;
    for (int64_t i = 0; i < hm_count(s->model->images); i++)
        images[i] = sinf(0.11f * (float)i);
    *(int32_t *)hm_exec_data(e, t->counts) = 2;
    memcpy(hm_exec_data(e, t->labels), (const int32_t[]){0, 2}, 8);
    memcpy(hm_exec_data(e, t->boxes), (const float[]){0.3f, 0.3f, 0.4f, 0.4f, 0.7f, 0.6f, 0.3f, 0.5f}, 32);
    memset(hm_exec_data(e, t->masks), 0x0F, (size_t)hm_count(t->masks));
    *(float *)hm_exec_data(e, s->seed) = 1;
}

static double term(hm_exec *e, const hm_step *s, const char *name) {
    for (int i = 0; i < s->criterion.n_terms; i++)
        if (strcmp(s->criterion.terms[i].name, name) == 0)
            return (double)*(const float *)hm_exec_data(e, s->criterion.terms[i].value);
    fail_msg("there is no term %s", name);
    return NAN;
}

static void start_weights(hm_store *store, const hm_model_config *c) {
    hm_store *full = NULL;
    OK(hm_weights_store(&full, c));
    OK(hm_model_init(c, full, 1));
    hm_shape shape;
    const float *const last = hm_store_find(full, "mask_head.layers.2.weight", &shape);
    assert_non_null(last);
    assert_true(shape.dim[0] == 28 * 28 && last[0] == 0 && last[12345] == 0);
    OK(hm_store_copy(store, full));
    hm_store_free(full);
}

static void train_in(hm_precision p) {
    hm_model_config c;
    hm_step *s = NULL;
    hm_store *store = NULL;
    hm_exec *e = NULL;
    OK(hm_model_config_named("mask-base", &c));
    c.group_detr = 2; /* enough for a test */
    hm_step_options o = {.model = {.batch = 1, .height = SIDE, .width = SIDE, .training = true},
                         .targets = 2,
                         .criterion = hm_criterion_defaults(),
                         .optim = hm_optim_defaults(),
                         .precision = p};
    o.optim.ema = false;
    if (hm_precision_half(p) == HM_F16) {
        o.optim.loss_scale = hm_loss_scale_defaults();
        o.optim.loss_scale.initial = 1024;
    }
    OK(hm_step_build(&s, &c, &o));
    OK(hm_store_create(&store));
    OK(hm_store_add(store, s->graph));
    start_weights(store, &c);
    const hm_exec_options eo = hm_exec_defaults();
    OK(hm_exec_create(&e, s->graph, store, &eo));
    fill_batch(e, s);
    double first = 0, loss = 0;
    for (int i = 0; i < STEPS; i++) {
        OK(hm_exec_run(e, 1, i));
        assert_true(*(const float *)hm_exec_data(e, s->overflow) == 0);
        loss = term(e, s, "loss_mask_ce") + term(e, s, "loss_mask_dice");
        first = i == 0 ? loss : first;
    }
    /* with the last layer at zero every pixel has probability one half */
    assert_true(fabs(first - (log(2) + 0.5)) < 0.2);
    assert_true(isfinite(loss) && loss < first);
    hm_exec_free(e);
    hm_store_free(store);
    hm_step_free(s);
}

static void every_mode(void **state) {
    (void)state;
    for (int p = HM_PRECISION_FP32; p <= HM_PRECISION_FP16_TRUE; p++)
        train_in((hm_precision)p);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_mode)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
