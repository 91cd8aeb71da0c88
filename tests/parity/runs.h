/* runs.h: the three things that a case shows: a training run of three steps for each eps, and an evaluation. */
#ifndef HM_PARITY_RUNS_H
#define HM_PARITY_RUNS_H

#include "device.h"
#include "report.h"

/* Three steps with AdamW's eps `tag` ("eps1e-08"). With `details` the first step's outputs, matches, losses and
 * gradients are compared too. Sets *swapped when some step's proposals differ by near ties only; then nothing was
 * compared and the run must be repeated with `imposed`. */
hm_status run_training(parity_report *r, const char *tag, double eps, bool details, bool imposed, bool *swapped);
/* The same for one evaluation with the case's weights. */
hm_status run_evaluation(parity_report *r, bool imposed, bool *swapped);

/* Copies of the case over which run_half takes means; 0: as many as make chance small. Set once, from the command line.
 */
extern int parity_copies;
/* One training batch in `precision` and one in fp32, with the case's proposals and assignments imposed on both: the
 * gradients' errors against those of PyTorch's autocast (autocast.json, "frozen"). */
hm_status run_half(parity_report *r, hm_precision precision);

/* The case's batch into the inputs of a step. */
hm_status feed_batch(const parity_case *c, const hm_step *s, hm_exec *e);
/* [n, HW, C] -> [n, C, HW]; free() the result. */
float *channels_first(const float *x, int64_t n, int64_t pixels, int64_t channels);
/* Proposals of all groups against the tensor `name` [G, B, K]. */
typedef struct topk_difference {
    int64_t swapped; /* places that hold another token */
    double gap;      /* largest difference of the two tokens' scores there */
} topk_difference;
/* Largest difference of two scores whose order is a matter of rounding: 1e-6, or twice the error that PyTorch's own
 * fp32 scores have (each of the two may be that far off). After an update with eps 1e-8, which turns rounding noise
 * into steps of size lr, scores themselves differ by more. */
double near_tie(const parity_case *c);
#define NEAR_TIE_AFTER_STEP 1e-3
/* The line for a choice: its gap, and whether the stored one is used. */
void report_topk(parity_report *r, const char *name, topk_difference d, double tolerance);
topk_difference compare_topk(const parity_report *r, const char *name, hm_exec *e, const hm_model *m, bool imposed);
/* Feeds the tensor `name` into the inputs topk.<g>. */
hm_status impose_topk(const parity_report *r, const char *name, hm_exec *e, const hm_model *m);

#endif
