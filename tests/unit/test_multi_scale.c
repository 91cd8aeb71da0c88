/* test_multi_scale.c: the list of input sizes is upstream's; a run that alternates them computes what runs at one size
 * do; its audit can be read. */
#include "multi_scale.h"

#include "io/atomic.h"
#include "train/scales.h"

/* Numbers: compute_multi_scale_scales of rfdetr 1.11.2. */
static void sizes_are_upstreams(void **state) {
    (void)state;
    static const struct {
        int resolution, patch, windows;
        bool expanded;
        int32_t sides[HM_SCALES_MOST + 1];
    } cases[] = {
        {312, 12, 1, true, {252, 264, 276, 288, 300, 312, 324, 336, 348, 360, 372}},
        {312, 12, 1, false, {276, 288, 300, 312, 324, 336, 348, 360}},
        {384, 12, 2, true, {264, 288, 312, 336, 360, 384, 408, 432, 456, 480, 504}},
        {504, 12, 2, false, {432, 456, 480, 504, 528, 552, 576, 600}},
        {768, 12, 2, true, {648, 672, 696, 720, 744, 768, 792, 816, 840, 864, 888}},
        {384, 16, 2, true, {224, 256, 288, 320, 352, 384, 416, 448, 480, 512, 544}},
        {704, 16, 2, false, {608, 640, 672, 704, 736, 768, 800, 832}},
        {560, 14, 4, true, {280, 336, 392, 448, 504, 560, 616, 672, 728, 784, 840}},
        {640, 16, 4, true, {320, 384, 448, 512, 576, 640, 704, 768, 832, 896, 960}},
        {24, 6, 1, true, {12, 18, 24, 30, 36, 42, 48, 54}},
        {12, 6, 1, false, {12, 18, 24, 30, 36}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const hm_model_config c = {
            .resolution = cases[i].resolution, .patch_size = cases[i].patch, .num_windows = cases[i].windows};
        int32_t sides[HM_SCALES_MOST];
        const int n = hm_scales(&c, cases[i].expanded, sides);
        assert_memory_equal(sides, cases[i].sides, (size_t)n * sizeof *sides);
        assert_int_equal(cases[i].sides[n], 0);
    }
}

static void alternates(void **state) {
    (void)state;
    static const hm_precision modes[] = {HM_PRECISION_FP32, HM_PRECISION_BF16, HM_PRECISION_FP16_TRUE};
    for (int m = 0; m < 3; m++) {
        hm_train_options o = scaled_options(HM_DEVICE_CHOICE_CPU, modes[m], 1 + m % 2);
        o.loss_scale = 1024;
        check_against_single_sizes(&o, 2 * USED);
    }
}

static void names_overflows(void **state) {
    (void)state;
    hm_train_options o = scaled_options(HM_DEVICE_CHOICE_CPU, HM_PRECISION_FP16, 1);
    o.loss_scale = 0x1p40;
    check_against_single_sizes(&o, USED);
}

static int count_lines(const char *text) {
    int n = 0;
    for (; *text != '\0'; text++)
        n += *text == '\n';
    return n;
}

/* Whatever their sizes, audited steps have the same rows. */
static void audits(void **state) {
    (void)state;
    char path[128], *text, *report = NULL;
    size_t len;
    hm_train_options o = scaled_options(HM_DEVICE_CHOICE_CPU, HM_PRECISION_FP16, 1);
    o.audit = 1;
    o.loss_scale = 1024;
    o.epochs = 2;
    OK(hm_train(&o, NULL, NULL));
    snprintf(path, sizeof path, "%s/audit.csv", output_dir);
    OK(hm_file_read(path, (size_t)1 << 28, &text, &len));
    assert_int_equal((count_lines(text) - 1) % 10, 0); /* two epochs of five steps */
    free(text);
    FILE *const to = open_memstream(&report, &len);
    OK(hm_audit(&(hm_audit_options){.dir = output_dir, .top = 5}, to));
    fclose(to);
    assert_non_null(strstr(report, "in 10 steps (0 to 9)"));
    free(report);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_are_upstreams),
        cmocka_unit_test(alternates),
        cmocka_unit_test(names_overflows),
        cmocka_unit_test(audits),
    };
    return cmocka_run_group_tests(tests, make_data, drop_data);
}
