/* program.h: runs the program as a user would and keeps what it said. Files of a test lie in a folder of its own, which
 * is removed at the end. Needs HM_PROGRAM (the executable's path) and HM_GOLDEN_DIR. */
#ifndef HM_TESTS_CLI_PROGRAM_H
#define HM_TESTS_CLI_PROGRAM_H

#include <dirent.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

typedef struct program_run {
    int status; /* exit status; 1000 + signal when it was killed */
    char *out, *err;
} program_run;

static char program_folder[64];   /* of this test */
static rlim_t program_file_limit; /* bytes that the program may write into one file; 0: any number */
static uid_t program_user;        /* whom it runs as; 0: whom the test runs as */

static inline int program_setup(void **state) {
    (void)state;
    strcpy(program_folder, "cli_XXXXXX");
    return mkdtemp(program_folder) == NULL;
}

static inline int program_teardown(void **state) {
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", program_folder);
    return system(command);
}

static inline char *program_read(const char *path) {
    FILE *const f = fopen(path, "rb");
    char *text = NULL;
    size_t len = 0, cap = 0, got;
    assert_non_null(f);
    do {
        cap = 2 * cap + 4096;
        text = realloc(text, cap + 1);
        assert_non_null(text);
        got = fread(text + len, 1, cap - len, f);
        len += got;
    } while (got > 0);
    text[len] = '\0';
    fclose(f);
    return text;
}

/* *path = a file of this test. */
static inline void program_path(char path[static 256], const char *name) {
    snprintf(path, 256, "%s/%s", program_folder, name);
}

/* Writes a file of this test; *path = where. */
static inline void program_bytes(char path[static 256], const char *name, const void *data, size_t len) {
    program_path(path, name);
    FILE *const f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
}

static inline void program_file(char path[static 256], const char *name, const char *text) {
    program_bytes(path, name, text, strlen(text));
}

static inline int program_entries(const char *folder) {
    DIR *const d = opendir(folder);
    int n = -2; /* . and .. */
    assert_non_null(d);
    while (readdir(d) != NULL)
        n++;
    closedir(d);
    return n;
}

/* In a child: becomes the program. */
static inline void program_become(char *const *argv) {
    if (program_file_limit > 0) { /* a full disk that needs no disk: writes beyond it fail */
        signal(SIGXFSZ, SIG_IGN);
        setrlimit(RLIMIT_FSIZE, &(struct rlimit){program_file_limit, program_file_limit});
    }
    if (program_user == 0 || setuid(program_user) == 0)
        execv(HM_PROGRAM, argv);
    _exit(127);
}

/* Runs with the arguments up to a NULL; stdout goes to `to`, or is kept in .out when that is NULL. */
static inline program_run program_run_to(const char *to, char *const *argv) {
    char out[256], err[256];
    program_path(out, ".stdout");
    program_path(err, ".stderr");
    program_run r = {0};
    const pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        const int o = open(to != NULL ? to : out, O_WRONLY | O_CREAT | O_TRUNC, 0666);
        const int e = open(err, O_WRONLY | O_CREAT | O_TRUNC, 0666);
        if (o < 0 || e < 0 || dup2(o, 1) < 0 || dup2(e, 2) < 0)
            _exit(127);
        program_become(argv);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    r.status = WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
    r.out = to == NULL ? program_read(out) : NULL;
    r.err = program_read(err);
    unlink(out);
    unlink(err);
    return r;
}

#define PROGRAM(...) program_run_to(NULL, (char *[]){"halfmask", __VA_ARGS__, NULL})

static inline void program_free(program_run *r) {
    free(r->out);
    free(r->err);
}

/* The last line of stderr is one sentence that begins with "halfmask: " and contains every word given (up to a NULL);
 * before it there may be progress. Frees r. */
static inline void program_failed(program_run r, int status, ...) {
    va_list ap;
    const char *word;
    if (r.status != status)
        fail_msg("exit status %d instead of %d: %s", r.status, status, r.err);
    const char *last = r.err;
    for (const char *at = r.err; (at = strchr(at, '\n')) != NULL && at[1] != '\0';)
        last = ++at;
    if (strncmp(last, "halfmask: ", 10) != 0 || last[strlen(last) - 1] != '\n')
        fail_msg("no sentence at the end: %s", r.err);
    va_start(ap, status);
    while ((word = va_arg(ap, const char *)) != NULL)
        if (strstr(last, word) == NULL)
            fail_msg("\"%s\" is missing in: %s", word, last);
    va_end(ap);
    program_free(&r);
}

static inline program_run program_silent(program_run r) {
    if (r.out != NULL && r.out[0] != '\0')
        fail_msg("something was printed: %s", r.out);
    if (strchr(r.err, '\n') != r.err + strlen(r.err) - 1)
        fail_msg("not one sentence: %s", r.err);
    return r;
}

/* Fails as above; REFUSED: before anything else is printed. */
#define FAILED(status, run, ...)  program_failed(run, status, __VA_ARGS__, (char *)NULL)
#define REFUSED(status, run, ...) FAILED(status, program_silent(run), __VA_ARGS__)

#endif
