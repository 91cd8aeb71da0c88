/* state.c: writing and reading states. The checksum is zlib's CRC-32 over the metadata and all tensors, in the
 * file's order, so a file that was cut, mixed up or changed is not taken for a state. */
#include "train/state.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "base/mem.h"
#include "weights/file_tensor.h"

#define FORMAT "halfmask state 2"
#define NAME   "state_%012" PRId64 ".safetensors"

enum { PATH = 4096 };

/* ---- metadata */

/* Whole numbers of a state, in the file's order. */
static const struct {
    const char *name;
    size_t offset;
} counts[] = {
    {"epoch", offsetof(hm_state, epoch)},
    {"batch", offsetof(hm_state, batch)},
    {"runs", offsetof(hm_state, runs)},
    {"step", offsetof(hm_state, step)},
    {"skipped", offsetof(hm_state, skipped)},
    {"rows", offsetof(hm_state, rows)},
    {"early_stopping_waited", offsetof(hm_state, selection.waited)},
};
enum { N_COUNTS = sizeof counts / sizeof counts[0] };

/* Its other numbers; infinite and NaN ones come back as such. */
static const struct {
    const char *name;
    size_t offset;
} reals[] = {
    {"last_scale", offsetof(hm_state, last_scale)},
    {"best_regular", offsetof(hm_state, selection.best.regular)},
    {"best_ema", offsetof(hm_state, selection.best.ema)},
    {"early_stopping_best", offsetof(hm_state, selection.stop_best)},
};
enum { N_REALS = sizeof reals / sizeof reals[0] };

typedef struct metadata {
    hm_st_pair pairs[N_COUNTS + N_REALS + HM_STATE_SETTINGS + 2]; /* and "format", "checksum" */
    char text[N_COUNTS + N_REALS][32];
    char name[HM_STATE_SETTINGS][64];
    size_t n;
} metadata;

static void put(metadata *m, const char *key, const char *value) {
    m->pairs[m->n++] = (hm_st_pair){key, value};
}

static void describe(metadata *m, const hm_state *s, const hm_state_settings *settings) {
    put(m, "format", FORMAT);
    for (size_t i = 0; i < N_COUNTS; i++) {
        int64_t v;
        memcpy(&v, (const char *)s + counts[i].offset, sizeof v);
        snprintf(m->text[i], sizeof m->text[i], "%" PRId64, v);
        put(m, counts[i].name, m->text[i]);
    }
    for (size_t i = 0; i < N_REALS; i++) {
        char *const text = m->text[N_COUNTS + i];
        double v;
        memcpy(&v, (const char *)s + reals[i].offset, sizeof v);
        snprintf(text, sizeof m->text[0], "%a", v);
        put(m, reals[i].name, text);
    }
    for (size_t k = 0; k < settings->n; k++) {
        snprintf(m->name[k], sizeof m->name[k], "run.%s", settings->name[k]);
        put(m, m->name[k], settings->value[k]);
    }
}

static uLong sum_of_metadata(const metadata *m) {
    uLong sum = crc32(0, NULL, 0);
    for (size_t i = 0; i < m->n; i++) {
        sum = crc32_z(sum, (const Bytef *)m->pairs[i].key, strlen(m->pairs[i].key) + 1);
        sum = crc32_z(sum, (const Bytef *)m->pairs[i].value, strlen(m->pairs[i].value) + 1);
    }
    return sum;
}

static uLong sum_of_tensor(uLong sum, const hm_safetensor *t) {
    sum = crc32_z(sum, (const Bytef *)t->name, strlen(t->name) + 1);
    return crc32_z(sum, t->data, t->bytes);
}

/* ---- the states of a folder */

static int falling(const void *a, const void *b) {
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x < y) - (x > y);
}

/* Whether a folder's entry is a state; its batches into *runs. */
static bool is_state(const char *name, int64_t *runs) {
    int end = 0;
    return sscanf(name, "state_%" SCNd64 ".safetensors%n", runs, &end) == 1 && end > 0 && name[end] == '\0';
}

/* *runs = the batches of the folder's states [*n], the newest first; free(). A folder that is not there has none. */
static hm_status list_states(const char *dir, int64_t **runs, size_t *n) {
    DIR *const d = opendir(dir);
    size_t cap = 0;
    hm_status st = HM_OK;
    *runs = NULL;
    *n = 0;
    if (d == NULL && errno == ENOENT)
        return HM_OK;
    if (d == NULL)
        HM_FAIL(HM_ERR_IO, "cannot read the folder %s: %s", dir, strerror(errno));
    for (const struct dirent *e; st == HM_OK && (e = readdir(d)) != NULL;) {
        int64_t of;
        if (!is_state(e->d_name, &of))
            continue;
        st = hm_grow(runs, &cap, *n + 1, sizeof **runs);
        if (st == HM_OK)
            (*runs)[(*n)++] = of;
    }
    closedir(d);
    if (*n > 1)
        qsort(*runs, *n, sizeof **runs, falling);
    return st;
}

static void state_path(char path[static PATH], const char *dir, int64_t runs) {
    snprintf(path, PATH, "%s/" NAME, dir, runs);
}

/* One that cannot be removed only takes room. */
static hm_status remove_others(const char *dir, int64_t a, int64_t b) {
    int64_t *runs;
    size_t n;
    const hm_status st = list_states(dir, &runs, &n);
    for (size_t i = 0; st == HM_OK && i < n; i++) {
        char path[PATH];
        state_path(path, dir, runs[i]);
        if (runs[i] != a && runs[i] != b)
            unlink(path);
    }
    free(runs);
    return st;
}

/* ---- writing */

static hm_status list(hm_safetensor *to, const hm_store *tensors, size_t i) {
    hm_shape shape;
    hm_dtype dtype;
    const char *name;
    const void *const data = hm_store_read(tensors, i, &name, &shape, &dtype);
    if (data == NULL)
        return HM_ERR_INTERNAL; /* with the message of the copy that failed */
    *to = hm_file_tensor(name, shape, dtype, data);
    return HM_OK;
}

static hm_status write_file(const char *path, const hm_safetensor *tensors, size_t n, metadata *m) {
    uLong sum = sum_of_metadata(m);
    char text[16];
    for (size_t i = 0; i < n; i++)
        sum = sum_of_tensor(sum, &tensors[i]);
    snprintf(text, sizeof text, "%08lx", sum);
    put(m, "checksum", text);
    return hm_safetensors_write(path, tensors, n, m->pairs, m->n);
}

hm_status hm_state_write(const char *dir, const hm_store *tensors, const hm_state *s,
                         const hm_state_settings *settings) {
    const size_t n = hm_store_count(tensors);
    hm_safetensor *all = NULL;
    metadata m = {0};
    char path[PATH];
    hm_status st = HM_OK;
    state_path(path, dir, s->runs);
    describe(&m, s, settings);
    HM_TRY(hm_alloc(&all, n + 1, sizeof *all));
    for (size_t i = 0; i < n && st == HM_OK; i++)
        st = list(&all[i], tensors, i);
    if (st == HM_OK)
        st = write_file(path, all, n, &m);
    if (st == HM_OK)
        st = remove_others(dir, s->runs, s->before);
    free(all);
    return st;
}

/* ---- reading */

struct hm_state_file {
    char path[PATH];
    hm_safetensors *file;
    hm_state state;
};

void hm_state_close(hm_state_file *f) {
    if (f == NULL)
        return;
    hm_safetensors_close(f->file);
    free(f);
}

const char *hm_state_path(const hm_state_file *f) {
    return f->path;
}

const hm_state *hm_state_of(const hm_state_file *f) {
    return &f->state;
}

static hm_status damaged(const hm_state_file *f, const char *why) {
    HM_FAIL(HM_ERR_FORMAT, "%s is no sound state of a run (%s)", f->path, why);
}

static hm_status read_number(const hm_state_file *f, const char *key, bool whole, void *out) {
    const char *const text = hm_safetensors_metadata(f->file, key);
    char *end = NULL;
    if (text == NULL)
        return damaged(f, key);
    if (whole)
        *(int64_t *)out = strtoll(text, &end, 10);
    else
        *(double *)out = strtod(text, &end);
    return end != text && *end == '\0' ? HM_OK : damaged(f, key);
}

static hm_status read_state(hm_state_file *f) {
    const char *const format = hm_safetensors_metadata(f->file, "format");
    if (format == NULL || strcmp(format, FORMAT) != 0)
        return damaged(f, "it does not say \"" FORMAT "\"");
    for (size_t i = 0; i < N_COUNTS; i++)
        HM_TRY(read_number(f, counts[i].name, true, (char *)&f->state + counts[i].offset));
    for (size_t i = 0; i < N_REALS; i++)
        HM_TRY(read_number(f, reals[i].name, false, (char *)&f->state + reals[i].offset));
    return HM_OK;
}

/* The settings that the file has, in its order: after the fixed keys. */
static void read_settings(const hm_state_file *f, hm_state_settings *out) {
    hm_st_pair pair;
    for (size_t i = 0; hm_safetensors_metadata_at(f->file, i, &pair); i++) {
        if (strncmp(pair.key, "run.", 4) != 0 || out->n == HM_STATE_SETTINGS)
            continue;
        out->name[out->n] = pair.key + 4;
        snprintf(out->value[out->n++], sizeof out->value[0], "%s", pair.value);
    }
}

static hm_status check_sum(const hm_state_file *f) {
    hm_state_settings settings = {0};
    metadata m = {0};
    read_settings(f, &settings);
    describe(&m, &f->state, &settings);
    uLong sum = sum_of_metadata(&m);
    for (size_t i = 0; i < hm_safetensors_count(f->file); i++)
        sum = sum_of_tensor(sum, hm_safetensors_at(f->file, i));
    char text[16];
    const char *const listed = hm_safetensors_metadata(f->file, "checksum");
    snprintf(text, sizeof text, "%08lx", sum);
    return listed != NULL && strcmp(listed, text) == 0 ? HM_OK : damaged(f, "its checksum does not fit its contents");
}

static hm_status open_file(hm_state_file **out, const char *path) {
    hm_state_file *f = NULL;
    *out = NULL;
    HM_TRY(hm_alloc(&f, 1, sizeof *f));
    snprintf(f->path, sizeof f->path, "%s", path);
    hm_status st = hm_safetensors_open(path, &f->file);
    if (st == HM_OK)
        st = read_state(f);
    if (st == HM_OK)
        st = check_sum(f);
    if (st != HM_OK) {
        hm_state_close(f);
        return st;
    }
    *out = f;
    return HM_OK;
}

/* The first of the folder's states that is sound; the status of the last that was tried. */
static hm_status open_newest(hm_state_file **out, const char *dir, const int64_t *runs, size_t n,
                             void (*note)(void *user, const char *text), void *user) {
    hm_status st = HM_OK;
    for (size_t i = 0; i < n && *out == NULL; i++) {
        char path[PATH], text[PATH + 600];
        state_path(path, dir, runs[i]);
        st = open_file(out, path);
        if (st == HM_OK || note == NULL)
            continue;
        snprintf(text, sizeof text, "%s: the state before it is used", hm_error_message());
        note(user, text);
    }
    return st;
}

hm_status hm_state_open(hm_state_file **out, const char *path, void (*note)(void *user, const char *text), void *user) {
    struct stat info;
    int64_t *runs;
    size_t n;
    *out = NULL;
    if (stat(path, &info) == 0 && !S_ISDIR(info.st_mode))
        return open_file(out, path);
    hm_status st = list_states(path, &runs, &n);
    if (st == HM_OK)
        st = open_newest(out, path, runs, n, note, user);
    free(runs);
    return st;
}

hm_status hm_state_check(const hm_state_file *f, const hm_state_settings *now) {
    for (size_t i = 0; i < now->n; i++) {
        char key[64];
        snprintf(key, sizeof key, "run.%s", now->name[i]);
        const char *const then = hm_safetensors_metadata(f->file, key);
        if (then == NULL || strcmp(then, now->value[i]) != 0)
            HM_FAIL(HM_ERR_ARG,
                    "%s is of a run with %s %s, not %s: give the same to go on with it, or begin a new run from its "
                    "weights (pretrain_weights)",
                    f->path, now->name[i], then != NULL ? then : "of another kind", now->value[i]);
    }
    return HM_OK;
}

hm_status hm_state_load(const hm_state_file *f, hm_store *to, const char *without) {
    for (size_t i = 0; i < hm_store_count(to); i++) {
        hm_shape shape;
        hm_dtype dtype;
        const char *name;
        if (hm_store_read(to, i, &name, &shape, &dtype) == NULL)
            return HM_ERR_INTERNAL; /* with the message of the copy that failed */
        if (strncmp(name, without, strlen(without)) == 0)
            continue;
        const hm_safetensor *const t = hm_safetensors_find(f->file, name);
        if (t == NULL || t->dtype != hm_file_dtype(dtype) || !hm_file_tensor_is(t, shape))
            HM_FAIL(HM_ERR_FORMAT, "%s has no tensor %s as this run needs it: it is of another kind of run", f->path,
                    name);
        memcpy(hm_store_data(to, name, &shape, &dtype), t->data, t->bytes);
    }
    return HM_OK;
}
