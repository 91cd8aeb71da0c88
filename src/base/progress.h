/* progress.h: shows how long work gets on: a bar that redraws itself on a terminal, a plain line now and then
 * elsewhere. The formatting functions are pure; hm_progress adds the clock, the rate and the stream that the caller
 * hands over. */
#ifndef HM_BASE_PROGRESS_H
#define HM_BASE_PROGRESS_H

#include <stdio.h>

#include "base/status.h"

typedef struct hm_progress_value {
    const char *name; /* "loss", "mask_ce" */
    double value;
} hm_progress_value;

/* What a line shows. */
typedef struct hm_progress_state {
    const char *task;                /* "train", "valid" */
    int64_t epoch, epochs;           /* counted from 1; epochs 0: not shown */
    int64_t step, steps;             /* done of this epoch */
    const hm_progress_value *values; /* [n_values] most important first: the loss, then its parts */
    size_t n_values;
    double images_per_second; /* NaN: not known yet */
    double seconds_left;      /* NaN: not known yet */
    uint64_t memory;          /* bytes; 0: not shown */
} hm_progress_state;

/* A bar of at most `width` columns. What does not fit is left out: first the last values, then memory and rate,
 * below 60 columns also the gauge itself. */
void hm_progress_format_bar(char *out, size_t room, const hm_progress_state *s, size_t width);
/* Everything, for logs. */
void hm_progress_format_line(char *out, size_t room, const hm_progress_state *s);
/* "0:07", "12:30", "3:05:09", "2d 03:05"; "-:--" for what is not finite. */
void hm_progress_format_seconds(char *out, size_t room, double seconds);
/* "512 B", "1.50 GiB". */
void hm_progress_format_bytes(char *out, size_t room, uint64_t bytes);

typedef struct hm_progress hm_progress;

/* Writes to `to`: a bar when it is a terminal, else a line every `every` steps (and at each epoch's end). */
hm_status hm_progress_new(hm_progress **out, FILE *to, int64_t every);

/* Begins a task of `epochs` epochs (0: it has none), each of `steps` steps of `batch` images. `task` is not copied. */
void hm_progress_begin(hm_progress *p, const char *task, int64_t epochs, int64_t steps, int64_t batch);

/* After each step: `epoch` from 1, `step` = steps done of it. Nothing is kept of the values. */
void hm_progress_step(hm_progress *p, int64_t epoch, int64_t step, const hm_progress_value *values, size_t n_values,
                      uint64_t memory);

/* Prints a line of its own and keeps the bar below it. */
void hm_progress_note(hm_progress *p, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Ends the bar's line, so that other output can follow. */
void hm_progress_end(hm_progress *p);

void hm_progress_free(hm_progress *p); /* takes NULL */

/* Resident memory of this process in bytes; 0 where the system does not say. */
uint64_t hm_progress_memory(void);

#endif
