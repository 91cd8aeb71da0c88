/* schedule.h: learning rate and averaging decay as functions of the step (upstream's lambda scheduler and EMA
 * callback). The count of updates is a state, so that a step that is skipped counts nowhere. */
#ifndef HM_OPS_SCHEDULE_H
#define HM_OPS_SCHEDULE_H

#include "graph/graph.h"

typedef struct hm_schedule {
    bool cosine;       /* else one drop to a tenth */
    int64_t warmup;    /* steps of linear warm-up; the first has factor 0 */
    int64_t drop;      /* step of the drop */
    int64_t total;     /* steps of the run */
    double min_factor; /* where the cosine ends */
} hm_schedule;

/* Factor of the learning rate at `step` (0-based optimizer step). */
double hm_lr_factor(const hm_schedule *s, int64_t step);

/* Decay of the average at its update number u = 1, 2, ...: the first copies (0), later decay * (1 - exp(-u / tau)). */
double hm_ema_decay(double decay, double tau, int64_t u);

/* The same in the graph. progress: state [2], updates made and steps skipped. Scalars: *lr_factor and *ema_decay for
 * the update that comes, *step its number from 1. */
typedef struct hm_schedules {
    hm_schedule lr;
    double ema_decay, ema_tau;
} hm_schedules;
void hm_schedule_build(hm_graph *g, hm_tensor *progress, hm_schedules s, hm_tensor **lr_factor, hm_tensor **step,
                       hm_tensor **ema_decay);

#endif
