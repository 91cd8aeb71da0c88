/* audit_table.h: an audit.csv in memory: what each layer's operations made at each audited step. */
#ifndef HM_TRAIN_AUDIT_TABLE_H
#define HM_TRAIN_AUDIT_TABLE_H

#include "io/canvas.h"

#define HM_AUDIT_LIMIT 65504.0 /* fp16's largest number */

typedef struct hm_audit_cell {
    double largest;
    double count, not_finite, zero, above, below, subnormal;
} hm_audit_cell;

typedef struct hm_audit_line {
    char *layer, *op, *stored;
    bool backward;
    hm_audit_cell *cells; /* [steps] */
    hm_audit_cell all;    /* over all steps */
} hm_audit_line;

typedef struct hm_audit_table {
    hm_audit_line *lines; /* in the order of execution */
    size_t n, cap;
    double *steps, *scales; /* [n_steps] */
    size_t n_steps, cap_steps;
} hm_audit_table;

/* HM_ERR_IO, or HM_ERR_FORMAT with the line's number. A last line that was cut short is left out. */
hm_status hm_audit_table_read(hm_audit_table *out, const char *path);
void hm_audit_table_free(hm_audit_table *t); /* takes NULL and zeroed objects */

/* Layers from top to bottom, steps from left to right, forward and backward side by side; the colour is the largest
 * magnitude, from fp16's smallest number to its largest, and black beyond. */
hm_status hm_audit_map(hm_picture *out, const hm_audit_table *t);

#endif
