/* test_progress.c: the text of progress lines, and when they appear on a stream that is no terminal. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/progress.h"

static const hm_progress_value VALUES[] = {{"loss", 4.2134}, {"ce", 0.5}, {"mask_dice", 123.45}, {"lr", 1e-4}};

static hm_progress_state make_state(void) {
    return (hm_progress_state){.task = "train",
                               .epoch = 3,
                               .epochs = 50,
                               .step = 120,
                               .steps = 375,
                               .values = VALUES,
                               .n_values = 4,
                               .images_per_second = 23.6,
                               .seconds_left = 3723,
                               .memory = 1610612736};
}

static void test_seconds(void **state) {
    (void)state;
    static const struct {
        double seconds;
        const char *text;
    } cases[] = {{0, "0:00"},        {7.4, "0:07"},        {59.6, "1:00"}, {750, "12:30"}, {3599.7, "1:00:00"},
                 {11109, "3:05:09"}, {183900, "2d 03:05"}, {NAN, "-:--"},  {-1, "-:--"},   {INFINITY, "-:--"}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[32];
        hm_progress_format_seconds(text, sizeof text, cases[i].seconds);
        assert_string_equal(text, cases[i].text);
    }
}

static void test_bytes(void **state) {
    (void)state;
    char text[32];
    hm_progress_format_bytes(text, sizeof text, 512);
    assert_string_equal(text, "512 B");
    hm_progress_format_bytes(text, sizeof text, 1610612736);
    assert_string_equal(text, "1.50 GiB");
    hm_progress_format_bytes(text, sizeof text, UINT64_MAX);
    assert_string_equal(text, "16777216.00 TiB");
}

static void test_line(void **state) {
    (void)state;
    char text[256];
    hm_progress_state s = make_state();
    hm_progress_format_line(text, sizeof text, &s);
    assert_string_equal(text, "train 3/50  step 120/375  loss 4.213  ce 0.500  mask_dice 123.5  lr 1.00e-04  24 img/s  "
                              "1:02:03 left  1.50 GiB");
    s.epochs = 0;
    s.n_values = 0;
    s.images_per_second = s.seconds_left = NAN;
    s.memory = 0;
    hm_progress_format_line(text, sizeof text, &s);
    assert_string_equal(text, "train  step 120/375");
    hm_progress_format_line(text, 8, &s);
    assert_string_equal(text, "train  ");
}

static void test_bar_fits_any_width(void **state) {
    (void)state;
    char text[256];
    const hm_progress_state s = make_state();
    hm_progress_format_bar(text, sizeof text, &s, 140);
    assert_string_equal(
        text, "train 3/50  step 120/375 [========>                  ]  loss 4.213  ce 0.500  mask_dice 123.5  "
              "lr 1.00e-04  24 img/s  1:02:03 left  1.50 GiB");
    hm_progress_format_bar(text, sizeof text, &s, 64);
    assert_string_equal(text, "train 3/50  step 120/375 [===>       ]  loss 4.213  1:02:03 left");
    hm_progress_format_bar(text, sizeof text, &s, 10);
    assert_string_equal(text, "train 3/50");
    for (size_t width = 0; width < 255; width++) {
        hm_progress_format_bar(text, sizeof text, &s, width);
        assert_true(strlen(text) <= width);
    }
    hm_progress_format_bar(text, 20, &s, 200);
    assert_int_equal(strlen(text), 19);
}

static void test_bar_ends_full(void **state) {
    (void)state;
    char text[256];
    hm_progress_state s = {.task = "valid", .step = 5, .steps = 5, .images_per_second = NAN, .seconds_left = NAN};
    hm_progress_format_bar(text, sizeof text, &s, 30);
    assert_string_equal(text, "valid  step 5/5 [============]");
    s.step = 0;
    s.steps = 0;
    hm_progress_format_bar(text, sizeof text, &s, 30);
    assert_string_equal(text, "valid  step 0/0 [>           ]");
}

/* More values than a line has room for, and a diverged loss. */
static void test_many_values(void **state) {
    (void)state;
    hm_progress_value values[60];
    char text[4096];
    for (int i = 0; i < 60; i++)
        values[i] = (hm_progress_value){"a name that is much longer than any name should be, and then some", 1e300};
    values[0] = (hm_progress_value){"loss", NAN};
    hm_progress_state s = make_state();
    s.values = values;
    s.n_values = 60;
    hm_progress_format_line(text, sizeof text, &s);
    assert_non_null(strstr(text, "loss nan"));
    hm_progress_format_bar(text, sizeof text, &s, 80);
    assert_true(strlen(text) <= 80);
    assert_non_null(strstr(text, "loss nan"));
}

static void test_lines_on_a_file(void **state) {
    (void)state;
    hm_progress *p;
    char line[1024];
    size_t lines = 0;
    FILE *const f = tmpfile();
    assert_int_equal(hm_progress_new(&p, f, 0), HM_ERR_ARG);
    assert_int_equal(hm_progress_new(&p, f, 4), HM_OK);
    hm_progress_begin(p, "train", 2, 10, 16);
    for (int64_t epoch = 1; epoch <= 2; epoch++)
        for (int64_t step = 1; step <= 10; step++)
            hm_progress_step(p, epoch, step, VALUES, 1, 0);
    hm_progress_note(p, "epoch %d: AP50 %.2f", 2, 0.61);
    hm_progress_free(p);
    hm_progress_free(NULL);
    rewind(f);
    while (fgets(line, sizeof line, f)) {
        static const char *const begins[] = {"train 1/2  step 4/10  loss 4.213",
                                             "train 1/2  step 8/10",
                                             "train 1/2  step 10/10",
                                             "train 2/2  step 4/10",
                                             "train 2/2  step 8/10",
                                             "train 2/2  step 10/10",
                                             "epoch 2: AP50 0.61\n"};
        assert_true(lines < 7 && strncmp(line, begins[lines], strlen(begins[lines])) == 0);
        assert_null(strchr(line, '\r'));
        lines++;
    }
    assert_int_equal(lines, 7);
    fclose(f);
}

static void test_memory(void **state) {
    (void)state;
    assert_in_range(hm_progress_memory(), 1 << 16, UINT64_MAX);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_seconds),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_line),
        cmocka_unit_test(test_bar_fits_any_width),
        cmocka_unit_test(test_bar_ends_full),
        cmocka_unit_test(test_many_values),
        cmocka_unit_test(test_lines_on_a_file),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
