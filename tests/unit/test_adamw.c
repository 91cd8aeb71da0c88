/* test_adamw.c: 20 steps of AdamW, gradient clipping and weight averaging against PyTorch's numbers (golden/optim),
 * with every instruction set that this CPU has. Half-precision parameters are not compared: ours are always fp32. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>
#include <cmocka.h>

#include "base/rng.h"
#include "graph/exec.h"
#include "io/safetensors.h"
#include "ops/adamw/adamw.h"
#include "ops/ema/ema.h"
#include "ops/grad_norm/grad_norm.h"

enum { STEPS = 20, EMA_STEPS = 30, SEED = 1 };

static const struct {
    const char *name;
    int64_t count;
    float grad_scale;
} tensors[] = {{"w", 35, 1.0f}, {"b", 9, 0.02f}, {"tiny", 6, 3e-8f}, {"zero", 4, 0.0f}};

typedef struct golden {
    hm_safetensors *file;
    cJSON *json;
} golden;

static void ok(hm_status st) {
    if (st != HM_OK)
        print_error("%s\n", hm_error_message());
    assert_int_equal(st, HM_OK);
}

static golden open_golden(void) {
    golden gold = {0};
    ok(hm_safetensors_open(HM_GOLDEN_DIR "/optim/optim.safetensors", &gold.file));
    FILE *const f = fopen(HM_GOLDEN_DIR "/optim/optim.json", "rb");
    assert_non_null(f);
    char *const text = calloc(1, 1 << 20);
    assert_non_null(text);
    assert_true(fread(text, 1, (1 << 20) - 1, f) > 0);
    fclose(f);
    gold.json = cJSON_Parse(text);
    free(text);
    assert_non_null(gold.json);
    return gold;
}

static void close_golden(golden *gold) {
    hm_safetensors_close(gold->file);
    cJSON_Delete(gold->json);
}

/* Values of the golden files' fill rule, offset 0. */
static void fill(float *out, int64_t n, float scale, const char *name) {
    const uint64_t key = hm_rng_key(SEED, name);
    for (int64_t i = 0; i < n; i++)
        out[i] = scale * (2.0f * hm_rng_uniform(key, (uint64_t)i) - 1.0f);
}

/* Largest difference allowed: a few roundings of the largest value. */
static void compare(const char *what, const float *got, const float *want, int64_t n, double allowed) {
    float largest = 0;
    for (int64_t i = 0; i < n; i++)
        largest = fmaxf(largest, fabsf(want[i]));
    for (int64_t i = 0; i < n; i++)
        if (!(fabs((double)got[i] - (double)want[i]) <= allowed * (double)largest)) {
            print_error("%s[%d] is %.9g, PyTorch has %.9g\n", what, (int)i, (double)got[i], (double)want[i]);
            fail();
        }
}

/* Row `row` of the golden tensor, or all of it for one of rank 1. */
static void compare_golden(const golden *gold, const char *name, int64_t row, const float *got, int64_t n) {
    const hm_safetensor *const t = hm_safetensors_find(gold->file, name);
    float want[64];
    assert_non_null(t);
    assert_true(n <= 64 && (size_t)((row + 1) * n) * sizeof(float) <= t->bytes);
    memcpy(want, (const char *)t->data + (size_t)(row * n) * sizeof(float), (size_t)n * sizeof(float));
    compare(name, got, want, n, 4e-7);
}

typedef struct machine {
    hm_graph *g;
    hm_store *store;
    hm_exec *exec;
} machine;

static void start(machine *m, hm_isa isa) {
    const hm_exec_options opt = {.guard = true, .isa = isa, .threads = 2};
    ok(hm_store_create(&m->store));
    ok(hm_store_add(m->store, m->g));
    ok(hm_exec_create(&m->exec, m->g, m->store, &opt));
}

static void stop(machine *m) {
    hm_exec_free(m->exec);
    hm_store_free(m->store);
    hm_graph_free(m->g);
}

static hm_tensor *scalar_input(hm_graph *g, const char *name) {
    return hm_graph_input(g, name, HM_F32, hm_scalar_shape());
}

static bool have(hm_isa isa) {
    hm_isa got;
    return hm_isa_parse(hm_isa_name(isa), &got) == HM_OK;
}

static void adamw_tensor(const golden *gold, const char *variant, hm_adamw_options options, int which, hm_isa isa) {
    const char *const tensor = tensors[which].name;
    const int64_t n = tensors[which].count;
    machine m = {0};
    char name[96];
    ok(hm_graph_create(&m.g));
    hm_tensor *const p = hm_graph_param(m.g, "p", HM_SHAPE(n));
    hm_tensor *const mean = hm_graph_state(m.g, "m", HM_SHAPE(n)), *const square =
                                                                       hm_graph_state(m.g, "v", HM_SHAPE(n));
    hm_tensor *const grad = hm_graph_input(m.g, "grad", HM_F32, HM_SHAPE(n));
    hm_tensor *const factor = scalar_input(m.g, "factor"), *const schedule = scalar_input(m.g, "schedule");
    hm_tensor *const step = scalar_input(m.g, "step");
    hm_adamw(m.g, p, grad, mean, square, factor, schedule, step, NULL, options);
    start(&m, isa);
    snprintf(name, sizeof name, "param.%s", tensor);
    fill(hm_store_find(m.store, "p", NULL), n, 0.5f, name);
    for (int s = 0; s < STEPS; s++) {
        snprintf(name, sizeof name, "grad.%d.%s", s, tensor);
        fill(hm_exec_data(m.exec, grad), n, tensors[which].grad_scale, name);
        *(float *)hm_exec_data(m.exec, factor) = 1;
        *(float *)hm_exec_data(m.exec, schedule) = 1;
        *(float *)hm_exec_data(m.exec, step) = (float)(s + 1);
        ok(hm_exec_run(m.exec, 0, s));
        snprintf(name, sizeof name, "adamw.%s.%s", variant, tensor);
        compare_golden(gold, name, s, hm_store_find(m.store, "p", NULL), n);
    }
    snprintf(name, sizeof name, "adamw.%s.%s.exp_avg", variant, tensor);
    compare_golden(gold, name, 0, hm_store_find(m.store, "m", NULL), n);
    snprintf(name, sizeof name, "adamw.%s.%s.exp_avg_sq", variant, tensor);
    compare_golden(gold, name, 0, hm_store_find(m.store, "v", NULL), n);
    stop(&m);
}

static void adamw(void **state) {
    (void)state;
    golden gold = open_golden();
    int variants = 0;
    const cJSON *variant;
    cJSON_ArrayForEach(variant, cJSON_GetObjectItem(gold.json, "adamw")) {
        const hm_adamw_options options = {
            .lr = cJSON_GetObjectItem(gold.json, "lr")->valuedouble,
            .weight_decay = cJSON_GetObjectItem(variant, "weight_decay")->valuedouble,
            .beta1 = 0.9,
            .beta2 = 0.999,
            .eps = cJSON_GetObjectItem(variant, "eps")->valuedouble,
        };
        for (int which = 0; which < 4; which++)
            for (int isa = 0; isa < HM_ISA_COUNT; isa++)
                if (have((hm_isa)isa))
                    adamw_tensor(&gold, variant->string, options, which, (hm_isa)isa);
        variants++;
    }
    assert_int_equal(variants, 6);
    close_golden(&gold);
}

/* NaN where PyTorch has NaN, equal infinities, else to `allowed` of the value. */
static void compare_number(double got, const cJSON *text, double allowed) {
    const double want = strtod(text->valuestring, NULL);
    if (isnan(want) || isinf(want))
        assert_true(isnan(want) ? isnan(got) : got == want);
    else
        assert_true(fabs(got - want) <= allowed * fabs(want));
}

static void clip_case(const cJSON *want, hm_isa isa) {
    const float max_norm = (float)cJSON_GetObjectItem(want, "max_norm")->valuedouble;
    const float multiplier = strtof(cJSON_GetObjectItem(want, "grad_multiplier")->valuestring, NULL);
    machine m = {0};
    ok(hm_graph_create(&m.g));
    hm_tensor *const w = hm_graph_input(m.g, "w", HM_F32, HM_SHAPE(35));
    hm_tensor *const b = hm_graph_input(m.g, "b", HM_F32, HM_SHAPE(9));
    const hm_grad_norms r = hm_grad_norm(m.g, (hm_tensor *[]){w, b}, 2, max_norm, NULL, hm_loss_scale_defaults());
    hm_tensor *const norm = hm_graph_output(m.g, r.norm, "norm");
    hm_tensor *const factor = hm_graph_output(m.g, r.factor, "factor");
    start(&m, isa);
    float *const dw = hm_exec_data(m.exec, w), *const db = hm_exec_data(m.exec, b);
    fill(dw, 35, 1.0f, "grad.0.w");
    fill(db, 9, 0.02f, "grad.0.b");
    for (int i = 0; i < 44 && isfinite(multiplier); i++)
        *(i < 35 ? &dw[i] : &db[i - 35]) *= multiplier;
    if (!isfinite(multiplier))
        dw[3] = multiplier;
    ok(hm_exec_run(m.exec, 0, 0));
    const float scale = *(float *)hm_exec_data(m.exec, factor);
    compare_number((double)*(float *)hm_exec_data(m.exec, norm), cJSON_GetObjectItem(want, "total_norm"), 4e-7);
    for (int i = 0; i < 4; i++)
        compare_number((double)(dw[i] * scale), cJSON_GetArrayItem(cJSON_GetObjectItem(want, "first_after"), i), 1e-6);
    for (int i = 0; i < 3; i++)
        compare_number((double)(db[i] * scale), cJSON_GetArrayItem(cJSON_GetObjectItem(want, "b_after"), i), 1e-6);
    stop(&m);
}

static void clip(void **state) {
    (void)state;
    golden gold = open_golden();
    int cases = 0;
    const cJSON *want;
    cJSON_ArrayForEach(want, cJSON_GetObjectItem(gold.json, "clip_grad_norm")) {
        for (int isa = 0; isa < HM_ISA_COUNT; isa++)
            if (have((hm_isa)isa))
                clip_case(want, (hm_isa)isa);
        cases++;
    }
    assert_int_equal(cases, 5);
    close_golden(&gold);
}

/* A decay of null in the golden file: that update copies the weights. */
static void ema_run(const golden *gold, const char *section, const char *name, float start_scale, hm_isa isa) {
    const cJSON *const decays =
        cJSON_GetObjectItem(cJSON_GetObjectItem(cJSON_GetObjectItem(gold->json, "ema"), section), "decay_used");
    machine m = {0};
    char text[32];
    assert_int_equal(cJSON_GetArraySize(decays), EMA_STEPS);
    ok(hm_graph_create(&m.g));
    hm_tensor *const average = hm_graph_state(m.g, "average", HM_SHAPE(6));
    hm_tensor *const w = hm_graph_input(m.g, "w", HM_F32, HM_SHAPE(6)), *const decay = scalar_input(m.g, "decay");
    hm_ema(m.g, &average, &w, 1, decay, NULL);
    start(&m, isa);
    fill(hm_store_find(m.store, "average", NULL), 6, start_scale, "ema.w.0");
    for (int s = 0; s < EMA_STEPS; s++) {
        const cJSON *const d = cJSON_GetArrayItem(decays, s);
        snprintf(text, sizeof text, "ema.w.%d", s + 1);
        fill(hm_exec_data(m.exec, w), 6, 1.0f, text);
        *(float *)hm_exec_data(m.exec, decay) = cJSON_IsNull(d) ? 0 : (float)d->valuedouble;
        ok(hm_exec_run(m.exec, 0, s));
        compare_golden(gold, name, s, hm_store_find(m.store, "average", NULL), 6);
    }
    stop(&m);
}

static void ema(void **state) {
    (void)state;
    golden gold = open_golden();
    for (int isa = 0; isa < HM_ISA_COUNT; isa++)
        if (have((hm_isa)isa)) {
            ema_run(&gold, "callback", "ema.callback.w", NAN, (hm_isa)isa);
            ema_run(&gold, "ModelEma", "ema.ModelEma.w", 1.0f, (hm_isa)isa);
        }
    close_golden(&gold);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(adamw),
        cmocka_unit_test(clip),
        cmocka_unit_test(ema),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
