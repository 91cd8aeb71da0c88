/* test_cli_resume.c: runs that are killed, stopped, or find the disk full or their folder closed, and go on: the bytes
 * are those of a run that was never broken. */
#include <stdbool.h>
#include <time.h>

#include "small_data.h"

/* A run of 2 epochs of 10 batches, 5 steps each (no epoch has fewer); begins `out`, or goes on with it. No validation
 * is better than the first by more than 1. */
#define SETTINGS(out, precision)                                                                                       \
    "train", data, "--output-dir", out, "--resume", out, "--model", "seg-micro", "--epochs", "2", "--batch-size", "1", \
        "--grad-accum-steps", "2", "--resolution", "48", "--no-multi-scale", "--device", "cpu", "--threads", "1",      \
        "--lr-scheduler", "cosine", "--checkpoint-steps", "1", "--eval-base-model", "--early-stopping",                \
        "--early-stopping-patience", "2", "--early-stopping-min-delta", "1", "--drop-path", "0.3", "--precision",      \
        precision
#define TRAIN(out, precision) PROGRAM(SETTINGS(out, precision))

static void expect_ok(program_run r) {
    if (r.status != 0)
        fail_msg("exit status %d: %s", r.status, r.err);
    program_free(&r);
}

static bool has_state(const char *out, int least) {
    char path[512];
    snprintf(path, sizeof path, "%s/state_%012d.safetensors", out, least);
    return access(path, F_OK) == 0;
}

/* Starts a run, whose words go into `log`, and waits until the state after `batches` batches is there. */
static pid_t start_run(const char *out, const char *precision, int batches, const char *log) {
    const pid_t child = fork();
    siginfo_t ended = {0};
    assert_true(child >= 0);
    if (child == 0) {
        const int fd = open(log, O_WRONLY | O_CREAT | O_TRUNC, 0666);
        dup2(fd, 1);
        dup2(fd, 2);
        program_become((char *[]){"halfmask", SETTINGS((char *)(uintptr_t)out, (char *)(uintptr_t)precision), NULL});
    }
    while (!has_state(out, batches) && ended.si_pid == 0) {
        nanosleep(&(struct timespec){0, 1000000}, NULL);
        assert_int_equal(waitid(P_PID, (id_t)child, &ended, WEXITED | WNOHANG | WNOWAIT), 0);
    }
    return child;
}

/* The exit status; 1000 + signal when it was killed. */
static int end_of(pid_t child) {
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* Sends the signal once the state after `batches` batches is there; the exit status. */
static int break_off(const char *out, const char *precision, int batches, int which) {
    char log[256];
    program_path(log, "log");
    const pid_t child = start_run(out, precision, batches, log);
    kill(child, which);
    return end_of(child);
}

static void same_file(const char *a, const char *b, const char *name) {
    char path[2][512];
    struct stat info[2];
    char *text[2];
    for (int i = 0; i < 2; i++) {
        snprintf(path[i], sizeof path[i], "%s/%s", i == 0 ? a : b, name);
        assert_int_equal(stat(path[i], &info[i]), 0);
        text[i] = program_read(path[i]);
    }
    assert_int_equal(info[0].st_size, info[1].st_size);
    assert_memory_equal(text[0], text[1], (size_t)info[0].st_size);
    free(text[0]);
    free(text[1]);
}

static void expect_same(const char *a, const char *b) {
    same_file(a, b, "last.pth");
    same_file(a, b, "last_ema.pth");
    same_file(a, b, "checkpoint_best_regular.pth");
    same_file(a, b, "checkpoint_best_ema.pth");
    same_file(a, b, "checkpoint_best_total.pth");
    same_file(a, b, "metrics.csv");
    same_file(a, b, "state_000000000020.safetensors");
}

static void broken_as_unbroken(const char *precision) {
    char whole[256], broken[256], name[64];
    snprintf(name, sizeof name, "whole-%s", precision);
    program_path(whole, name);
    snprintf(name, sizeof name, "broken-%s", precision);
    program_path(broken, name);
    char *const p = (char *)(uintptr_t)precision;
    expect_ok(TRAIN(whole, p));
    assert_int_equal(break_off(broken, precision, 2, SIGKILL), 1000 + SIGKILL);
    assert_int_equal(break_off(broken, precision, 4, SIGTERM), 1000 + SIGTERM);
    assert_int_equal(break_off(broken, precision, 8, SIGKILL), 1000 + SIGKILL);
    expect_ok(TRAIN(broken, p));
    expect_same(whole, broken);
    assert_int_equal(program_entries(broken), program_entries(whole)); /* nothing is left lying about */
}

static void in_fp32(void **state) {
    (void)state;
    broken_as_unbroken("fp32");
}

static void in_fp16(void **state) {
    (void)state;
    broken_as_unbroken("fp16");
}

static void in_true_bf16(void **state) {
    (void)state;
    broken_as_unbroken("bf16-true");
}

/* The settings of the run are used where none are given; its position fits no others. */
static void takes_its_settings(void **state) {
    char out[256];
    (void)state;
    program_path(out, "settings");
    assert_int_equal(break_off(out, "fp16", 4, SIGTERM), 1000 + SIGTERM);
    FAILED(2, PROGRAM("train", "--resume", out, "--batch-size", "3"), "batch_size 1, not 3", "pretrain_weights");
    FAILED(2, PROGRAM("train", "--resume", out, "--precision", "fp32"), "precision fp16, not fp32");
    FAILED(2, PROGRAM("train", "--resume", out, "--freeze-encoder"), "freeze_encoder false, not true");
    program_run r = PROGRAM("train", "--resume", out);
    assert_non_null(strstr(r.out, "going on from"));
    expect_ok(r);
    char whole[256];
    program_path(whole, "whole-fp16");
    expect_same(whole, out);
}

static void cut(const char *out, int batches) {
    char path[512];
    struct stat info;
    snprintf(path, sizeof path, "%s/state_%012d.safetensors", out, batches);
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(truncate(path, info.st_size - 5), 0);
}

static void passes_over_a_torn_state(void **state) {
    char out[256], whole[256];
    (void)state;
    program_path(out, "torn");
    program_path(whole, "whole-fp16");
    assert_int_equal(break_off(out, "fp16", 4, SIGKILL), 1000 + SIGKILL);
    int newest = 4;
    while (has_state(out, newest + 2))
        newest += 2;
    cut(out, newest);
    program_run r = PROGRAM("train", "--resume", out);
    assert_non_null(strstr(r.out, "the state before it is used"));
    expect_ok(r);
    expect_same(whole, out);
}

static void full_disk(void **state) {
    char out[256], whole[256];
    (void)state;
    program_path(out, "full");
    program_path(whole, "whole-fp32");
    assert_int_equal(break_off(out, "fp32", 4, SIGKILL), 1000 + SIGKILL);
    program_file_limit = 1 << 20;
    FAILED(1, TRAIN(out, "fp32"), "cannot write", out);
    program_file_limit = 0;
    assert_true(has_state(out, 4) || has_state(out, 6));
    expect_ok(TRAIN(out, "fp32"));
    expect_same(whole, out);
}

/* Permissions do not bind root, so its run is somebody else's. */
static void closed_folder(void **state) {
    char out[256], whole[256], log[256];
    (void)state;
    program_path(out, "closed");
    program_path(whole, "whole-fp32");
    program_path(log, "log");
    assert_int_equal(mkdir(out, 0777), 0);
    if (geteuid() == 0) {
        program_user = 65534;
        assert_int_equal(chmod(program_folder, 0755), 0);
        assert_int_equal(chown(out, program_user, (gid_t)-1), 0);
    }
    const pid_t child = start_run(out, "fp32", 4, log);
    assert_int_equal(chmod(out, 0555), 0);
    const int status = end_of(child);
    if (status == 127) {
        program_user = 0;
        print_message("the program cannot be run as another user here\n");
        skip();
    }
    char *const text = program_read(log);
    assert_int_equal(status, 1);
    if (strstr(text, "halfmask: cannot create") == NULL || strstr(text, "Permission denied; check that") == NULL)
        fail_msg("it does not say what was wrong: %s", text);
    free(text);
    assert_true(has_state(out, 4) || has_state(out, 6)); /* nothing that was there is gone */
    FAILED(1, TRAIN(out, "fp32"), "cannot create", out);
    assert_int_equal(chmod(out, 0755), 0);
    expect_ok(TRAIN(out, "fp32"));
    program_user = 0;
    expect_same(whole, out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_fp32),       cmocka_unit_test(in_fp16),
        cmocka_unit_test(in_true_bf16),  cmocka_unit_test(takes_its_settings),
        cmocka_unit_test(full_disk),     cmocka_unit_test(passes_over_a_torn_state),
        cmocka_unit_test(closed_folder),
    };
    return cmocka_run_group_tests(tests, setup, program_teardown);
}
