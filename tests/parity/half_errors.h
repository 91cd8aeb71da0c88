/* half_errors.h: relative errors of named tensors over several runs, and what they may be. */
#ifndef HM_PARITY_HALF_ERRORS_H
#define HM_PARITY_HALF_ERRORS_H

#include "report.h"

typedef struct half_error {
    char name[300];
    double bound;
    double logs; /* sum of the errors' logarithms */
    int n;
} half_error;

typedef struct half_errors {
    half_error *all; /* in the order of the first run */
    int n, room;
} half_errors;

/* One run's error of `name`. Ends the program when memory is out. */
void half_errors_add(half_errors *e, const char *name, double error, double bound);
/* A line each: geometric mean of the errors, bound, verdict. */
void half_errors_report(const half_errors *e, parity_report *r);
void half_errors_free(half_errors *e);

#endif
