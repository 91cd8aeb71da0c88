/* test_loss_scale.c: the loss scale's course against PyTorch's GradScaler (golden/optim). */
#include <math.h>
#include <string.h>

#include "golden_json.h"
#include "graph/exec.h"
#include "ops/grad_norm/grad_norm.h"
#include "ops/loss_scale/loss_scale.h"

typedef struct machine {
    hm_graph *g;
    hm_store *store;
    hm_exec *e;
    hm_tensor *grad, *seed, *scaled, *factor, *overflow;
} machine;

static void ok(hm_status st) {
    if (st != HM_OK)
        fail_msg("%s", hm_error_message());
}

/* As a step uses it: the seed is scaled, gradients are looked at, the scale changes. */
static machine start(hm_loss_scale s) {
    machine m = {0};
    ok(hm_graph_create(&m.g));
    hm_tensor *const state = hm_graph_state(m.g, "loss_scale", HM_SHAPE(HM_LOSS_SCALE_STATE));
    hm_tensor *const progress = hm_graph_state(m.g, "progress", HM_SHAPE(2));
    m.seed = hm_graph_input(m.g, "seed", HM_F32, hm_scalar_shape());
    m.grad = hm_graph_input(m.g, "grad", HM_F32, HM_SHAPE(2));
    m.scaled = hm_graph_output(m.g, hm_loss_seed(m.g, m.seed, state, s), "scaled");
    const hm_grad_norms r = hm_grad_norm(m.g, &m.grad, 1, 0, state, s);
    m.factor = hm_graph_output(m.g, r.factor, "factor");
    m.overflow = hm_graph_output(m.g, r.overflow, "overflow");
    hm_loss_scale_update(m.g, state, progress, r.overflow, s);
    ok(hm_graph_status(m.g));
    ok(hm_store_create(&m.store));
    ok(hm_store_add(m.store, m.g));
    const hm_exec_options o = hm_exec_defaults();
    ok(hm_exec_create(&m.e, m.g, m.store, &o));
    *(float *)hm_exec_data(m.e, m.seed) = 1;
    return m;
}

static void stop(machine *m) {
    hm_exec_free(m->e);
    hm_store_free(m->store);
    hm_graph_free(m->g);
}

static float scalar(machine *m, const hm_tensor *t) {
    return *(const float *)hm_exec_data(m->e, t);
}

static void one_step(machine *m, const cJSON *want, double before) {
    const char *const kind = golden_get(want, "kind")->valuestring;
    float *const grad = hm_exec_data(m->e, m->grad);
    const bool bad = strcmp(kind, "finite") != 0;
    grad[0] = 2;
    grad[1] = strcmp(kind, "nan") == 0 ? NAN : strcmp(kind, "inf") == 0 ? INFINITY : bad ? -INFINITY : -1;
    ok(hm_exec_run(m->e, 0, 0));
    const float *const state = hm_store_find(m->store, "loss_scale", NULL);
    assert_true((double)scalar(m, m->scaled) == before);
    assert_true((double)state[0] == golden_number(want, "scale_after"));
    assert_true((double)state[1] == golden_number(want, "growth_tracker_after"));
    assert_true((double)state[2] == before);
    assert_int_equal(scalar(m, m->overflow) != 0, cJSON_IsTrue(golden_get(want, "skipped")));
    if (!bad)
        assert_true((double)scalar(m, m->factor) * before == 1);
}

static void trajectories(void **state) {
    (void)state;
    cJSON *const root = golden_read("optim/optim.json");
    const cJSON *run, *step;
    int steps = 0, skipped = 0;
    cJSON_ArrayForEach(run, golden_get(root, "grad_scaler")) {
        const hm_loss_scale s = {.initial = golden_number(run, "init_scale"),
                                 .growth = golden_number(run, "growth_factor"),
                                 .backoff = golden_number(run, "backoff_factor"),
                                 .interval = (int64_t)golden_number(run, "growth_interval"),
                                 .dynamic = true};
        machine m = start(s);
        double scale = s.initial;
        int of_run = 0;
        cJSON_ArrayForEach(step, golden_get(run, "trajectory")) {
            one_step(&m, step, scale);
            scale = golden_number(step, "scale_after");
            skipped += cJSON_IsTrue(golden_get(step, "skipped"));
            steps++;
            of_run++;
        }
        const float *const progress = hm_store_find(m.store, "progress", NULL);
        assert_true((int)progress[0] + (int)progress[1] == of_run);
        stop(&m);
    }
    assert_true(steps > 20 && skipped > 3);
    cJSON_Delete(root);
}

static void never_below_the_floor(void **state) {
    (void)state;
    hm_loss_scale s = hm_loss_scale_defaults();
    s.initial = 4;
    machine m = start(s);
    ((float *)hm_exec_data(m.e, m.grad))[0] = INFINITY;
    for (int i = 0; i < 5; i++)
        ok(hm_exec_run(m.e, 0, i));
    assert_true(hm_store_find(m.store, "loss_scale", NULL)[0] == 1);
    stop(&m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trajectories),
        cmocka_unit_test(never_below_the_floor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
