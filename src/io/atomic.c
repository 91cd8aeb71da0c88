/* atomic.c: see atomic.h. The order is POSIX's only safe one: write, fflush, fsync, close, rename, fsync the folder. */
#include "io/atomic.h"

#include "base/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WRITE_BUFFER = 1 << 20, READ_STEP = 1 << 16 };

struct hm_atomic {
    FILE *file;
    char *path, *temp;
};

static void atomic_free(hm_atomic *a) {
    free(a->path);
    free(a->temp);
    free(a);
}

void hm_atomic_abort(hm_atomic *a) {
    if (a == NULL)
        return;
    if (a->file != NULL) {
        fclose(a->file);
        unlink(a->temp);
    }
    atomic_free(a);
}

static hm_status check_target(const char *path) {
    struct stat info;
    if (stat(path, &info) != 0) {
        if (errno == ENOENT)
            return HM_OK;
        HM_FAIL(HM_ERR_IO, "cannot write %s: %s; choose a path in a folder that exists", path, strerror(errno));
    }
    if (S_ISDIR(info.st_mode))
        HM_FAIL(HM_ERR_IO, "cannot write %s: it is a folder; give the path of a file", path);
    if (!S_ISREG(info.st_mode))
        HM_FAIL(HM_ERR_IO, "cannot write %s: it is not a regular file; choose another path", path);
    return HM_OK;
}

static hm_status open_temp(hm_atomic *a) {
    if (asprintf(&a->temp, "%s.tmp.%ld", a->path, (long)gettid()) < 0) {
        a->temp = NULL;
        HM_FAIL(HM_ERR_MEMORY, "cannot write %s: out of memory", a->path);
    }
    const int fd = open(a->temp, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0666);
    if (fd < 0)
        HM_FAIL(HM_ERR_IO, "cannot create %s: %s; check that its folder exists and can be written", a->temp,
                strerror(errno));
    a->file = fdopen(fd, "wb");
    if (a->file == NULL) {
        const int why = errno;
        close(fd);
        unlink(a->temp);
        HM_FAIL(HM_ERR_IO, "cannot create %s: %s", a->temp, strerror(why));
    }
    setvbuf(a->file, NULL, _IOFBF, WRITE_BUFFER);
    return HM_OK;
}

hm_status hm_atomic_open(const char *path, hm_atomic **out) {
    hm_status st;
    hm_atomic *a = NULL;
    *out = NULL;
    HM_TRY(check_target(path));
    HM_TRY(hm_alloc(&a, 1, sizeof *a));
    HM_TRY_TO(st, fail, hm_strdup(&a->path, path));
    HM_TRY_TO(st, fail, open_temp(a));
    *out = a;
    return HM_OK;
fail:
    hm_atomic_abort(a);
    return st;
}

static hm_status write_failed(const hm_atomic *a, int why) {
    HM_FAIL(HM_ERR_IO, "cannot write %s: %s; free some space or choose another folder (a previous file is unchanged)",
            a->path, strerror(why));
}

hm_status hm_atomic_write(hm_atomic *a, const void *data, size_t len) {
    if (len == 0)
        return HM_OK;
    errno = EIO;
    if (fwrite(data, 1, len, a->file) != len)
        return write_failed(a, errno);
    return HM_OK;
}

/* A rename is on disk only when its folder is; file systems that cannot sync a folder are let pass. */
static hm_status sync_folder(const char *path) {
    hm_status st = HM_OK;
    char *folder = NULL;
    const char *const slash = strrchr(path, '/');
    if (slash == NULL)
        HM_TRY(hm_strdup(&folder, "."));
    else if (slash == path)
        HM_TRY(hm_strdup(&folder, "/"));
    else if ((folder = strndup(path, (size_t)(slash - path))) == NULL)
        HM_FAIL(HM_ERR_MEMORY, "cannot sync the folder of %s: out of memory", path);
    const int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd >= 0) {
        if (fsync(fd) != 0 && errno != EINVAL && errno != ENOTSUP && errno != EROFS)
            st = hm_fail(HM_ERR_IO, "%s is written, but its folder cannot be synced: %s", path, strerror(errno));
        close(fd);
    }
    free(folder);
    return st;
}

hm_status hm_atomic_commit(hm_atomic **pa) {
    hm_atomic *const a = *pa;
    hm_status st = HM_OK;
    *pa = NULL;
    errno = EIO;
    if (ferror(a->file) || fflush(a->file) != 0 || fsync(fileno(a->file)) != 0)
        st = write_failed(a, errno);
    if (fclose(a->file) != 0 && st == HM_OK)
        st = write_failed(a, errno);
    a->file = NULL;
    if (st == HM_OK && rename(a->temp, a->path) != 0)
        st = hm_fail(HM_ERR_IO, "cannot rename %s to %s: %s", a->temp, a->path, strerror(errno));
    if (st != HM_OK)
        unlink(a->temp);
    else
        st = sync_folder(a->path);
    atomic_free(a);
    return st;
}

static bool is_temporary(const char *name) {
    const char *const mark = strstr(name, ".tmp.");
    return mark != NULL && mark[5] != '\0' && mark[5 + strspn(mark + 5, "0123456789")] == '\0';
}

hm_status hm_atomic_sweep(const char *dir) {
    DIR *const d = opendir(dir);
    if (d == NULL && errno == ENOENT)
        return HM_OK;
    if (d == NULL)
        HM_FAIL(HM_ERR_IO, "cannot read the folder %s: %s", dir, strerror(errno));
    for (const struct dirent *e; (e = readdir(d)) != NULL;)
        if (is_temporary(e->d_name))
            unlinkat(dirfd(d), e->d_name, 0); /* one that stays only takes room */
    closedir(d);
    return HM_OK;
}

hm_status hm_file_write(const char *path, const void *data, size_t len) {
    hm_status st;
    hm_atomic *a = NULL;
    HM_TRY(hm_atomic_open(path, &a));
    HM_TRY_TO(st, done, hm_atomic_write(a, data, len));
    st = hm_atomic_commit(&a);
done:
    hm_atomic_abort(a);
    return st;
}

/* Appends fd's bytes to *data until its end; the size is not taken from fstat, so pipes work too. */
static hm_status read_all(int fd, const char *path, size_t max_bytes, char **data, size_t *len) {
    size_t cap = 0;
    for (;;) {
        HM_TRY(hm_grow(data, &cap, *len + READ_STEP + 1, 1));
        const ssize_t got = read(fd, *data + *len, READ_STEP);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            HM_FAIL(HM_ERR_IO, "cannot read %s: %s", path, strerror(errno));
        (*data)[*len + (size_t)got] = '\0';
        if (got == 0)
            return HM_OK;
        *len += (size_t)got;
        if (*len > max_bytes)
            HM_FAIL(HM_ERR_FORMAT, "%s is larger than %zu bytes, more than such a file may have: is it the right file?",
                    path, max_bytes);
    }
}

hm_status hm_file_read(const char *path, size_t max_bytes, char **data, size_t *len) {
    *data = NULL;
    *len = 0;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        HM_FAIL(HM_ERR_IO, "cannot open %s: %s", path, strerror(errno));
    const hm_status st = read_all(fd, path, max_bytes, data, len);
    close(fd);
    if (st != HM_OK) {
        free(*data);
        *data = NULL;
        *len = 0;
    }
    return st;
}

static hm_status make_dir(const char *path) {
    struct stat info;
    if (mkdir(path, 0777) == 0)
        return HM_OK;
    const int why = errno;
    if (stat(path, &info) == 0) {
        if (S_ISDIR(info.st_mode))
            return HM_OK;
        HM_FAIL(HM_ERR_IO, "cannot make the folder %s: a file of that name exists", path);
    }
    HM_FAIL(HM_ERR_IO, "cannot make the folder %s: %s", path, strerror(why));
}

hm_status hm_make_dirs(const char *path) {
    char *copy = NULL;
    if (path[0] == '\0')
        HM_FAIL(HM_ERR_ARG, "cannot make a folder: its path is empty");
    HM_TRY(hm_strdup(&copy, path));
    hm_status st = HM_OK;
    for (char *p = copy + 1; *p != '\0' && st == HM_OK; p++) {
        if (*p != '/' || p[-1] == '/')
            continue;
        *p = '\0';
        st = make_dir(copy);
        *p = '/';
    }
    if (st == HM_OK)
        st = make_dir(copy);
    free(copy);
    return st;
}
