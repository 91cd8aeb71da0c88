/* metrics_plot.c: chooses columns of a metrics.csv and plots them. */
#include "train/metrics_plot.h"

#include <stdlib.h>

#include "base/mem.h"
#include "io/image_write.h"
#include "io/plot.h"
#include "train/metrics_csv.h"

enum { MAX_SERIES = 8, PANEL_W = 620, PANEL_H = 400 };

static const char *const LOSSES[MAX_SERIES] = {"train/loss", "val/loss"};
static const char *const PARTS[MAX_SERIES] = {"train/loss_ce", "train/loss_bbox", "train/loss_giou",
                                              "train/loss_mask_ce", "train/loss_mask_dice"};
static const char *const PRECISIONS[MAX_SERIES] = {"val/segm_mAP_50", "val/segm_mAP_50_95", "val/mAP_50",
                                                   "val/mAP_50_95", "val/F1"};

typedef struct panel_data {
    hm_plot_series series[MAX_SERIES];
    size_t n;
} panel_data;

/* Column `at` as an array of its own: [rows]. */
static hm_status take_column(const hm_metrics_table *t, size_t at, double **out) {
    HM_TRY(hm_alloc(out, t->rows, sizeof **out));
    for (size_t i = 0; i < t->rows; i++)
        (*out)[i] = t->values[i * t->n + at];
    return HM_OK;
}

static hm_status take_series(const hm_metrics_table *t, const double *steps, const char *const *names, panel_data *p) {
    for (size_t i = 0; i < MAX_SERIES && names[i]; i++) {
        const size_t at = hm_metrics_table_find(t, names[i]);
        double *y;
        if (at == SIZE_MAX)
            continue;
        HM_TRY(take_column(t, at, &y));
        p->series[p->n++] = (hm_plot_series){.name = names[i], .x = steps, .y = y, .n = t->rows};
    }
    return HM_OK;
}

static hm_status draw(const panel_data data[3], const char *png_path) {
    static const char *const titles[3] = {"loss", "parts of the loss", "validation"};
    hm_plot_panel panels[3];
    size_t n = 0;
    hm_picture picture;
    for (size_t i = 0; i < 3; i++)
        if (data[i].n > 0)
            panels[n++] = (hm_plot_panel){titles[i], "step", data[i].series, data[i].n};
    if (n == 0)
        HM_FAIL(HM_ERR_FORMAT, "the metrics hold neither losses nor average precision, so there is nothing to plot");
    HM_TRY(hm_plot_draw(&picture, panels, n, PANEL_W, PANEL_H));
    const hm_status st = hm_image_write_png(png_path, picture.rgb, picture.w, picture.h, 3);
    hm_picture_free(&picture);
    return st;
}

hm_status hm_metrics_plot(const char *csv_path, const char *png_path) {
    static const char *const *const names[3] = {LOSSES, PARTS, PRECISIONS};
    hm_metrics_table t;
    panel_data data[3] = {0};
    double *steps = NULL;
    hm_status st;
    HM_TRY(hm_metrics_table_read(&t, csv_path));
    const size_t step_column = hm_metrics_table_find(&t, "step");
    if (step_column == SIZE_MAX) {
        st = hm_fail(HM_ERR_FORMAT, "%s has no column \"step\"", csv_path);
        goto done;
    }
    HM_TRY_TO(st, done, take_column(&t, step_column, &steps));
    for (size_t i = 0; i < 3; i++)
        HM_TRY_TO(st, done, take_series(&t, steps, names[i], &data[i]));
    st = draw(data, png_path);
done:
    for (size_t i = 0; i < 3; i++)
        for (size_t k = 0; k < data[i].n; k++)
            free((double *)data[i].series[k].y);
    free(steps);
    hm_metrics_table_free(&t);
    return st;
}
