/* selection.h: what the scores of validations decide: which weights are the best so far, and whether a run has stopped
 * getting better. Both as upstream decides them (training/callbacks/best_model.py). */
#ifndef HM_TRAIN_SELECTION_H
#define HM_TRAIN_SELECTION_H

#include <stdbool.h>
#include <stdint.h>

/* Scores of one validation: of the weights and of their averages; NAN: not judged. */
typedef struct hm_judged {
    double regular, ema;
} hm_judged;

typedef struct hm_selection {
    hm_judged best;   /* NAN before the first validation */
    double stop_best; /* the score that early stopping compares with; -INFINITY before the first */
    int64_t waited;   /* validations since then that did not exceed it enough */
} hm_selection;

/* Which weights a validation has made the best of their kind, and of both kinds together ("total"). */
typedef struct hm_chosen {
    bool regular, ema, total_regular, total_ema;
} hm_chosen;

hm_selection hm_selection_begin(void);
hm_chosen hm_selection_note(hm_selection *s, hm_judged now);

/* Counts a validation for early stopping: the better of both scores, or with `ema_only` the averages' if there is one,
 * must exceed the best by more than min_delta. */
void hm_selection_wait(hm_selection *s, hm_judged now, bool ema_only, double min_delta);

/* At a run's end, for averages whose score never was above 0: they are the best of their kind after all. */
hm_chosen hm_selection_end(const hm_selection *s, bool use_ema, bool judges_regular);

/* The score of the best weights; NAN before the first validation. */
double hm_selection_best(const hm_selection *s);

#endif
