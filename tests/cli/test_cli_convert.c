/* test_cli_convert.c: halfmask convert on the golden checkpoints: what it says, what it writes, and what it refuses
 * without leaving anything behind. */
#include "program.h"

#define GOLDEN HM_GOLDEN_DIR "/checkpoint/"
#define MARK   "/tmp/rfdetr_hostile_pickle_ran" /* what the hostile files would make if their code ran */

static void says(const program_run *r, const char *word) {
    if (strstr(r->out, word) == NULL)
        fail_msg("\"%s\" is missing in: %s%s", word, r->out, r->err);
}

static void convert(char *in, char *out, const char *form, const char *classes) {
    program_run r = PROGRAM("convert", in, out);
    if (r.status != 0)
        fail_msg("%s", r.err);
    says(&r, form);
    says(&r, "19 with 238 numbers: 1 F64, 14 F32, 1 F16, 1 BF16, 1 I64, 1 BOOL");
    says(&r, "none that halfmask knows");
    says(&r, classes);
    says(&r, out);
    program_free(&r);
}

static void same_file(const char *a, const char *b) {
    FILE *const x = fopen(a, "rb"), *const y = fopen(b, "rb");
    assert_non_null(x);
    assert_non_null(y);
    int c;
    do {
        c = fgetc(x);
        assert_int_equal(c, fgetc(y));
    } while (c != EOF);
    fclose(x);
    fclose(y);
}

/* There and back: the same bytes. */
static void both_directions(void **state) {
    (void)state;
    static const struct {
        const char *name, *form, *classes;
    } files[] = {{"best_total.pth", "PyTorch, zip form, layout model", "4: cat, dog, b\xc3\xa4r, \xe7\x8c\xab"},
                 {"legacy_namespace_args.pth", "PyTorch, zip form, layout model", "4: cat, dog"},
                 {"legacy_nonzip.pth", "PyTorch, old form, layout model", "4: cat, dog"},
                 {"lightning.ckpt", "PyTorch, zip form, layout state_dict", "4: cat, dog"},
                 {"lightning_compiled.ckpt", "PyTorch, zip form, layout state_dict", "4: cat, dog"},
                 {"bare_state_dict.pth", "PyTorch, zip form, layout bare state dict", "not named"},
                 {"model.safetensors", "safetensors", "not named"}};
    char safe[256], torch[256], again[256];
    program_path(safe, "a.safetensors");
    program_path(torch, "b.pth");
    program_path(again, "c.safetensors");
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        char in[512];
        snprintf(in, sizeof in, GOLDEN "%s", files[i].name);
        convert(in, safe, files[i].form, files[i].classes);
        convert(safe, torch, "safetensors", files[i].classes);
        convert(torch, again, "PyTorch, zip form, layout model", files[i].classes);
        same_file(safe, again);
    }
}

static void averages(void **state) {
    (void)state;
    char out[256];
    program_path(out, "ema.safetensors");
    program_run r = PROGRAM("convert", GOLDEN "legacy_namespace_args.pth", out, "--ema");
    assert_int_equal(r.status, 0);
    says(&r, "layout ema_model");
    program_free(&r);
    REFUSED(2, PROGRAM("convert", GOLDEN "best_total.pth", out, "--ema"), "best_total.pth", "no moving averages");
}

static void hostile_files(void **state) {
    (void)state;
    static const char *const names[] = {"hostile_reduce.pth",         "hostile_reduce_nonzip.pth",
                                        "hostile_short_storage.pth",  "hostile_truncated.pth",
                                        "hostile_header.safetensors", "hostile_offsets.safetensors"};
    char folder[256], out[2][300];
    program_path(folder, "hostile");
    assert_int_equal(mkdir(folder, 0777), 0);
    snprintf(out[0], sizeof out[0], "%s/out.pth", folder);
    snprintf(out[1], sizeof out[1], "%s/out.safetensors", folder);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char in[512];
        snprintf(in, sizeof in, GOLDEN "%s", names[i]);
        for (int k = 0; k < 2; k++)
            REFUSED(1, PROGRAM("convert", in, out[k]), names[i]);
        REFUSED(1, PROGRAM("info", "--weights", in), names[i]);
        REFUSED(1, PROGRAM("predict", "x.png", "--weights", in, "--out", out[0]), names[i]);
        assert_int_equal(program_entries(folder), 0);
        assert_int_not_equal(access(MARK, F_OK), 0);
    }
    REFUSED(1, PROGRAM("convert", GOLDEN "hostile_reduce.pth", out[0]), "posix.system", "nothing was run");
}

static void wrong_arguments(void **state) {
    (void)state;
    char out[256], link_path[256];
    program_path(out, "x.safetensors");
    program_path(link_path, "link.pth");
    REFUSED(2, PROGRAM("convert"), "two paths");
    REFUSED(2, PROGRAM("convert", GOLDEN "best_total.pth"), "two paths");
    REFUSED(2, PROGRAM("convert", GOLDEN "best_total.pth", out, "c.pth"), "two paths");
    REFUSED(2, PROGRAM("convert", GOLDEN "best_total.pth", "out.onnx"), "out.onnx", ".safetensors");
    REFUSED(1, PROGRAM("convert", "no/such.pth", out), "no/such.pth", "No such file");
    REFUSED(1, PROGRAM("convert", GOLDEN "checkpoint.json", out), "checkpoint.json");
    assert_int_equal(symlink(GOLDEN "best_total.pth", link_path), 0);
    REFUSED(2, PROGRAM("convert", GOLDEN "best_total.pth", link_path), "would replace");
    FAILED(1, PROGRAM("convert", GOLDEN "best_total.pth", "no/such/folder.pth"), "no/such/folder.pth");
}

int main(void) {
    unlink(MARK);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_directions),
        cmocka_unit_test(averages),
        cmocka_unit_test(hostile_files),
        cmocka_unit_test(wrong_arguments),
    };
    return cmocka_run_group_tests(tests, program_setup, program_teardown);
}
