/* draw_runs.c: draw_runs OUT.png X Y NAME=FILE[,FILE...] ...: one line for each NAME: column Y over column X of CSV
 * files such as a run's metrics.csv, the mean where there are several (runs that differ in their seed only). Rows
 * without either are left out. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "halfmask.h"
#include "io/image_write.h"
#include "io/plot.h"
#include "train/metrics_csv.h"

enum { MOST = 8, WIDTH = 760, HEIGHT = 420 };

typedef struct line {
    const char *name;
    double *x, *y; /* sums over the files, then means */
    size_t n, files;
} line;

/* Adds the rows of one file; all files of a line must have the same x. */
static hm_status add_table(line *l, const hm_metrics_table *t, const char *const axes[2], const char *path) {
    const size_t across = hm_metrics_table_find(t, axes[0]), up = hm_metrics_table_find(t, axes[1]);
    size_t n = 0;
    if (across == SIZE_MAX || up == SIZE_MAX)
        HM_FAIL(HM_ERR_FORMAT, "%s has no columns %s and %s", path, axes[0], axes[1]);
    if (l->files == 0) {
        HM_TRY(hm_alloc(&l->x, t->rows, sizeof *l->x));
        HM_TRY(hm_alloc(&l->y, t->rows, sizeof *l->y));
        l->n = t->rows;
    }
    for (size_t i = 0; i < t->rows; i++) {
        const double x = t->values[i * t->n + across], y = t->values[i * t->n + up];
        if (isnan(x) || isnan(y))
            continue;
        if (n >= l->n || (l->files > 0 && l->x[n] != x))
            HM_FAIL(HM_ERR_FORMAT, "%s has another %s than the files before it", path, axes[0]);
        l->x[n] = x;
        l->y[n++] += y;
    }
    l->n = n;
    l->files++;
    return HM_OK;
}

static hm_status read_line(line *l, char *text, const char *const axes[2]) {
    char *rest = strchr(text, '=');
    if (rest == NULL)
        HM_FAIL(HM_ERR_ARG, "\"%s\" is not NAME=FILE", text);
    *rest++ = '\0';
    l->name = text;
    for (char *path = strtok(rest, ","); path != NULL; path = strtok(NULL, ",")) {
        hm_metrics_table t;
        HM_TRY(hm_metrics_table_read(&t, path));
        const hm_status st = add_table(l, &t, axes, path);
        hm_metrics_table_free(&t);
        HM_TRY(st);
    }
    for (size_t i = 0; i < l->n; i++)
        l->y[i] /= (double)l->files;
    return HM_OK;
}

static hm_status draw(const char *path, const char *const axes[2], const line *lines, size_t n) {
    hm_plot_series series[MOST];
    for (size_t i = 0; i < n; i++)
        series[i] = (hm_plot_series){lines[i].name, lines[i].x, lines[i].y, lines[i].n};
    const hm_plot_panel panel = {axes[1], axes[0], series, n};
    hm_picture picture;
    HM_TRY(hm_plot_draw(&picture, &panel, 1, WIDTH, HEIGHT));
    const hm_status st = hm_image_write_png(path, picture.rgb, picture.w, picture.h, 3);
    hm_picture_free(&picture);
    return st;
}

int main(int argc, char **argv) {
    line lines[MOST] = {{0}};
    const size_t n = argc > 4 ? (size_t)argc - 4 : 0;
    if (n == 0 || n > MOST) {
        fprintf(stderr, "usage: draw_runs OUT.png X Y NAME=FILE[,FILE...] ... (at most %d names)\n", MOST);
        return 2;
    }
    const char *const axes[2] = {argv[2], argv[3]};
    hm_status st = HM_OK;
    for (size_t i = 0; i < n && st == HM_OK; i++)
        st = read_line(&lines[i], argv[4 + i], axes);
    if (st == HM_OK)
        st = draw(argv[1], axes, lines, n);
    for (size_t i = 0; i < n; i++) {
        free(lines[i].x);
        free(lines[i].y);
    }
    if (st != HM_OK)
        fprintf(stderr, "draw_runs: %s\n", hm_error_message());
    return st == HM_OK ? 0 : 1;
}
