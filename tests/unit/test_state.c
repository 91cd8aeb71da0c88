/* test_state.c: states of runs on disk: back as they were written, damage found wherever it is, two kept; and work in
 * the background, whose failures arrive. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "ok.h"

#include "base/background.h"
#include "io/atomic.h"
#include "train/state.h"

static char dir[64];

static int make_dir(void **state) {
    (void)state;
    strcpy(dir, "state_XXXXXX");
    return mkdtemp(dir) == NULL;
}

static int drop_dir(void **state) {
    char command[100];
    (void)state;
    snprintf(command, sizeof command, "rm -rf %s", dir);
    return system(command);
}

/* A parameter, a state and a sum that is not kept. */
static hm_store *make_store(float first) {
    hm_graph *g;
    hm_store *s;
    OK(hm_graph_create(&g));
    hm_graph_param(g, "layer.weight", HM_SHAPE(3, 5));
    hm_graph_state(g, "exp_avg.layer.weight", HM_SHAPE(3, 5));
    hm_graph_state(g, "grad.layer.weight", HM_SHAPE(3, 5));
    OK(hm_graph_status(g));
    OK(hm_store_create(&s));
    OK(hm_store_add(s, g));
    hm_graph_free(g);
    for (int k = 0; k < 15; k++) {
        hm_store_find(s, "layer.weight", NULL)[k] = first + (float)k;
        hm_store_find(s, "exp_avg.layer.weight", NULL)[k] = -first - (float)k;
    }
    return s;
}

static const hm_state_settings settings = {{"batch_size", "seed"}, {"4", "42"}, 2};

static hm_state write_state(int64_t runs, int64_t before, float first) {
    hm_store *const all = make_store(first), *kept;
    const hm_state s = {.epoch = 3,
                        .batch = 1,
                        .runs = runs,
                        .step = runs / 2,
                        .skipped = 1,
                        .rows = 7,
                        .last_scale = 512,
                        .selection = {{0.1, 0.2}, 0.15, 4},
                        .before = before};
    OK(hm_store_like(&kept, all, "grad."));
    assert_int_equal(hm_store_count(kept), 2);
    OK(hm_store_copy(kept, all));
    OK(hm_state_write(dir, kept, &s, &settings));
    hm_store_free(kept);
    hm_store_free(all);
    return s;
}

static char *path_of(int64_t runs) {
    static char path[128];
    snprintf(path, sizeof path, "%s/state_%012lld.safetensors", dir, (long long)runs);
    return path;
}

static void comes_back(void **state) {
    (void)state;
    hm_state_file *f;
    OK(hm_state_open(&f, dir, NULL, NULL));
    assert_null(f); /* none yet */
    OK(hm_state_open(&f, "nowhere", NULL, NULL));
    assert_null(f);
    const hm_state written = write_state(10, -1, 5);
    OK(hm_state_open(&f, dir, NULL, NULL));
    hm_state read = *hm_state_of(f);
    read.before = written.before; /* not in the file */
    assert_memory_equal(&read, &written, sizeof read);
    OK(hm_state_check(f, &settings));
    hm_state_settings other = settings;
    strcpy(other.value[1], "43");
    assert_int_equal(hm_state_check(f, &other), HM_ERR_ARG);
    assert_non_null(strstr(hm_error_message(), "seed 42, not 43"));
    hm_store *const to = make_store(100);
    hm_store_find(to, "grad.layer.weight", NULL)[0] = 9;
    OK(hm_state_load(f, to, "grad."));
    assert_true(hm_store_find(to, "layer.weight", NULL)[14] == 19);
    assert_true(hm_store_find(to, "exp_avg.layer.weight", NULL)[0] == -5);
    assert_true(hm_store_find(to, "grad.layer.weight", NULL)[0] == 9);
    assert_int_equal(hm_state_load(f, to, "none"), HM_ERR_FORMAT);
    assert_non_null(strstr(hm_error_message(), "grad.layer.weight"));
    hm_store_free(to);
    hm_state_close(f);
}

static void two_are_kept(void **state) {
    (void)state;
    write_state(10, -1, 1);
    write_state(20, 10, 2);
    assert_int_equal(access(path_of(10), F_OK), 0);
    write_state(30, 20, 3);
    assert_int_equal(access(path_of(10), F_OK), -1);
    assert_int_equal(access(path_of(20), F_OK), 0);
    assert_int_equal(access(path_of(30), F_OK), 0);
}

static void count_note(void *user, const char *text) {
    assert_non_null(strstr(text, "the state before it is used"));
    ++*(int *)user;
}

/* Whatever byte is changed, and wherever the file is cut, it is not taken. */
static void finds_damage(void **state) {
    (void)state;
    write_state(20, 10, 2);
    write_state(30, 20, 3);
    char *sound;
    size_t n;
    hm_state_file *f;
    int notes = 0, damages = 0;
    OK(hm_file_read(path_of(30), 1 << 20, &sound, &n));
    for (size_t at = 0; at < n; at += 3, damages++) {
        char *const bad = malloc(n);
        memcpy(bad, sound, n);
        bad[at] ^= 4;
        OK(hm_file_write(path_of(30), bad, at % 2 == 0 ? n : at));
        free(bad);
        OK(hm_state_open(&f, dir, count_note, &notes));
        if (hm_state_of(f)->runs != 20)
            fail_msg("a change at byte %zu of %zu went unnoticed", at, n);
        hm_state_close(f);
    }
    assert_int_equal(notes, damages);
    OK(hm_file_write(path_of(20), sound, n / 2));
    assert_int_equal(hm_state_open(&f, dir, NULL, NULL), HM_ERR_FORMAT); /* none is sound */
    assert_null(f);
    OK(hm_file_write(path_of(30), sound, n));
    OK(hm_state_open(&f, path_of(30), NULL, NULL));
    hm_state_close(f);
    free(sound);
}

static hm_status fails(void *arg) {
    HM_FAIL(HM_ERR_IO, "the %s is full", (const char *)arg);
}

static hm_status counts(void *arg) {
    ++*(int *)arg;
    return HM_OK;
}

static void background_tells(void **state) {
    (void)state;
    hm_background *b;
    int n = 0;
    OK(hm_background_new(&b));
    OK(hm_background_wait(b));
    OK(hm_background_run(b, counts, &n));
    OK(hm_background_run(b, counts, &n));
    OK(hm_background_wait(b));
    assert_int_equal(n, 2);
    OK(hm_background_run(b, fails, (char *)(uintptr_t) "disk"));
    assert_int_equal(hm_background_run(b, counts, &n), HM_ERR_IO);
    assert_string_equal(hm_error_message(), "the disk is full");
    OK(hm_background_wait(b)); /* told once */
    assert_int_equal(n, 2);
    hm_background_free(b);
    hm_background_free(NULL);
}

static void sweeps(void **state) {
    (void)state;
    char path[128];
    snprintf(path, sizeof path, "%s/last.safetensors.tmp.123", dir);
    OK(hm_file_write(path, "x", 1));
    OK(hm_file_write(path_of(1), "x", 1));
    OK(hm_atomic_sweep(dir));
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(access(path_of(1), F_OK), 0);
    OK(hm_atomic_sweep("nowhere"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(comes_back, make_dir, drop_dir),
        cmocka_unit_test_setup_teardown(two_are_kept, make_dir, drop_dir),
        cmocka_unit_test_setup_teardown(finds_damage, make_dir, drop_dir),
        cmocka_unit_test_setup_teardown(sweeps, make_dir, drop_dir),
        cmocka_unit_test(background_tells),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
