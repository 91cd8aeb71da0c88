/* test_atomic.c: atomic files appear whole or not at all, whatever fails on the way; reading files, making folders. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <dirent.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "io/atomic.h"

static char folder[] = "/tmp/hm_test_atomic_XXXXXX";
static char path[256];

static const char *in_folder(const char *name) {
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static int make_folder(void **state) {
    (void)state;
    return mkdtemp(folder) == NULL;
}

static int remove_folder(void **state) {
    (void)state;
    char command[300];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

static void assert_content(const char *file, const char *expected) {
    char *data;
    size_t len;
    assert_int_equal(hm_file_read(file, 1 << 20, &data, &len), HM_OK);
    assert_int_equal(len, strlen(expected));
    assert_string_equal(data, expected);
    free(data);
}

static void assert_message_has(const char *part) {
    if (strstr(hm_error_message(), part) == NULL)
        fail_msg("\"%s\" lacks \"%s\"", hm_error_message(), part);
}

/* No file of the folder has ".tmp." in its name. */
static void assert_no_leftovers(void) {
    DIR *const dir = opendir(folder);
    assert_non_null(dir);
    for (const struct dirent *e; (e = readdir(dir)) != NULL;)
        assert_null(strstr(e->d_name, ".tmp."));
    closedir(dir);
}

static void a_commit_replaces_the_file(void **state) {
    (void)state;
    const char *const file = in_folder("a.txt");
    hm_atomic *a;
    assert_int_equal(hm_file_write(file, "old", 3), HM_OK);
    assert_int_equal(hm_atomic_open(file, &a), HM_OK);
    assert_int_equal(hm_atomic_write(a, "new ", 4), HM_OK);
    assert_int_equal(hm_atomic_write(a, "text", 4), HM_OK);
    assert_int_equal(hm_atomic_write(a, NULL, 0), HM_OK);
    assert_content(file, "old");
    assert_int_equal(hm_atomic_commit(&a), HM_OK);
    assert_null(a);
    assert_content(file, "new text");
    assert_no_leftovers();
}

static void an_abort_keeps_the_file(void **state) {
    (void)state;
    const char *const file = in_folder("b.txt");
    hm_atomic *a;
    assert_int_equal(hm_file_write(file, "old", 3), HM_OK);
    assert_int_equal(hm_atomic_open(file, &a), HM_OK);
    assert_int_equal(hm_atomic_write(a, "new", 3), HM_OK);
    hm_atomic_abort(a);
    hm_atomic_abort(NULL);
    assert_content(file, "old");
    assert_no_leftovers();
}

static void a_relative_path_works(void **state) {
    (void)state;
    char back[512];
    assert_non_null(getcwd(back, sizeof back));
    assert_int_equal(chdir(folder), 0);
    assert_int_equal(hm_file_write("relative.txt", "x", 1), HM_OK);
    assert_content("relative.txt", "x");
    assert_int_equal(chdir(back), 0);
}

/* A file size limit stands in for a full disk: write() fails in the same place with EFBIG. */
static void a_full_disk_keeps_the_file(void **state) {
    (void)state;
    const char *const file = in_folder("full.txt");
    enum { SMALL = 4096, BIG = 8 << 20 };
    char *const big = calloc(1, BIG);
    struct rlimit before, tight;
    assert_non_null(big);
    assert_int_equal(hm_file_write(file, "old", 3), HM_OK);
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    tight = before;
    tight.rlim_cur = SMALL;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
    const hm_status at_once = hm_file_write(file, big, BIG);           /* fails in write */
    const hm_status at_flush = hm_file_write(file, big, SMALL + 1000); /* buffered: fails in commit */
    setrlimit(RLIMIT_FSIZE, &before);
    signal(SIGXFSZ, SIG_DFL);
    free(big);
    assert_int_equal(at_once, HM_ERR_IO);
    assert_int_equal(at_flush, HM_ERR_IO);
    assert_message_has("full.txt: File too large");
    assert_content(file, "old");
    assert_no_leftovers();
}

static void bad_targets_are_refused(void **state) {
    (void)state;
    hm_atomic *a;
    assert_int_equal(hm_file_write(in_folder("plain"), "x", 1), HM_OK);
    assert_int_equal(hm_atomic_open(in_folder("plain/below.txt"), &a), HM_ERR_IO);
    assert_null(a);
    assert_message_has("plain/below.txt: Not a directory");
    assert_int_equal(hm_atomic_open(in_folder("missing/below.txt"), &a), HM_ERR_IO);
    assert_message_has("No such file or directory");
    assert_int_equal(hm_atomic_open(folder, &a), HM_ERR_IO);
    assert_message_has("it is a folder");
    assert_int_equal(hm_atomic_open("/dev/null", &a), HM_ERR_IO);
    assert_message_has("not a regular file");
}

static void an_unwritable_folder_is_refused(void **state) {
    (void)state;
    if (geteuid() == 0) /* permissions do not bind root */
        skip();
    assert_int_equal(mkdir(in_folder("locked"), 0500), 0);
    assert_int_equal(hm_file_write(in_folder("locked/a.txt"), "x", 1), HM_ERR_IO);
    assert_message_has("Permission denied");
}

static void a_target_that_became_a_folder_fails_the_commit(void **state) {
    (void)state;
    const char *const file = in_folder("late");
    hm_atomic *a;
    assert_int_equal(hm_atomic_open(file, &a), HM_OK);
    assert_int_equal(mkdir(file, 0700), 0);
    assert_int_equal(hm_atomic_commit(&a), HM_ERR_IO);
    assert_message_has("cannot rename");
    assert_no_leftovers();
}

static void reading_reports_what_is_wrong(void **state) {
    (void)state;
    char *data = (char *)1;
    size_t len = 7;
    assert_int_equal(hm_file_read(in_folder("nowhere"), 10, &data, &len), HM_ERR_IO);
    assert_message_has("nowhere: No such file or directory");
    assert_null(data);
    assert_int_equal(len, 0);
    assert_int_equal(hm_file_read(folder, 10, &data, &len), HM_ERR_IO);
    assert_message_has("Is a directory");
    assert_int_equal(hm_file_write(in_folder("eleven"), "12345678901", 11), HM_OK);
    assert_int_equal(hm_file_read(in_folder("eleven"), 10, &data, &len), HM_ERR_FORMAT);
    assert_message_has("larger than 10 bytes");
    assert_int_equal(hm_file_read(in_folder("eleven"), 11, &data, &len), HM_OK);
    assert_int_equal(len, 11);
    free(data);
    assert_int_equal(hm_file_write(in_folder("empty"), "", 0), HM_OK);
    assert_content(in_folder("empty"), "");
}

static void folders_are_made_with_those_above(void **state) {
    (void)state;
    struct stat info;
    assert_int_equal(hm_make_dirs(in_folder("x//y/z/")), HM_OK);
    assert_int_equal(hm_make_dirs(in_folder("x/y/z")), HM_OK);
    assert_int_equal(stat(in_folder("x/y/z"), &info), 0);
    assert_true(S_ISDIR(info.st_mode));
    assert_int_equal(hm_make_dirs("/"), HM_OK);
    assert_int_equal(hm_make_dirs(""), HM_ERR_ARG);
    assert_int_equal(hm_file_write(in_folder("x/f"), "x", 1), HM_OK);
    assert_int_equal(hm_make_dirs(in_folder("x/f")), HM_ERR_IO);
    assert_message_has("a file of that name exists");
    assert_int_equal(hm_make_dirs(in_folder("x/f/g")), HM_ERR_IO);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_commit_replaces_the_file),
        cmocka_unit_test(an_abort_keeps_the_file),
        cmocka_unit_test(a_relative_path_works),
        cmocka_unit_test(a_full_disk_keeps_the_file),
        cmocka_unit_test(bad_targets_are_refused),
        cmocka_unit_test(an_unwritable_folder_is_refused),
        cmocka_unit_test(a_target_that_became_a_folder_fails_the_commit),
        cmocka_unit_test(reading_reports_what_is_wrong),
        cmocka_unit_test(folders_are_made_with_those_above),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
