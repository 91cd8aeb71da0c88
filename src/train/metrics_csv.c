/* metrics_csv.c: appends rows to metrics.csv. Text format: RFC 4180 with '\n' line ends ("\r\n" is read too). A row
 * goes out in one write(2), so that a run which is killed leaves whole rows or one cut short at the end, which resuming
 * removes; a changed header goes through an atomic replacement of the file. */
#include "train/metrics_csv.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "io/atomic.h"
#include "train/csv_text.h"

enum { NUMBER_BYTES = 32, MAX_FILE_BYTES = 1 << 30 }; /* a printed double and its separator */

typedef struct column {
    char *name;
    double value; /* of the row in the making */
    char *words;  /* instead of a number, or NULL */
    bool present;
} column;

struct hm_metrics_csv {
    char *path;
    int fd;
    off_t end; /* bytes of whole rows in the file */
    int64_t rows;
    column *columns;
    size_t n, cap, n_in_file; /* columns; those of the file's header are the first n_in_file */
};

typedef struct text {
    char *s;
    size_t len, cap; /* bytes */
} text;

static hm_status io_error(const hm_metrics_csv *m, const char *verb) {
    HM_FAIL(HM_ERR_IO, "cannot %s %s: %s", verb, m->path, strerror(errno));
}

static hm_status add_column(hm_metrics_csv *m, const char *name) {
    HM_TRY(hm_grow(&m->columns, &m->cap, m->n + 1, sizeof *m->columns));
    m->columns[m->n] = (column){0};
    HM_TRY(hm_strdup(&m->columns[m->n].name, name));
    m->n++;
    return HM_OK;
}

static size_t find_column(const hm_metrics_csv *m, const char *name) {
    size_t i = 0;
    while (i < m->n && strcmp(m->columns[i].name, name) != 0)
        i++;
    return i;
}

static hm_status need_column(hm_metrics_csv *m, const char *name) {
    return find_column(m, name) < m->n ? HM_OK : add_column(m, name);
}

static hm_status put_header(const hm_metrics_csv *m, text *to) {
    for (size_t i = 0; i < m->n; i++) {
        HM_TRY(hm_grow(&to->s, &to->cap, to->len + 2 * strlen(m->columns[i].name) + 3, 1));
        to->len += hm_csv_quote(to->s + to->len, m->columns[i].name);
        to->s[to->len++] = i + 1 < m->n ? ',' : '\n';
    }
    return HM_OK;
}

/* Nine digits bring a float back exactly; whole numbers (steps) are written in full. */
static int put_number(char *to, double v) {
    if (isnan(v))
        return snprintf(to, NUMBER_BYTES, "nan");
    const bool whole = fabs(v) < 0x1p53 && v == floor(v);
    return snprintf(to, NUMBER_BYTES, whole ? "%.0f" : "%.9g", v);
}

static hm_status put_row(const hm_metrics_csv *m, text *to) {
    size_t words = 0;
    for (size_t i = 0; i < m->n; i++)
        words += m->columns[i].words != NULL ? 2 * strlen(m->columns[i].words) + 2 : 0;
    HM_TRY(hm_grow(&to->s, &to->cap, to->len + words + m->n * NUMBER_BYTES, 1));
    for (size_t i = 0; i < m->n; i++) {
        if (m->columns[i].words != NULL)
            to->len += hm_csv_quote(to->s + to->len, m->columns[i].words);
        else if (m->columns[i].present)
            to->len += (size_t)put_number(to->s + to->len, m->columns[i].value);
        to->s[to->len++] = i + 1 < m->n ? ',' : '\n';
    }
    return HM_OK;
}

/* Copies the first `keep` whole rows of `old` (header first), each padded to m->n cells. */
static hm_status copy_rows(hm_metrics_csv *m, text *to, const char *old, size_t old_len, int64_t keep) {
    size_t at, next, line_number = 1;
    m->rows = 0;
    hm_csv_line(old, old_len, 0, &at);
    for (; m->rows < keep && at < old_len && memchr(old + at, '\n', old_len - at); at = next) {
        const size_t len = hm_csv_line(old, old_len, at, &next), cells = hm_csv_count(old + at, len);
        line_number++;
        if (cells > m->n)
            HM_FAIL(HM_ERR_FORMAT, "%s, line %zu: %zu cells but the header has %zu columns: move the file away",
                    m->path, line_number, cells, m->n);
        if (len == 0)
            continue;
        HM_TRY(hm_grow(&to->s, &to->cap, to->len + len + m->n + 1, 1));
        memcpy(to->s + to->len, old + at, len);
        to->len += len;
        memset(to->s + to->len, ',', m->n - cells);
        to->len += m->n - cells;
        to->s[to->len++] = '\n';
        m->rows++;
    }
    return HM_OK;
}

/* Replaces the file by a header of all columns and the rows of `old` (may be empty), and opens it for appending. */
static hm_status replace_file(hm_metrics_csv *m, const char *old, size_t old_len, int64_t keep) {
    text fresh = {0};
    hm_status st;
    HM_TRY_TO(st, done, put_header(m, &fresh));
    if (old_len > 0)
        HM_TRY_TO(st, done, copy_rows(m, &fresh, old, old_len, keep));
    HM_TRY_TO(st, done, hm_file_write(m->path, fresh.s, fresh.len));
    const int fd = open(m->path, O_WRONLY | O_CLOEXEC);
    if (fd < 0) {
        st = io_error(m, "open");
        goto done;
    }
    if (m->fd >= 0)
        close(m->fd);
    m->fd = fd;
    m->end = (off_t)fresh.len;
    m->n_in_file = m->n;
done:
    free(fresh.s);
    return st;
}

static hm_status read_header(hm_metrics_csv *m, const char *old, size_t old_len) {
    size_t next, at = 0;
    const size_t len = hm_csv_line(old, old_len, 0, &next);
    char *cell = NULL;
    HM_TRY(hm_alloc(&cell, len + 1, 1));
    hm_status st = HM_OK;
    for (bool more = len > 0; more && st == HM_OK;) {
        more = hm_csv_cell(old, len, &at, cell);
        st = add_column(m, cell);
    }
    free(cell);
    return st;
}

static hm_status start_file(hm_metrics_csv *m, const char *const *columns, size_t n, int64_t keep) {
    char *old = NULL;
    size_t old_len = 0;
    hm_status st = HM_OK;
    if (keep >= 0 && access(m->path, F_OK) == 0)
        HM_TRY_TO(st, done, hm_file_read(m->path, MAX_FILE_BYTES, &old, &old_len));
    if (old_len > 0 && !memchr(old, '\n', old_len))
        old_len = 0; /* the header itself was cut short */
    HM_TRY_TO(st, done, read_header(m, old, old_len));
    for (size_t i = 0; i < n; i++)
        HM_TRY_TO(st, done, need_column(m, columns[i]));
    st = replace_file(m, old, old_len, keep);
done:
    free(old);
    return st;
}

hm_status hm_metrics_csv_open(hm_metrics_csv **out, const char *path, const char *const *columns, size_t n,
                              int64_t keep) {
    hm_metrics_csv *m = NULL;
    *out = NULL;
    if (n == 0)
        HM_FAIL(HM_ERR_ARG, "cannot write %s without columns", path);
    HM_TRY(hm_alloc(&m, 1, sizeof *m));
    m->fd = -1;
    hm_status st;
    HM_TRY_TO(st, fail, hm_strdup(&m->path, path));
    HM_TRY_TO(st, fail, start_file(m, columns, n, keep));
    *out = m;
    return HM_OK;
fail:
    hm_metrics_csv_free(m);
    return st;
}

int64_t hm_metrics_csv_rows(const hm_metrics_csv *m) {
    return m->rows;
}

hm_status hm_metrics_csv_set(hm_metrics_csv *m, const char *name, double value) {
    HM_TRY(need_column(m, name));
    column *const c = &m->columns[find_column(m, name)];
    c->value = value;
    c->present = true;
    return HM_OK;
}

hm_status hm_metrics_csv_set_text(hm_metrics_csv *m, const char *name, const char *value) {
    char *copy;
    HM_TRY(need_column(m, name));
    HM_TRY(hm_strdup(&copy, value));
    column *const c = &m->columns[find_column(m, name)];
    free(c->words);
    c->words = copy;
    return HM_OK;
}

static void clear_row(hm_metrics_csv *m) {
    for (size_t i = 0; i < m->n; i++) {
        m->columns[i].present = false;
        free(m->columns[i].words);
        m->columns[i].words = NULL;
    }
}

/* Writes at m->end and moves it; after a failure the file is cut back to whole rows, as far as the system allows. */
static hm_status append(hm_metrics_csv *m, const char *s, size_t len) {
    size_t done = 0;
    while (done < len) {
        const ssize_t k = pwrite(m->fd, s + done, len - done, m->end + (off_t)done);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0) {
            errno = k == 0 ? ENOSPC : errno;
            const hm_status st = io_error(m, "write");
            return ftruncate(m->fd, m->end) == 0 ? st : hm_fail_in(st, "a part of a row stays");
        }
        done += (size_t)k;
    }
    m->end += (off_t)len;
    return HM_OK;
}

static hm_status widen_file(hm_metrics_csv *m) {
    char *old = NULL;
    size_t len;
    HM_TRY(hm_file_read(m->path, MAX_FILE_BYTES, &old, &len));
    const hm_status st = replace_file(m, old, len, INT64_MAX);
    free(old);
    return st;
}

hm_status hm_metrics_csv_write_row(hm_metrics_csv *m) {
    text row = {0};
    if (m->n_in_file != m->n)
        HM_TRY(widen_file(m));
    hm_status st = put_row(m, &row);
    if (st == HM_OK)
        st = append(m, row.s, row.len);
    if (st == HM_OK) {
        m->rows++;
        clear_row(m);
    }
    free(row.s);
    return st;
}

void hm_metrics_csv_free(hm_metrics_csv *m) {
    if (m == NULL)
        return;
    if (m->fd >= 0)
        close(m->fd);
    clear_row(m);
    for (size_t i = 0; i < m->n; i++)
        free(m->columns[i].name);
    free(m->columns);
    free(m->path);
    free(m);
}
