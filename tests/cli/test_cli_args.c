/* test_cli_args.c: help, version, settings in all their spellings, and wrong ones. */
#include "program.h"

static void help_is_everywhere(void **state) {
    (void)state;
    static char *const commands[] = {"train", "eval", "predict", "info", "bench", "shapes"};
    program_run r = PROGRAM("--help");
    assert_int_equal(r.status, 0);
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        assert_non_null(strstr(r.out, commands[i]));
    program_free(&r);
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++) {
        r = PROGRAM(commands[i], "--help");
        assert_int_equal(r.status, 0);
        assert_string_equal(r.err, "");
        assert_non_null(strstr(r.out, commands[i]));
        assert_non_null(strstr(r.out, "\n  --"));
        program_free(&r);
    }
    r = PROGRAM("eval", "--batch-size", "7", "-h", "--nonsense");
    assert_int_equal(r.status, 0);
    program_free(&r);
}

static void version(void **state) {
    (void)state;
    program_run r = PROGRAM("--version");
    assert_int_equal(r.status, 0);
    assert_int_equal(strncmp(r.out, "halfmask ", 9), 0);
    program_free(&r);
}

static void no_arguments(void **state) {
    (void)state;
    program_run r = program_run_to(NULL, (char *[]){"halfmask", NULL});
    assert_int_equal(r.status, 2);
    assert_string_equal(r.out, "");
    assert_non_null(strstr(r.err, "usage:"));
    program_free(&r);
}

static void unknown_names(void **state) {
    (void)state;
    REFUSED(2, PROGRAM("evall"), "\"evall\"", "\"eval\"");
    REFUSED(2, PROGRAM("shape", "x"), "\"shapes\"");
    REFUSED(2, PROGRAM("wombat"), "\"wombat\"", "--help");
    REFUSED(2, PROGRAM("shapes", "x", "--sed", "3"), "\"sed\"", "\"seed\"");
    REFUSED(2, PROGRAM("eval", "--batch-sise=3"), "\"batch-sise\"", "\"batch_size\"");
    REFUSED(2, PROGRAM("eval", "--frobnicate"), "\"frobnicate\"");
    REFUSED(2, PROGRAM("eval", "--no-frobnicate"), "\"no-frobnicate\"");
    REFUSED(2, PROGRAM("eval", "-b", "4"), "\"-b\"", "--name value");
    REFUSED(2, PROGRAM("shapes", "--config"), "--config", "YAML");
}

static void bad_values(void **state) {
    (void)state;
    REFUSED(2, PROGRAM("shapes", "x", "--seed", "three"), "\"seed\"", "\"three\"", "whole number");
    REFUSED(2, PROGRAM("shapes", "x", "--train=-1"), "\"train\"", "\"-1\"");
    REFUSED(2, PROGRAM("shapes", "x", "--train=99999999999"), "\"train\"");
    REFUSED(2, PROGRAM("shapes", "x", "--seed"), "\"seed\"");
    REFUSED(2, PROGRAM("shapes", "--dir", "--seed", "1"), "--dir needs a value");
    REFUSED(2, PROGRAM("eval", "--iou-type", "mask"), "\"iou_type\"", "segm or bbox");
    REFUSED(2, PROGRAM("eval", "--json=maybe"), "\"json\"", "true or false");
    REFUSED(2, PROGRAM("eval", "--no-json=false"), "--no-json takes no value");
    REFUSED(2, PROGRAM("predict", "a.png", "--threshold", "nan"), "\"threshold\"");
    REFUSED(2, PROGRAM("shapes", "a", "b"), "\"b\"");
    REFUSED(2, PROGRAM("info", "seg-nano"), "\"seg-nano\"", "info --help");
    REFUSED(2, PROGRAM("info", "--model", "seg-nanoo"), "seg-nanoo");
}

static void missing_arguments(void **state) {
    (void)state;
    REFUSED(2, PROGRAM("eval"), "gt and dt");
    REFUSED(2, PROGRAM("eval", "--gt", "a.json"), "both gt and dt");
    REFUSED(2, PROGRAM("eval", "--gt", "a", "--dt", "b", "--weights", "c"), "leave out weights");
    REFUSED(2, PROGRAM("eval", "dir", "--gt", "a", "--dt", "b"), "leave out the data set's folder");
    REFUSED(2, PROGRAM("train"), "folder");
    REFUSED(2, PROGRAM("shapes"), "folder");
    REFUSED(2, PROGRAM("predict"), "images");
}

/* Every spelling arrives: the written tree has the counts that were asked for. */
static void spellings(void **state) {
    (void)state;
    char dir[256], yaml[256], split[300];
    program_path(dir, "tree");
    program_file(yaml, "run.yaml", "# small\ntrain: 9\nvalid: 2\ntest: 0\nsize: 60\n");
    program_run r = PROGRAM("shapes", dir, "--train=1", "--config", yaml, "--seed", "-7");
    if (r.status != 0)
        fail_msg("%s", r.err);
    snprintf(split, sizeof split, "%s/train", dir);
    assert_int_equal(program_entries(split), 2);
    snprintf(split, sizeof split, "%s/valid", dir);
    assert_int_equal(program_entries(split), 3);
    program_free(&r);
}

static void switches(void **state) {
    (void)state;
    static char *const gt = HM_GOLDEN_DIR "/coco_eval/set0/gt.json", *const dt =
                                                                         HM_GOLDEN_DIR "/coco_eval/set0/dt.json";
    static char *const on[] = {"--json", "--json=on", "--no_json"};
    for (int i = 0; i < 3; i++) {
        program_run r = PROGRAM("eval", "--gt", gt, on[i], "--dt", dt);
        assert_int_equal(r.status, 0);
        assert_int_equal(r.out[0] == '{', i < 2);
        program_free(&r);
    }
    program_run r = PROGRAM("eval", "--json", "false", "--gt", gt, "--dt", dt);
    assert_int_equal(r.status, 0);
    assert_int_equal(r.out[0], 'I');
    program_free(&r);
}

static void bad_config(void **state) {
    (void)state;
    char yaml[256];
    program_file(yaml, "bad.yaml", "train: 3\nvalidd: 2\n");
    REFUSED(2, PROGRAM("shapes", "x", "--config", yaml), "bad.yaml, line 2", "\"valid\"");
    program_file(yaml, "list.yaml", "train: [1, 2]\n");
    REFUSED(1, PROGRAM("shapes", "x", "--config", yaml), "list.yaml, line 1");
    REFUSED(1, PROGRAM("shapes", "x", "--config", "/nowhere/run.yaml"), "/nowhere/run.yaml", "No such file");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(help_is_everywhere), cmocka_unit_test(version),    cmocka_unit_test(no_arguments),
        cmocka_unit_test(unknown_names),      cmocka_unit_test(bad_values), cmocka_unit_test(missing_arguments),
        cmocka_unit_test(spellings),          cmocka_unit_test(switches),   cmocka_unit_test(bad_config),
    };
    return cmocka_run_group_tests(tests, program_setup, program_teardown);
}
