/* test_seed.c: what stopped the fork RF-DETR-Mask from training in FP16, line by line: each test fails if what answers
 * it is taken away. docs/numerics.md tells the story. */
#include <math.h>
#include <string.h>

#include "base/rng.h"
#include "device/cpu/isa.h"
#include "golden_json.h"
#include "graph/exec.h"
#include "graph/op.h"
#include "graph/precision.h"
#include "io/safetensors.h"
#include "ops/adamw/adamw.h"
#include "ops/assign/assign.h"
#include "ops/match_cost/match_cost.h"
#include "train/options.h"

static void ok(hm_status st) {
    if (st != HM_OK)
        fail_msg("%s", hm_error_message());
}

static hm_exec *start(hm_graph *g, hm_store **store) {
    hm_exec *e = NULL;
    const hm_exec_options o = hm_exec_defaults();
    ok(hm_graph_status(g));
    ok(hm_store_create(store));
    ok(hm_store_add(*store, g));
    ok(hm_exec_create(&e, g, *store, &o));
    return e;
}

static float fill_at(const char *name, int64_t i, float scale) {
    return scale * (2.0f * hm_rng_uniform(hm_rng_key(1, name), (uint64_t)i) - 1.0f);
}

/* --- AdamW on half parameters and gradients ("expected dtype float for `end` but got dtype c10::Half") */

enum { STEPS = 20 };

static const struct {
    const char *name;
    int64_t count;
    float grad_scale;
} tensors[] = {{"w", 35, 1.0f}, {"b", 9, 0.02f}, {"tiny", 6, 3e-8f}, {"zero", 4, 0}};

/* Twenty steps of golden/optim; the largest distance from PyTorch's fp32 parameters at the end. */
static double adamw_run(const hm_safetensors *gold, const char *variant, const hm_adamw_options *o, int which,
                        hm_dtype half, bool fused) {
    hm_graph *g = NULL;
    hm_store *store = NULL;
    char name[96];
    const int64_t n = tensors[which].count;
    const hm_shape scalar = hm_scalar_shape();
    ok(hm_graph_create(&g));
    hm_tensor *const p = hm_graph_param(g, "p", HM_SHAPE(n)), *const grad = hm_graph_input(g, "g", HM_F32, HM_SHAPE(n));
    hm_tensor *const m = hm_graph_state(g, "m", HM_SHAPE(n)), *const v = hm_graph_state(g, "v", HM_SHAPE(n));
    hm_tensor *const factor = hm_graph_input(g, "factor", HM_F32, scalar);
    hm_tensor *const lr = hm_graph_input(g, "lr", HM_F32, scalar), *const step =
                                                                       hm_graph_input(g, "step", HM_F32, scalar);
    const hm_adamw_tensor t = {p, grad, m, v, *o};
    if (fused)
        hm_adamw_fused(g, &t, 1, factor, lr, step, NULL);
    else
        hm_adamw(g, p, grad, m, v, factor, lr, step, NULL, *o);
    ok(hm_graph_status(g));
    g->nodes[0]->out[0]->dtype = p->dtype = grad->dtype = half;
    hm_exec *const e = start(g, &store);
    for (int64_t i = 0; i < n; i++) {
        snprintf(name, sizeof name, "param.%s", tensors[which].name);
        hm_float_put(half, hm_exec_data(e, p), (size_t)i, fill_at(name, i, 0.5f));
    }
    *(float *)hm_exec_data(e, factor) = *(float *)hm_exec_data(e, lr) = 1;
    for (int s = 0; s < STEPS; s++) {
        snprintf(name, sizeof name, "grad.%d.%s", s, tensors[which].name);
        for (int64_t i = 0; i < n; i++)
            hm_float_put(half, hm_exec_data(e, grad), (size_t)i, fill_at(name, i, tensors[which].grad_scale));
        *(float *)hm_exec_data(e, step) = (float)(s + 1);
        ok(hm_exec_run(e, 3, s));
    }
    snprintf(name, sizeof name, "adamw.%s.%s", variant, tensors[which].name);
    const hm_safetensor *const want = hm_safetensors_find(gold, name);
    assert_non_null(want);
    const float *const last = (const float *)want->data + (STEPS - 1) * n;
    double worst = 0;
    for (int64_t i = 0; i < n; i++)
        worst = fmax(worst, fabs((double)hm_float_at(half, hm_exec_data(e, p), (size_t)i) - (double)last[i]));
    hm_exec_free(e);
    hm_store_free(store);
    hm_graph_free(g);
    return worst;
}

/* How many numbers of PyTorch's own half parameters are not finite after the same steps. */
static double pytorch_not_finite(const cJSON *variant) {
    const cJSON *const run = golden_get(golden_get(variant, "variants"), "float16_params_single");
    double sum = 0;
    for (int i = 0; i < 4; i++)
        sum += golden_number(golden_get(run, "nonfinite_after_20"), tensors[i].name);
    return sum;
}

static void adamw_takes_half_parameters(void **state) {
    (void)state;
    hm_safetensors *gold = NULL;
    ok(hm_safetensors_open(HM_GOLDEN_DIR "/optim/optim.safetensors", &gold));
    cJSON *const root = golden_read("optim/optim.json");
    const cJSON *variant;
    int failed_there = 0, runs = 0;
    cJSON_ArrayForEach(variant, golden_get(root, "adamw")) {
        const hm_adamw_options o = {.lr = golden_number(root, "lr"),
                                    .weight_decay = golden_number(variant, "weight_decay"),
                                    .beta1 = 0.9,
                                    .beta2 = 0.999,
                                    .eps = golden_number(variant, "eps")};
        failed_there += pytorch_not_finite(variant) > 0;
        for (int which = 0; which < 4; which++)
            for (int k = 0; k < 4; k++, runs++) {
                const hm_dtype half = k % 2 ? HM_BF16 : HM_F16;
                const double ulp = half == HM_BF16 ? 0x1p-9 : 0x1p-12; /* of numbers below 0.5 */
                /* gradients of 3e-8 are one fp16 subnormal; normalised, the step is lr in size whatever the rounding */
                const double allowed = (strcmp(tensors[which].name, "tiny") == 0 ? STEPS * o.lr : 0) + 10 * ulp;
                const double off = adamw_run(gold, variant->string, &o, which, half, k / 2);
                if (!(off <= allowed))
                    fail_msg("%s, %s, %s: %g from PyTorch's fp32", variant->string, tensors[which].name,
                             hm_dtype_name(half), off);
            }
    }
    assert_true(failed_there > 0 && runs >= 64); /* PyTorch on fp16 parameters with eps 1e-8 is inf or NaN at step 1 */
    hm_safetensors_close(gold);
    cJSON_Delete(root);
}

/* --- the matcher on half predictions ("cdist_cuda" not implemented for 'Half') */

enum { Q = 40, T = 6, K = 5 };

typedef struct matcher {
    hm_graph *g;
    hm_store *store;
    hm_exec *e;
    hm_tensor *logits, *boxes, *cost, *match;
    hm_targets t;
} matcher;

/* x on the grid of a half format, where that is asked for. */
static float on_grid(hm_dtype grid, float x) {
    float bits; /* room for either */
    hm_float_put(grid, &bits, 0, x);
    return hm_float_at(grid, &bits, 0);
}

/* Predictions are stored as `type` and lie on the grid of `grid`. */
static matcher make_matcher(hm_dtype type, hm_dtype grid) {
    matcher m = {0};
    ok(hm_graph_create(&m.g));
    m.logits = hm_graph_input(m.g, "logits", HM_F32, HM_SHAPE(1, Q, K));
    m.boxes = hm_graph_input(m.g, "boxes", HM_F32, HM_SHAPE(1, Q, 4));
    m.t = (hm_targets){.counts = hm_graph_input(m.g, "counts", HM_I32, HM_SHAPE(1)),
                       .labels = hm_graph_input(m.g, "labels", HM_I32, HM_SHAPE(1, T)),
                       .boxes = hm_graph_input(m.g, "targets", HM_F32, HM_SHAPE(1, T, 4))};
    const hm_prediction p = {.logits = m.logits, .boxes = m.boxes};
    m.cost = hm_match_cost(m.g, &p, &m.t, (hm_cost_weights){.bbox = 5, .cls = 2, .giou = 2}, 16, 0);
    hm_graph_output(m.g, m.cost, "cost");
    m.match = hm_graph_output(m.g, hm_assign(m.g, m.cost, m.t.counts, 1), "match");
    ok(hm_graph_status(m.g));
    m.logits->dtype = m.boxes->dtype = type;
    m.e = start(m.g, &m.store);
    for (int i = 0; i < Q * K; i++)
        hm_float_put(type, hm_exec_data(m.e, m.logits), (size_t)i, on_grid(grid, fill_at("logits", i, 4)));
    for (int i = 0; i < Q * 4; i++)
        hm_float_put(type, hm_exec_data(m.e, m.boxes), (size_t)i, on_grid(grid, 0.5f + fill_at("boxes", i, 0.3f)));
    *(int32_t *)hm_exec_data(m.e, m.t.counts) = T;
    for (int i = 0; i < T; i++)
        ((int32_t *)hm_exec_data(m.e, m.t.labels))[i] = i % (K - 1);
    for (int i = 0; i < T * 4; i++)
        ((float *)hm_exec_data(m.e, m.t.boxes))[i] = 0.5f + fill_at("targets", i, 0.3f);
    return m;
}

static void free_matcher(matcher *m) {
    hm_exec_free(m->e);
    hm_store_free(m->store);
    hm_graph_free(m->g);
}

/* First way: the cost kernel takes half, and finds what fp32 finds in the same numbers. */
static void matcher_takes_half(void **state) {
    (void)state;
    static const hm_dtype types[] = {HM_F16, HM_BF16};
    for (int k = 0; k < 2; k++) {
        matcher full = make_matcher(HM_F32, types[k]), half = make_matcher(types[k], types[k]);
        ok(hm_exec_run(full.e, 1, 0));
        ok(hm_exec_run(half.e, 1, 0));
        assert_memory_equal(hm_exec_data(full.e, full.cost), hm_exec_data(half.e, half.cost), Q * T * sizeof(float));
        assert_memory_equal(hm_exec_data(full.e, full.match), hm_exec_data(half.e, half.match), Q * sizeof(int32_t));
        free_matcher(&full);
        free_matcher(&half);
    }
}

/* Second way: the arithmetic is fp32 whatever the storage. Boxes whose areas no half can hold, and logits at the end of
 * fp16's range, still give finite costs in fp32. */
static void matcher_computes_in_fp32(void **state) {
    (void)state;
    matcher m = make_matcher(HM_F16, HM_F16);
    for (int i = 0; i < Q * K; i++)
        hm_float_put(HM_F16, hm_exec_data(m.e, m.logits), (size_t)i, i % 2 ? 65504 : -65504);
    for (int i = 0; i < Q * 4; i++)
        hm_float_put(HM_F16, hm_exec_data(m.e, m.boxes), (size_t)i, 3e4f); /* squared: 9e8 */
    ok(hm_exec_run(m.e, 1, 0));
    assert_int_equal(m.cost->dtype, HM_F32);
    const float *const cost = hm_exec_data(m.e, m.cost);
    for (int i = 0; i < Q * T; i++)
        assert_true(isfinite(cost[i]));
    free_matcher(&m);
}

/* Third way: there is no distance matrix. What the matching works in does not grow with queries times targets times
 * coordinates. */
static void matcher_has_no_cdist(void **state) {
    (void)state;
    matcher m = make_matcher(HM_F32, HM_F32);
    for (size_t i = 0; i < m.g->n_tensors; i++)
        assert_true(hm_count(m.g->tensors[i]) <= Q * T || m.g->tensors[i]->storage == HM_INPUT);
    for (size_t k = 0; k < m.g->n_nodes; k++)
        if (strcmp(m.g->nodes[k]->op->name, "match_cost") == 0 && m.g->nodes[k]->op->workspace != NULL)
            assert_true(m.g->nodes[k]->op->workspace(m.g->nodes[k], 1) < (size_t)Q * T * 4 * sizeof(float));
    free_matcher(&m);
}

/* --- precision "32-true" and amp off are still there */

static void full_precision_is_there(void **state) {
    (void)state;
    hm_train_options o = {0};
    ok(hm_options_defaults(HM_COMMAND_TRAIN, &o));
    assert_int_equal(o.precision, HM_PRECISION_AUTO);
    assert_true(o.amp);
    ok(hm_options_set(HM_COMMAND_TRAIN, &o, "precision", "32-true", NULL));
    assert_int_equal(hm_precision_resolve(o.precision, HM_DEVICE_CPU), HM_PRECISION_FP32);
    ok(hm_options_set(HM_COMMAND_TRAIN, &o, "precision", "16-mixed", NULL));
    assert_int_equal(hm_precision_resolve(o.precision, HM_DEVICE_CPU), HM_PRECISION_FP16);
    ok(hm_options_set(HM_COMMAND_TRAIN, &o, "precision", "bf16-mixed", NULL));
    assert_int_equal(hm_precision_resolve(o.precision, HM_DEVICE_CPU), HM_PRECISION_BF16);
    ok(hm_options_set(HM_COMMAND_TRAIN, &o, "precision", "16-true", NULL));
    assert_int_equal(hm_precision_resolve(o.precision, HM_DEVICE_CPU), HM_PRECISION_FP16_TRUE);
    ok(hm_options_set(HM_COMMAND_TRAIN, &o, "amp", "false", NULL));
    ok(hm_options_set(HM_COMMAND_TRAIN, &o, "adamw-eps", "1e-4", NULL));
    ok(hm_options_set(HM_COMMAND_TRAIN, &o, "fused-optimizer", "false", NULL));
    assert_true(!o.amp && o.adamw_eps == 1e-4 && !o.fused_optimizer);
    hm_options_clear(HM_COMMAND_TRAIN, &o);
    assert_int_equal(hm_precision_resolve(HM_PRECISION_AUTO, HM_DEVICE_CPU),
                     hm_cpu_has_bf16() ? HM_PRECISION_BF16 : HM_PRECISION_FP16);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adamw_takes_half_parameters), cmocka_unit_test(matcher_takes_half),
        cmocka_unit_test(matcher_computes_in_fp32),    cmocka_unit_test(matcher_has_no_cdist),
        cmocka_unit_test(full_precision_is_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
