/* test_locale.c: in a program that writes 0,5 for 0.5 the files and settings are what they are elsewhere, and the
 * program still writes 0,5 afterwards. */
#include "small_run.h"

#include <locale.h>

#include "same_file.h"

/* A German locale of the test's own, as the system may have none. */
static int set_up(void **state) {
    (void)state;
    char command[256];
    if (small_data("locale", 3, 2) != 0)
        return 1;
    snprintf(command, sizeof command, "localedef -i de_DE -f UTF-8 ./%s/de_DE.UTF-8 >/dev/null 2>&1", root);
    if (system(command) != 0) {
        print_error("localedef cannot make de_DE: install what scripts/install names\n");
        return 1;
    }
    return setenv("LOCPATH", root, 1);
}

static void writes_commas(bool yes) {
    char text[8];
    snprintf(text, sizeof text, "%.1f", 0.5);
    assert_string_equal(text, yes ? "0,5" : "0.5");
}

/* An epoch, and another by a second run that goes on from its files. */
static void train(char *out) {
    for (int epochs = 1; epochs <= 2; epochs++) {
        hm_train_options *o;
        hm_train_result result;
        OK(hm_options_new(HM_COMMAND_TRAIN, &o));
        if (epochs == 2)
            OK(hm_options_load_run(o, out));
        assert_true(o->ema_decay == 0.993);
        OK(hm_options_set(HM_COMMAND_TRAIN, o, "dataset_dir", data_dir, NULL));
        OK(hm_options_set(HM_COMMAND_TRAIN, o, "output_dir", out, NULL));
        OK(hm_options_set(HM_COMMAND_TRAIN, o, "resume", out, NULL));
        OK(hm_options_set(HM_COMMAND_TRAIN, o, "model", "seg-micro", NULL));
        OK(hm_options_set(HM_COMMAND_TRAIN, o, "lr", "0.0005", NULL));
        o->device = HM_DEVICE_CHOICE_CPU;
        o->precision = HM_PRECISION_FP32;
        o->resolution = 48;
        o->multi_scale = o->run_test = false;
        o->batch_size = o->grad_accum_steps = 1;
        o->threads = o->num_workers = 1;
        o->epochs = epochs;
        OK(hm_train(o, NULL, &result));
        assert_int_equal(result.steps, 5 * epochs);
        hm_options_free(HM_COMMAND_TRAIN, o);
    }
}

static void files_are_the_same_everywhere(void **state) {
    (void)state;
    char plain[96], german[96], json[2][128];
    snprintf(plain, sizeof plain, "%s/plain", root);
    snprintf(german, sizeof german, "%s/german", root);
    writes_commas(false);
    train(plain);
    assert_non_null(setlocale(LC_ALL, "de_DE.UTF-8"));
    writes_commas(true);
    train(german);
    writes_commas(true);
    same_file(plain, german, "metrics.csv");
    same_file(plain, german, "last.pth");
    same_file(plain, german, "state_000000000010.safetensors");

    /* data that are rendered there, judged there */
    hm_shapes_options *shapes;
    OK(hm_options_new(HM_COMMAND_SHAPES, &shapes));
    shapes->train = 2;
    shapes->valid = shapes->test = 0;
    for (int i = 0; i < 2; i++) {
        snprintf(json[i], sizeof json[i], "%s/shapes_%d", root, i);
        OK(hm_options_set(HM_COMMAND_SHAPES, shapes, "dir", json[i], NULL));
        setlocale(LC_ALL, i == 0 ? "C" : "de_DE.UTF-8");
        OK(hm_shapes(shapes, NULL));
    }
    hm_options_free(HM_COMMAND_SHAPES, shapes);
    same_file(json[0], json[1], "train/_annotations.coco.json");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(files_are_the_same_everywhere)};
    return cmocka_run_group_tests(tests, set_up, drop_data);
}
