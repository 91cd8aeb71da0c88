/* test_prune.c: pruning keeps what outputs and in-place updates need, in order, and nothing else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "graph/exec.h"
#include "ops/elementwise/elementwise.h"
#include "ops/shape/shape.h"

static void ok(hm_status st) {
    if (st != HM_OK)
        fail_msg("%s", hm_error_message());
}

static bool has_tensor(const hm_graph *g, const hm_tensor *t) {
    for (size_t i = 0; i < g->n_tensors; i++)
        if (g->tensors[i] == t)
            return true;
    return false;
}

/* y = (x + x) viewed anew, plus two sums that nobody takes, one of which uses y. */
static void drops_what_no_output_needs(void **state) {
    (void)state;
    hm_graph *g;
    hm_exec *e;
    ok(hm_graph_create(&g));
    hm_tensor *const x = hm_graph_input(g, "x", HM_F32, HM_SHAPE(2, 3));
    hm_tensor *const unused = hm_add(g, x, x);
    hm_tensor *const y = hm_reshape(g, hm_add(g, x, x), HM_SHAPE(6));
    hm_tensor *const after = hm_add(g, y, y);
    hm_graph_output(g, y, "y");
    ok(hm_graph_prune(g));
    assert_int_equal(g->n_nodes, 2);
    for (size_t i = 0; i < g->n_nodes; i++)
        assert_int_equal(g->nodes[i]->id, i);
    for (size_t i = 0; i < g->n_tensors; i++)
        assert_int_equal(g->tensors[i]->id, i);
    assert_true(has_tensor(g, x) && has_tensor(g, y));
    assert_false(has_tensor(g, unused) || has_tensor(g, after));
    const hm_exec_options o = hm_exec_defaults();
    ok(hm_exec_create(&e, g, NULL, &o));
    for (int i = 0; i < 6; i++)
        ((float *)hm_exec_data(e, x))[i] = (float)i;
    ok(hm_exec_run(e, 0, 0));
    for (int i = 0; i < 6; i++)
        assert_true(((const float *)hm_exec_data(e, y))[i] == 2 * (float)i);
    hm_exec_free(e);
    hm_graph_free(g);
}

static void refuses_after_backward(void **state) {
    (void)state;
    hm_graph *g;
    ok(hm_graph_create(&g));
    hm_tensor *const w = hm_graph_param(g, "w", HM_SHAPE(3));
    hm_tensor *const y = hm_add(g, w, w);
    hm_tensor *const seed = hm_graph_input(g, "seed", HM_F32, HM_SHAPE(3));
    ok(hm_graph_backward(g, (hm_tensor *[]){y}, (hm_tensor *[]){seed}, 1));
    assert_int_equal(hm_graph_prune(g), HM_ERR_INTERNAL);
    hm_graph_free(g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(drops_what_no_output_needs),
        cmocka_unit_test(refuses_after_backward),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
