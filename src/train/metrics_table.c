/* metrics_table.c: reads a metrics.csv back as a table of numbers, for plots and reports. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/atomic.h"
#include "train/csv_text.h"
#include "train/metrics_csv.h"

enum { MAX_FILE_BYTES = 1 << 30 };

/* `cell` is scratch of len + 1 bytes. */
static hm_status read_columns(hm_metrics_table *t, const char *line, size_t len, char *cell) {
    const size_t n = hm_csv_count(line, len);
    size_t at = 0;
    HM_TRY(hm_alloc(&t->columns, n, sizeof *t->columns));
    for (; t->n < n; t->n++) {
        hm_csv_cell(line, len, &at, cell);
        HM_TRY(hm_strdup(&t->columns[t->n], cell));
    }
    return HM_OK;
}

static void read_row(const char *line, size_t len, char *cell, double *row, size_t n) {
    size_t at = 0;
    bool more = true;
    for (size_t i = 0; i < n; i++) {
        row[i] = NAN;
        if (!more)
            continue;
        more = hm_csv_cell(line, len, &at, cell);
        char *end;
        const double v = strtod(cell, &end);
        if (end != cell && *end == '\0')
            row[i] = v;
    }
}

static hm_status read_rows(hm_metrics_table *t, const char *path, const char *s, size_t len, size_t at, char *cell) {
    size_t next, cap = 0;
    for (; at < len && memchr(s + at, '\n', len - at); at = next) {
        const size_t n = hm_csv_line(s, len, at, &next);
        if (n == 0)
            continue;
        if (hm_csv_count(s + at, n) > t->n)
            HM_FAIL(HM_ERR_FORMAT, "%s, row %zu: more cells than the header has columns (%zu): repair the file", path,
                    t->rows + 1, t->n);
        HM_TRY(hm_grow(&t->values, &cap, (t->rows + 1) * t->n, sizeof *t->values));
        read_row(s + at, n, cell, t->values + t->rows * t->n, t->n);
        t->rows++;
    }
    return HM_OK;
}

hm_status hm_metrics_table_read(hm_metrics_table *out, const char *path) {
    char *s = NULL, *cell = NULL;
    size_t len, next;
    hm_status st;
    *out = (hm_metrics_table){0};
    HM_TRY_TO(st, done, hm_file_read(path, MAX_FILE_BYTES, &s, &len));
    HM_TRY_TO(st, done, hm_alloc(&cell, len + 1, 1));
    const size_t header = hm_csv_line(s, len, 0, &next);
    if (header == 0) {
        st = hm_fail(HM_ERR_FORMAT, "%s has no header line", path);
        goto done;
    }
    HM_TRY_TO(st, done, read_columns(out, s, header, cell));
    st = read_rows(out, path, s, len, next, cell);
done:
    free(s);
    free(cell);
    if (st != HM_OK)
        hm_metrics_table_free(out);
    return st;
}

size_t hm_metrics_table_find(const hm_metrics_table *t, const char *column) {
    for (size_t i = 0; i < t->n; i++)
        if (strcmp(t->columns[i], column) == 0)
            return i;
    return SIZE_MAX;
}

void hm_metrics_table_free(hm_metrics_table *t) {
    if (t == NULL)
        return;
    for (size_t i = 0; i < t->n; i++)
        free(t->columns[i]);
    free(t->columns);
    free(t->values);
    *t = (hm_metrics_table){0};
}
