/* test_cli_output.c: what a run leaves in its folder, by name and by content, and when it ends by itself. */
#include <stdbool.h>

#include "small_data.h"

/* 5 steps of a batch of 1 an epoch. */
#define TRAIN(out, ...)                                                                                                \
    PROGRAM("train", data, "--output-dir", out, "--model", "seg-micro", "--batch-size", "1", "--grad-accum-steps",     \
            "1", "--resolution", "48", "--no-multi-scale", "--device", "cpu", "--threads", "1", "--precision", "fp32", \
            __VA_ARGS__)

static void expect(program_run r, const char *says) {
    if (r.status != 0)
        fail_msg("exit status %d: %s", r.status, r.err);
    if (strstr(r.out, says) == NULL)
        fail_msg("\"%s\" is missing in: %s", says, r.out);
    program_free(&r);
}

static bool has(const char *out, const char *name) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s", out, name);
    return access(path, F_OK) == 0;
}

/* Whether the file is read as weights, and its metadata contain `says`. */
static void expect_weights(const char *out, const char *name, const char *says) {
    char from[512], to[256];
    program_path(to, "converted.safetensors");
    snprintf(from, sizeof from, "%s/%s", out, name);
    expect(PROGRAM("convert", from, to), "seg-micro");
    FILE *const f = fopen(to, "rb");
    char header[4096] = {0};
    assert_non_null(f);
    assert_true(fread(header, 1, sizeof header - 1, f) > 8);
    fclose(f);
    if (strstr(header + 8, says) == NULL) /* behind the header's length */
        fail_msg("%s does not say %s: %s", name, says, header + 8);
}

static void expect_columns(const char *out, const char *const *names) {
    char path[512];
    snprintf(path, sizeof path, "%s/metrics.csv", out);
    char *const text = program_read(path);
    *strchr(text, '\n') = '\0';
    for (; *names != NULL; names++)
        if (strstr(text, *names) == NULL)
            fail_msg("metrics.csv has no column %s: %s", *names, text);
    free(text);
}

static void both_are_judged(void **state) {
    (void)state;
    char out[256];
    program_path(out, "both");
    expect(TRAIN(out, "--epochs", "3", "--eval-base-model", "--checkpoint-interval", "2"),
           "epoch 3, valid (ema), fp32");
    static const char *const names[] = {"training_config.json",
                                        "metrics.csv",
                                        "metrics.png",
                                        "last.pth",
                                        "last_ema.pth",
                                        "checkpoint_best_regular.pth",
                                        "checkpoint_1.pth",
                                        "checkpoint_best_ema.pth",
                                        "checkpoint_best_total.pth"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (!has(out, names[i]))
            fail_msg("%s is missing", names[i]);
    assert_int_equal(program_entries(out), sizeof names / sizeof names[0] + 2); /* and two states */
    expect_weights(out, "last.pth", "\"epoch\":\"2\"");
    expect_weights(out, "last_ema.pth", "\"class_names\":\"[\\\"circle\\\"");
    expect_weights(out, "checkpoint_1.pth", "\"epoch\":\"1\"");
    expect_weights(out, "checkpoint_best_ema.pth", "\"epoch\":");
    expect_weights(out, "checkpoint_best_regular.pth", "\"epoch\":");
    expect_weights(out, "checkpoint_best_total.pth", "\"best_total_source\":");
    expect_columns(out, (const char *const[]){"val/segm_mAP_50_95", "val/ema_segm_mAP_50_95", "val/ema_mAR", NULL});
}

static void averages_alone(void **state) {
    (void)state;
    char out[256];
    program_path(out, "averages");
    expect(TRAIN(out, "--epochs", "1", "--run-test"), "test, best weights");
    assert_false(has(out, "checkpoint_best_regular.pth"));
    expect_weights(out, "checkpoint_best_total.pth", "\"best_total_source\":\"ema\"");
    expect_weights(out, "checkpoint_best_ema.pth", "\"epoch\":\"0\"");
}

static void weights_alone(void **state) {
    (void)state;
    char out[256];
    program_path(out, "weights");
    expect(TRAIN(out, "--epochs", "1", "--no-use-ema", "--checkpoint-interval", "1"), "epoch 1, valid, fp32");
    assert_true(has(out, "checkpoint_0.pth") && has(out, "checkpoint_best_regular.pth"));
    assert_false(has(out, "checkpoint_best_ema.pth") || has(out, "last_ema.pth"));
    expect_weights(out, "checkpoint_best_total.pth", "\"best_total_source\":\"regular\"");
}

/* No validation is better than the first by more than 1. What has stopped stays so, until it may be more patient. */
static void stops_early(void **state) {
    (void)state;
    char out[256];
    program_path(out, "early");
    expect(TRAIN(out, "--epochs", "9", "--early-stopping", "--early-stopping-patience", "1",
                 "--early-stopping-min-delta", "1"),
           "early stopping: none of the last 1 validations was better");
    assert_true(has(out, "checkpoint_best_total.pth") && has(out, "metrics.png"));
    expect_weights(out, "last.pth", "\"epoch\":\"1\"");
    expect(PROGRAM("train", "--resume", out), "early stopping ended the run");
    expect_weights(out, "last.pth", "\"epoch\":\"1\"");
    expect(PROGRAM("train", "--resume", out, "--early-stopping-patience", "2"), "early stopping ended the run");
    expect_weights(out, "last.pth", "\"epoch\":\"2\"");
    FAILED(2, TRAIN(out, "--checkpoint-interval", "0"), "checkpoint_interval", "from 1");
    FAILED(2, TRAIN(out, "--early-stopping-patience", "0"), "early_stopping_patience", "from 1");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_are_judged),
        cmocka_unit_test(averages_alone),
        cmocka_unit_test(weights_alone),
        cmocka_unit_test(stops_early),
    };
    return cmocka_run_group_tests(tests, setup, program_teardown);
}
