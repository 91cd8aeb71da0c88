/* report.h: comparisons, one printed line each, and the tensors kept for --dump. */
#ifndef HM_PARITY_REPORT_H
#define HM_PARITY_REPORT_H

#include "case.h"

typedef struct parity_report {
    const parity_case *c;
    int passed, failed;
    hm_safetensor *dump; /* own copies of names and data */
    size_t n_dump, cap_dump;
    bool dumping;
} parity_report;

/* One comparison: prints "name error tolerance verdict"; NaN never passes. */
void report_value(parity_report *r, const char *name, double error, double tolerance, const char *note);
/* |ours - expected| relative to |expected|. */
void report_number(parity_report *r, const char *name, double ours, double expected, double tolerance);
/* Relative L2 error of `n` numbers against the tensor `name` of expected.safetensors, or against its summary
 * "sum.<name>", whose probe is "probe.<probe>". `scale` > 0 replaces the expected norm as the unit. Neither: a failure.
 */
void report_tensor(parity_report *r, const char *name, const char *probe, const float *ours, int64_t n, double scale,
                   double tolerance);
/* Exactly equal integers; `expected` of expected.safetensors. */
void report_integers(parity_report *r, const char *name, const int32_t *ours, int64_t n);
/* max(1e-5, 8 * listed). */
double report_tolerance(double listed);

void report_keep(parity_report *r, const char *name, hm_st_dtype dtype, int rank, const int64_t *shape,
                 const void *data);
hm_status report_write(parity_report *r, const char *path);
void report_free(parity_report *r);

#endif
