/* test_arena.c: executors that share an arena: they do not disturb each other, runs that are looked at late are
 * rehearsed on their own inputs, and what is not kept or does not fit is refused. On the CPU, and on the GPU if there
 * is one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "ok.h"

#include "graph/exec.h"
#include "ops/elementwise/elementwise.h"

enum { MOST = 512 };

typedef struct machine {
    hm_graph *g;
    hm_tensor *x, *y;
    hm_exec *e;
} machine;

/* y = x + x for n numbers, all watched. */
static machine make(int64_t n) {
    machine m = {0};
    OK(hm_graph_create(&m.g));
    m.x = hm_graph_input(m.g, "x", HM_F32, HM_SHAPE(n));
    m.y = hm_graph_output(m.g, hm_add(m.g, m.x, m.x), "y");
    OK(hm_graph_status(m.g));
    return m;
}

static void start(machine *m, hm_arena *arena, hm_device device) {
    hm_exec_options o = hm_exec_defaults();
    o.arena = arena;
    o.device = device;
    OK(hm_exec_create(&m->e, m->g, NULL, &o));
    OK(hm_exec_watch(m->e, (const hm_tensor *const[]){m->y}, 1));
}

static void stop(machine *m) {
    hm_exec_free(m->e);
    hm_graph_free(m->g);
}

static void run(machine *m, float value) {
    float x[MOST];
    for (int i = 0; i < MOST; i++)
        x[i] = value;
    OK(hm_exec_write(m->e, m->x, x));
    OK(hm_exec_run(m->e, 1, 0));
}

static float watched(machine *m, int ago) {
    float y[MOST];
    OK(hm_exec_watched(m->e, ago, 0, y));
    assert_true(y[hm_count(m->y) - 1] == y[0]);
    return y[0];
}

static bool never(void *user, const hm_node *n) {
    (void)user;
    (void)n;
    return false;
}

static float rehearsed(machine *m, int ago) {
    float y[MOST];
    OK(hm_exec_rehearse(m->e, ago, 1, 0, never, NULL));
    OK(hm_exec_read(m->e, m->y, y));
    assert_true(y[hm_count(m->y) - 1] == y[0]);
    return y[0];
}

static void refuses_to_rehearse(machine *m, int ago) {
    assert_int_equal(hm_exec_rehearse(m->e, ago, 1, 0, never, NULL), HM_ERR_INTERNAL);
    assert_non_null(strstr(hm_error_message(), "not kept"));
}

static void shares(hm_device device) {
    machine small = make(7), large = make(MOST);
    hm_arena *arena;
    hm_plan plan;
    hm_exec_options o = hm_exec_defaults();
    o.device = device;
    OK(hm_plan_make(&plan, large.g, &o));
    OK(hm_arena_create(&arena, device, plan.bytes, plan.inputs));
    hm_plan_free(&plan);
    start(&small, arena, device);
    start(&large, arena, device);
    for (int i = 0; i < 5; i++) { /* on the GPU the first runs are not captured */
        run(&large, (float)i);
        run(&small, (float)-i);
        assert_true(watched(&large, 0) == (float)(2 * i) && watched(&small, 0) == (float)(-2 * i));
        assert_true(i == 0 || (watched(&large, 1) == (float)(2 * i - 2) && watched(&small, 1) == (float)(2 - 2 * i)));
        assert_true(rehearsed(&small, 0) == (float)(-2 * i));
        if (device == HM_DEVICE_CUDA)
            assert_true(rehearsed(&large, 0) == (float)(2 * i) && rehearsed(&small, 0) == (float)(-2 * i));
        else
            refuses_to_rehearse(&large, 0);
        if (i > 0)
            refuses_to_rehearse(&small, 1);
    }
    run(&small, 9);
    refuses_to_rehearse(&large, 0);
    refuses_to_rehearse(&small, 2);
    stop(&small);
    stop(&large);
    hm_arena_free(arena);
}

static void shares_on_every_device(void **state) {
    (void)state;
    shares(HM_DEVICE_CPU);
    if (hm_cuda_available())
        shares(HM_DEVICE_CUDA);
}

static void refuses_what_does_not_fit(void **state) {
    (void)state;
    machine m = make(MOST);
    hm_arena *arena;
    hm_exec_options o = hm_exec_defaults();
    OK(hm_arena_create(&arena, HM_DEVICE_CPU, 64, 1 << 20));
    o.arena = arena;
    assert_int_equal(hm_exec_create(&m.e, m.g, NULL, &o), HM_ERR_INTERNAL);
    assert_non_null(strstr(hm_error_message(), "arena"));
    assert_null(m.e);
    stop(&m);
    hm_arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shares_on_every_device),
        cmocka_unit_test(refuses_what_does_not_fit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
