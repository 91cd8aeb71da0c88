/* metrics_plot.h: the curves of a run: losses, and average precision on the validation images, from its metrics.csv. */
#ifndef HM_TRAIN_METRICS_PLOT_H
#define HM_TRAIN_METRICS_PLOT_H

#include "base/status.h"

/* Writes a PNG of the metrics that the file has, by upstream's names, over its "step" column. HM_ERR_FORMAT when it has
 * no steps. */
hm_status hm_metrics_plot(const char *csv_path, const char *png_path);

#endif
