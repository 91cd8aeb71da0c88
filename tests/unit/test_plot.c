/* test_plot.c: plots: ticks, degenerate series, and the curves of a metrics.csv. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "data/image.h"
#include "io/atomic.h"
#include "io/plot.h"
#include "train/metrics_plot.h"

static void test_steps(void **state) {
    (void)state;
    static const double cases[][2] = {{5, 1}, {6, 2}, {1, 0.2}, {0.013, 0.005}, {12000, 5000}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_true(fabs(hm_plot_step(cases[i][0], 5) / cases[i][1] - 1) < 1e-9);
}

static size_t count_dark(const hm_picture *p) {
    size_t n = 0;
    for (size_t i = 0; i < (size_t)p->w * (size_t)p->h; i++)
        n += p->rgb[3 * i] < 240 || p->rgb[3 * i + 1] < 240 || p->rgb[3 * i + 2] < 240;
    return n;
}

/* Nothing, one point, a constant, huge and missing values: all give a picture. */
static void test_degenerate_series(void **state) {
    (void)state;
    const double x[] = {0, 1, 2, 3}, same[] = {5, 5, 5, 5}, odd[] = {NAN, INFINITY, 1e300, -INFINITY};
    const double wide[] = {-1e29, 1e29, 0, 1e-300};
    const hm_plot_series cases[] = {{"none", x, x, 0},    {"one", x, x, 1},     {"constant", x, same, 4},
                                    {"odd", odd, odd, 4}, {"wide", wide, x, 4}, {"bad \xff name", x, wide, 4}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const hm_plot_panel panel = {"a title", "step", &cases[i], 1};
        hm_picture p;
        assert_int_equal(hm_plot_draw(&p, &panel, 1, 300, 200), HM_OK);
        assert_int_equal(p.w, 300);
        assert_true(count_dark(&p) > 1000);
        hm_picture_free(&p);
    }
}

/* The line runs from one corner of the frame to the other. */
static void test_line_is_where_it_should_be(void **state) {
    (void)state;
    const double x[] = {0, 1}, y[] = {0, 1};
    const hm_plot_series s = {"s", x, y, 2};
    const hm_plot_panel panel = {"", "", &s, 1};
    hm_picture p;
    assert_int_equal(hm_plot_draw(&p, &panel, 1, 300, 200), HM_OK);
    const int px = 62 + (300 - 62 - 16) / 2, py = (int)lround(36 + (200 - 36 - 46) * (1 - 0.5 / 1.05));
    const uint8_t *const c = p.rgb + 3 * (py * 300 + px);
    assert_true(abs(c[0] - c[1]) + abs(c[1] - c[2]) > 60); /* coloured, not grey */
    hm_picture_free(&p);
}

static void test_refusals(void **state) {
    (void)state;
    const hm_plot_panel panel = {"", "", NULL, 0};
    hm_picture p;
    assert_int_equal(hm_plot_draw(&p, &panel, 0, 300, 200), HM_ERR_ARG);
    assert_int_equal(hm_plot_draw(&p, &panel, 1, 30, 200), HM_ERR_ARG);
    assert_int_equal(hm_plot_draw(&p, &panel, 1, 40000, 200), HM_ERR_UNSUPPORTED);
}

static void test_metrics(void **state) {
    (void)state;
    static const char good[] = "epoch,step,train/loss,val/segm_mAP_50,val/loss\n"
                               "0,10,9.5,,\n0,20,7.25,,\n0,20,,0.1,8\n1,30,5,,\n1,40,nan,,\n1,40,,0.45,6\n";
    char csv[] = "/tmp/hm-plot-XXXXXX", png[64];
    hm_image image;
    close(mkstemp(csv));
    snprintf(png, sizeof png, "%s.png", csv);
    assert_int_equal(hm_file_write(csv, good, strlen(good)), HM_OK);
    assert_int_equal(hm_metrics_plot(csv, png), HM_OK);
    assert_int_equal(hm_image_read(&image, png), HM_OK);
    assert_int_equal(image.w, 2 * 620); /* no parts of the loss in this file */
    hm_image_free(&image);
    assert_int_equal(hm_file_write(csv, "epoch\n1\n", 8), HM_OK);
    assert_int_equal(hm_metrics_plot(csv, png), HM_ERR_FORMAT);
    assert_int_equal(hm_file_write(csv, "step\n1\n", 7), HM_OK);
    assert_int_equal(hm_metrics_plot(csv, png), HM_ERR_FORMAT);
    unlink(csv);
    unlink(png);
    assert_int_equal(hm_metrics_plot(csv, png), HM_ERR_IO);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps),
        cmocka_unit_test(test_degenerate_series),
        cmocka_unit_test(test_line_is_where_it_should_be),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_metrics),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
