/* test_schedule.c: learning rates, decays of the average and parameter groups against upstream's numbers. */
#include <math.h>
#include <string.h>

#include "golden_json.h"
#include "ops/schedule/schedule.h"
#include "optim/param_groups.h"

static double number_or(const cJSON *o, const char *key, double otherwise) {
    const cJSON *const v = cJSON_GetObjectItem(o, key);
    return cJSON_IsNumber(v) ? v->valuedouble : otherwise;
}

static void learning_rates(void **state) {
    (void)state;
    cJSON *const root = golden_read("optim/optim.json");
    const cJSON *entry;
    int compared = 0;
    cJSON_ArrayForEach(entry, golden_get(root, "schedules")) {
        const char *const preset = golden_get(entry, "preset")->valuestring;
        const cJSON *const kwargs = golden_get(entry, "kwargs");
        if (strcmp(preset, "step") != 0 && strcmp(preset, "cosine") != 0)
            continue;
        const double per_epoch = golden_number(entry, "steps_per_epoch");
        const hm_schedule s = {.cosine = strcmp(preset, "cosine") == 0,
                               .warmup = (int64_t)golden_number(entry, "warmup_steps"),
                               .drop = (int64_t)(number_or(kwargs, "lr_drop", 100) * per_epoch),
                               .total = (int64_t)golden_number(entry, "total_steps"),
                               .min_factor = number_or(kwargs, "min_factor", 0)};
        const double base = golden_get(entry, "base_lr")->child->valuedouble;
        const cJSON *lr;
        int64_t step = 0;
        cJSON_ArrayForEach(lr, golden_get(entry, "lr_group0")) {
            if (fabs(base * hm_lr_factor(&s, step) - lr->valuedouble) > 1e-9 * base)
                fail_msg("%s step %d: %g, upstream %g", preset, (int)step, base * hm_lr_factor(&s, step),
                         lr->valuedouble);
            step++;
            compared++;
        }
    }
    assert_true(compared > 300);
    cJSON_Delete(root);
}

static void decays(void **state) {
    (void)state;
    cJSON *const root = golden_read("optim/optim.json");
    const cJSON *const ema = golden_get(root, "ema"), *d;
    int64_t u = 0;
    cJSON_ArrayForEach(d, golden_get(golden_get(ema, "callback"), "decay_used")) {
        const double ours = hm_ema_decay(golden_number(ema, "decay"), golden_number(ema, "tau"), ++u);
        assert_true(cJSON_IsNull(d) ? ours == 0 : fabs(ours - d->valuedouble) < 1e-12);
    }
    assert_true(u > 10);
    cJSON_Delete(root);
}

/* params.json lists every parameter with its group's learning rate and weight decay. */
static void groups_of(const char *file, const hm_model_config *c) {
    cJSON *const root = golden_read(file);
    const hm_optim_options o = hm_optim_defaults();
    const cJSON *p;
    int compared = 0;
    cJSON_ArrayForEach(p, root) {
        if (strcmp(golden_get(p, "kind")->valuestring, "parameter") != 0)
            continue;
        double lr, wd;
        const char *const name = golden_get(p, "name")->valuestring;
        hm_param_group(c, &o, name, &lr, &wd);
        if (fabs(lr - golden_number(p, "lr")) > 1e-12 * lr || wd != golden_number(p, "weight_decay"))
            fail_msg("%s: lr %g wd %g, upstream %g %g", name, lr, wd, golden_number(p, "lr"),
                     golden_number(p, "weight_decay"));
        compared++;
    }
    assert_true(compared > 100);
    cJSON_Delete(root);
}

static void groups(void **state) {
    (void)state;
    hm_model_config c;
    assert_int_equal(hm_model_config_named("seg-nano", &c), HM_OK);
    groups_of("model/seg-nano/params.json", &c);
    c.n_features = 4;
    c.out_feature_indexes[3] = 5; /* tiny-det */
    groups_of("model/tiny-det/params.json", &c);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(learning_rates), cmocka_unit_test(decays),
                                       cmocka_unit_test(groups)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
