/* half_errors.c: found by name, in a list: a case has a few hundred tensors. */
#include "half_errors.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LEAST 1e-12 /* an error of zero has no logarithm */

static half_error *entry(half_errors *e, const char *name) {
    for (int i = 0; i < e->n; i++)
        if (strcmp(e->all[i].name, name) == 0)
            return &e->all[i];
    if (e->n == e->room) {
        e->room = 2 * e->room + 64;
        half_error *const more = realloc(e->all, (size_t)e->room * sizeof *more);
        if (more == NULL) {
            fprintf(stderr, "halfmask-parity: no memory for the errors of %d tensors\n", e->room);
            exit(1);
        }
        e->all = more;
    }
    half_error *const added = &e->all[e->n++];
    *added = (half_error){0};
    snprintf(added->name, sizeof added->name, "%s", name);
    return added;
}

void half_errors_add(half_errors *e, const char *name, double error, double bound) {
    half_error *const one = entry(e, name);
    one->bound = bound;
    one->logs += log(error < LEAST ? LEAST : error); /* NaN stays NaN */
    one->n++;
}

void half_errors_report(const half_errors *e, parity_report *r) {
    for (int i = 0; i < e->n; i++)
        report_value(r, e->all[i].name, exp(e->all[i].logs / e->all[i].n), e->all[i].bound, "");
}

void half_errors_free(half_errors *e) {
    free(e->all);
    *e = (half_errors){0};
}
