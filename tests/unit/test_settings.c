/* test_settings.c: table-driven settings: names, values, suggestions, YAML and its errors, the help text. */
#include <float.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "train/settings.h"

typedef struct example {
    int32_t epochs;
    int64_t seed;
    double learning_rate, momentum;
    bool use_ema;
    char *output_dir, *weights;
    int precision;
} example;

static const char *const precisions[] = {"fp32", "bf16", "fp16", "fp16-true", NULL};

static const hm_setting table[] = {
    HM_SETTING(example, epochs, "100", 1, 100000, "passes over the training images"),
    HM_SETTING(example, seed, "0", 0, 0x1p53, "every random draw follows from it"),
    HM_SETTING(example, learning_rate, "1e-4", DBL_MIN, DBL_MAX, "step size of AdamW"),
    HM_SETTING(example, momentum, "0.9", 0, 1, "share of the previous step that is kept"),
    HM_SETTING(example, use_ema, "true", 0, 0, "keep a moving average of the weights"),
    HM_SETTING(example, output_dir, "output", 0, 0, "folder that receives weights, metrics and pictures"),
    HM_SETTING(example, weights, NULL, 0, 0, "file to start from"),
    HM_SETTING_OF(example, precision, "bf16", precisions, "arithmetic of the run"),
};
enum { N = sizeof table / sizeof table[0] };

static example fresh(void) {
    example e = {0};
    assert_int_equal(hm_settings_defaults(table, N, &e), HM_OK);
    return e;
}

static void refused(example *e, const char *name, const char *value, const char *where, const char *message) {
    assert_int_equal(hm_settings_set(table, N, e, name, value, where), HM_ERR_ARG);
    assert_string_equal(hm_error_message(), message);
}

static void defaults_are_set(void **state) {
    (void)state;
    example e = fresh();
    assert_int_equal(e.epochs, 100);
    assert_true(e.learning_rate == 1e-4 && e.use_ema);
    assert_string_equal(e.output_dir, "output");
    assert_null(e.weights);
    assert_int_equal(e.precision, 1);
    hm_settings_free(table, N, &e);
    assert_null(e.output_dir);
}

static void values_are_read(void **state) {
    (void)state;
    example e = fresh();
    assert_int_equal(hm_settings_set(table, N, &e, "learning-rate", "2.5e-3", NULL), HM_OK);
    assert_true(e.learning_rate == 2.5e-3);
    assert_int_equal(hm_settings_set(table, N, &e, "use_ema", "No", NULL), HM_OK);
    assert_false(e.use_ema);
    assert_int_equal(hm_settings_set(table, N, &e, "precision", "fp16_true", NULL), HM_OK);
    assert_int_equal(e.precision, 3);
    assert_int_equal(hm_settings_set(table, N, &e, "seed", "9007199254740992", NULL), HM_OK);
    assert_true(e.seed == 9007199254740992);
    assert_int_equal(hm_settings_set(table, N, &e, "weights", "a b.pth", NULL), HM_OK);
    assert_string_equal(e.weights, "a b.pth");
    hm_settings_free(table, N, &e);
}

static void mistakes_are_explained(void **state) {
    (void)state;
    example e = fresh();
    refused(&e, "epoch", "3", "run.yaml, line 3",
            "unknown setting \"epoch\" (run.yaml, line 3): did you mean \"epochs\"?");
    refused(&e, "learing-rtae", "3", NULL, "unknown setting \"learing-rtae\": did you mean \"learning_rate\"?");
    refused(&e, "zzz", "3", NULL, "unknown setting \"zzz\": no setting has a name like it, see the list in the help");
    refused(&e, "epochs", "0", NULL, "setting \"epochs\" cannot be \"0\": give a whole number from 1 to 100000");
    refused(&e, "epochs", "1.5", "command line",
            "setting \"epochs\" cannot be \"1.5\" (command line): give a whole number from 1 to 100000");
    refused(&e, "epochs", "99999999999999999999", NULL,
            "setting \"epochs\" cannot be \"99999999999999999999\": give a whole number from 1 to 100000");
    refused(&e, "learning_rate", "nan", NULL,
            "setting \"learning_rate\" cannot be \"nan\": give a number greater than 0");
    refused(&e, "learning_rate", "0", NULL, "setting \"learning_rate\" cannot be \"0\": give a number greater than 0");
    refused(&e, "momentum", "", NULL, "setting \"momentum\" cannot be \"\": give a number from 0 to 1");
    refused(&e, "use_ema", "maybe", NULL, "setting \"use_ema\" cannot be \"maybe\": give true or false");
    refused(&e, "precision", "fp8", NULL,
            "setting \"precision\" cannot be \"fp8\": give fp32, bf16, fp16 or fp16-true");
    assert_int_equal(e.epochs, 100);
    char long_name[5000];
    memset(long_name, 'x', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = '\0';
    assert_int_equal(hm_settings_set(table, N, &e, long_name, long_name, long_name), HM_ERR_ARG);
    hm_settings_free(table, N, &e);
}

/* Loads `bytes` as a file; the message (without the folder) is then in hm_error_message(). */
static hm_status load(example *e, const void *bytes, size_t len) {
    FILE *const f = fopen("settings_test.yaml", "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
    const hm_status st = hm_settings_load_yaml(table, N, e, "settings_test.yaml");
    unlink("settings_test.yaml");
    return st;
}

static void load_refused(const char *yaml, hm_status code, const char *message) {
    example e = fresh();
    assert_int_equal(load(&e, yaml, strlen(yaml)), code);
    assert_string_equal(hm_error_message(), message);
    hm_settings_free(table, N, &e);
}

static void yaml_is_read(void **state) {
    (void)state;
    static const char text[] = "# a run\nepochs: 7\nlearning-rate: 3.0e-4   # slow\nuse_ema: off\n"
                               "output_dir: \"runs/a: b\"\nweights: null\nprecision: fp16\nmomentum:\n";
    example e = fresh();
    e.momentum = 0;
    assert_int_equal(load(&e, text, sizeof text - 1), HM_OK);
    assert_int_equal(e.epochs, 7);
    assert_true(e.learning_rate == 3e-4 && !e.use_ema && e.momentum == 0.9);
    assert_string_equal(e.output_dir, "runs/a: b");
    assert_null(e.weights);
    assert_int_equal(e.precision, 2);
    assert_int_equal(load(&e, "", 0), HM_OK);
    assert_int_equal(load(&e, "# nothing\n", 10), HM_OK);
    assert_int_equal(load(&e, "---\n", 4), HM_OK);
    hm_settings_free(table, N, &e);
}

static void yaml_mistakes_have_lines(void **state) {
    (void)state;
    load_refused("seed: 1\n\nepoch: 3\n", HM_ERR_ARG,
                 "unknown setting \"epoch\" (settings_test.yaml, line 3): did you mean \"epochs\"?");
    load_refused("seed: 1\nepochs: many\n", HM_ERR_ARG,
                 "setting \"epochs\" cannot be \"many\" (settings_test.yaml, line 2): give a whole number from 1 to "
                 "100000");
    load_refused("use_ema: yes\nseed: 1\nuse-ema: no\n", HM_ERR_FORMAT,
                 "settings_test.yaml, line 3: \"use_ema\" is given twice (first on line 1); remove one");
    load_refused("epochs: [1, 2]\n", HM_ERR_FORMAT,
                 "settings_test.yaml, line 1: the value of \"epochs\" is a list, a mapping or an alias; give a single "
                 "value");
    load_refused("? [a]\n: b\n", HM_ERR_FORMAT,
                 "settings_test.yaml, line 1: a setting's name is a list, a mapping or an alias; give a single value");
    load_refused("- epochs\n", HM_ERR_FORMAT,
                 "settings_test.yaml, line 1: not a list of settings; write one \"name: value\" a line");
    load_refused("epochs: 1\n---\nepochs: 2\n", HM_ERR_FORMAT,
                 "settings_test.yaml, line 2: a second document begins; keep one in a file");
    load_refused("seed: 1\nepochs: @5\n", HM_ERR_FORMAT,
                 "settings_test.yaml, line 2: found character that cannot start any token; write one \"name: value\" "
                 "a line");
    load_refused("epochs: \"1\\0\"\n", HM_ERR_FORMAT,
                 "settings_test.yaml, line 1: the value of \"epochs\" contains a zero byte; remove it");
    example e = fresh();
    assert_int_equal(load(&e, "seed: \xff\xfe", 8), HM_ERR_FORMAT);
    assert_int_equal(hm_settings_load_yaml(table, N, &e, "no/such.yaml"), HM_ERR_IO);
    assert_string_equal(hm_error_message(), "cannot open no/such.yaml: No such file or directory");
    assert_int_equal(hm_settings_load_yaml(table, N, &e, "."), HM_ERR_IO);
    hm_settings_free(table, N, &e);
}

static void help_is_aligned(void **state) {
    (void)state;
    char *text = NULL;
    size_t size = 0;
    FILE *const to = open_memstream(&text, &size);
    assert_non_null(to);
    hm_settings_help(table, N, to);
    assert_int_equal(fclose(to), 0);
    assert_string_equal(text, "  --epochs INT            passes over the training images (default 100)\n"
                              "  --seed INT              every random draw follows from it (default 0)\n"
                              "  --learning-rate NUMBER  step size of AdamW (default 1e-4)\n"
                              "  --momentum NUMBER       share of the previous step that is kept (default 0.9)\n"
                              "  --use-ema BOOL          keep a moving average of the weights (default true)\n"
                              "  --output-dir TEXT       folder that receives weights, metrics and pictures (default "
                              "output)\n"
                              "  --weights TEXT          file to start from\n"
                              "  --precision fp32|bf16|fp16|fp16-true\n"
                              "                          arithmetic of the run (default bf16)\n");
    free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_set),         cmocka_unit_test(values_are_read),
        cmocka_unit_test(mistakes_are_explained),   cmocka_unit_test(yaml_is_read),
        cmocka_unit_test(yaml_mistakes_have_lines), cmocka_unit_test(help_is_aligned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
