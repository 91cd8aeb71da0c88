/* plot.h: line plots as pictures: several panels, each with axes, a legend and any number of series. It knows nothing
 * of metrics; train/metrics_plot.h chooses what is drawn. */
#ifndef HM_IO_PLOT_H
#define HM_IO_PLOT_H

#include "io/canvas.h"

typedef struct hm_plot_series {
    const char *name;
    const double *x, *y; /* [n]; points that are not finite are skipped */
    size_t n;
} hm_plot_series;

typedef struct hm_plot_panel {
    const char *title, *x_label;
    const hm_plot_series *series; /* [n] */
    size_t n;
} hm_plot_panel;

/* Draws the panels side by side, `w` x `h` pixels each. HM_ERR_ARG for no panels. */
hm_status hm_plot_draw(hm_picture *out, const hm_plot_panel *panels, size_t n, int32_t w, int32_t h);

/* Distance of axis ticks for `span` in about `count` intervals: 1, 2 or 5 times a power of ten. */
double hm_plot_step(double span, int count);

#endif
