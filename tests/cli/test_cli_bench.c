/* test_cli_bench.c: what halfmask bench prints, down to the last line that bench/side_by_side* read. Times themselves
 * are not tested. */
#include "program.h"

static void expect(const program_run *r, const char *const *words) {
    if (r->status != 0)
        fail_msg("%s", r->err);
    for (; *words != NULL; words++)
        if (strstr(r->out, *words) == NULL)
            fail_msg("no \"%s\" in:\n%s", *words, r->out);
}

/* The number behind `words` in the last line. */
static double last(const program_run *r, const char *words) {
    const char *line = r->out + strlen(r->out) - 1;
    while (line > r->out && line[-1] != '\n')
        line--;
    const char *const at = strstr(line, words);
    if (at == NULL)
        fail_msg("no \"%s\" in the last line of:\n%s", words, r->out);
    return strtod(at + strlen(words), NULL);
}

static void steps_are_timed(void **state) {
    (void)state;
    program_run r = PROGRAM("bench", "--model", "seg-micro", "--resolution", "48", "--batch-size", "1", "--steps", "2",
                            "--precision", "fp32", "--device", "cpu", "--threads", "1");
    expect(&r, (const char *[]){"memory ", " MiB planned (one batch ", "first loss ", "\nlinear ", "\nattention ",
                                "\nadamw", "backward", "matrix work ", " ms a step at best, ", " images/s",
                                "\npeak memory ", " taken\n", NULL});
    assert_true(last(&r, "seg-micro batch 1 fp32: ") > 0);
    assert_true(last(&r, "s a step (best), ") > 0);
    assert_true(last(&r, "(median); peak resident ") > 1);
    assert_true(last(&r, "MiB; device peak ") == 0);
    program_free(&r);
}

static void the_same_batch_every_time(void **state) {
    (void)state;
    char loss[2][32];
    for (int i = 0; i < 2; i++) {
        program_run r = PROGRAM("bench", "--model", "seg-micro", "--resolution", "48", "--batch-size", "2", "--steps",
                                "1", "--device", "cpu", "--precision", i ? "fp32" : "32-true", "--objects", "3");
        expect(&r, (const char *[]){"first loss   ", NULL});
        snprintf(loss[i], sizeof loss[i], "%.12s", strstr(r.out, "first loss   ") + strlen("first loss   "));
        program_free(&r);
    }
    assert_string_equal(loss[0], loss[1]);
}

static void wrong_settings(void **state) {
    (void)state;
    REFUSED(2, PROGRAM("bench", "--batch", "2"), "\"batch\"");
    REFUSED(2, PROGRAM("bench", "--model", "seg-mikro", "--device", "cpu"), "seg-mikro");
    REFUSED(2, PROGRAM("bench", "--steps", "0"), "\"steps\"");
    REFUSED(2, PROGRAM("bench", "--count", "--device", "cpu"), "count", "cuda");
    REFUSED(2, PROGRAM("bench", "--resolution", "100", "--device", "cpu"), "multiples of");
    REFUSED(1, PROGRAM("bench", "--batch-size", "65536", "--device", "cpu"), "what fits is batch_size");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_are_timed),
        cmocka_unit_test(the_same_batch_every_time),
        cmocka_unit_test(wrong_settings),
    };
    return cmocka_run_group_tests(tests, program_setup, program_teardown);
}
