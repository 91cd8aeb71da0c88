/* metrics_csv.h: a run's metrics.csv: a header of columns and one row per record. New columns may come at any time (the
 * first validation, a new class): the file is then replaced as a whole, with the old rows padded, as Lightning's
 * CSVLogger does. A value that a row does not set stays empty; one that is not finite is written as nan, inf or -inf.
 */
#ifndef HM_TRAIN_METRICS_CSV_H
#define HM_TRAIN_METRICS_CSV_H

#include "base/status.h"

typedef struct hm_metrics_csv hm_metrics_csv;

/* Opens `path` for rows with these n columns first. keep < 0 starts the file anew. Otherwise an existing file keeps its
 * columns and its first `keep` rows: what a run wrote after the state that it goes on from would otherwise stand there
 * twice. A last row that was cut short is removed. */
hm_status hm_metrics_csv_open(hm_metrics_csv **out, const char *path, const char *const *columns, size_t n,
                              int64_t keep);

int64_t hm_metrics_csv_rows(const hm_metrics_csv *m); /* in the file */

/* Sets a column of the row that is being made; a column that is not there yet is added behind the others. */
hm_status hm_metrics_csv_set(hm_metrics_csv *m, const char *column, double value);

/* The same with words, without line ends. */
hm_status hm_metrics_csv_set_text(hm_metrics_csv *m, const char *column, const char *value);

/* Appends the row and begins an empty one. After HM_ERR_IO (a full disk) the row is kept, so the call can be repeated.
 */
hm_status hm_metrics_csv_write_row(hm_metrics_csv *m);

void hm_metrics_csv_free(hm_metrics_csv *m); /* takes NULL; closes the file */

/* The whole of a metrics.csv as numbers. */
typedef struct hm_metrics_table {
    size_t n, rows;
    char **columns; /* [n] */
    double *values; /* [rows, n]; NaN where a cell is empty or no number */
} hm_metrics_table;

/* HM_ERR_FORMAT when a row has more cells than the header. A last row without line end is left out. */
hm_status hm_metrics_table_read(hm_metrics_table *out, const char *path);

/* Index of a column, or SIZE_MAX. */
size_t hm_metrics_table_find(const hm_metrics_table *t, const char *column);

void hm_metrics_table_free(hm_metrics_table *t); /* takes NULL; leaves a zeroed object */

#endif
