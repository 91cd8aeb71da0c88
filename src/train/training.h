/* training.h: what the files of hm_train share: the state of a run and the pieces of its loop. */
#ifndef HM_TRAIN_TRAINING_H
#define HM_TRAIN_TRAINING_H

#include "base/background.h"
#include "base/progress.h"
#include "data/loader.h"
#include "eval/detector.h"
#include "graph/exec.h"
#include "train/audit_record.h"
#include "train/memory.h"
#include "train/metrics_csv.h"
#include "train/scales.h"
#include "train/selection.h"
#include "train/state.h"
#include "train/step.h"

#define HM_LOG_EVERY    10 /* optimizer steps for one row of metrics.csv */
#define HM_LATE_MOST    2  /* batches that may be enqueued before the outcome of the first is looked at */
#define HM_BATCH_IMAGES 64 /* images of a batch that a message names */
#define HM_WATCHED_MOST (HM_MAX_TERMS + 5)
#define HM_WATCHED_LOSS 1 /* place of a batch's loss in what is watched */
#define HM_LAST         "last.pth"
#define HM_BEST         "checkpoint_best_total.pth"

/* Losses of one optimizer step: means over its batches. */
typedef struct hm_losses {
    double total, grad_norm;
    bool overflow;                 /* some gradient was not finite: the step was skipped */
    char cause[768];               /* then: which operation, in words */
    double scale_used, scale_next; /* loss scale of this step and of the next */
    double terms[HM_MAX_TERMS];    /* in the order of hm_criterion.terms */
} hm_losses;

/* An input size: its graphs and what runs them. */
typedef struct hm_training_size {
    hm_step *graphs;
    hm_exec *exec;
    int64_t runs; /* batches enqueued */
} hm_training_size;

/* What is remembered of a batch until its outcome has been looked at. */
typedef struct hm_open_batch {
    const hm_training_size *size;
    int64_t run; /* which of its size's */
    int32_t side, n;
    int64_t ids[HM_BATCH_IMAGES]; /* of its images */
} hm_open_batch;

/* Runs of the batch's executor after its own. */
static inline int hm_open_batch_ago(const hm_open_batch *b) {
    return (int)(b->size->runs - 1 - b->run);
}

typedef struct hm_training {
    const hm_train_options *options;
    hm_progress *progress; /* NULL: silence */
    hm_dataset train, valid;
    hm_loader *train_loader, *valid_loader;
    hm_model_config config;
    hm_precision precision;
    hm_memory memory;              /* as planned */
    char memory_words[640];        /* that, for the run's first line */
    int32_t sides[HM_SCALES_MOST]; /* pixels, ascending */
    hm_training_size sizes[HM_SCALES_MOST];
    int n_sizes;
    hm_store *store;  /* parameters, moments, averages */
    hm_arena *arena;  /* of all sizes */
    hm_exec *update;  /* only with accumulation */
    hm_store *judged; /* what is validated, in fp32: averages, or widened half weights; NULL: `store` itself */
    hm_precision judged_in[HM_EVAL_PRECISIONS];
    hm_detector
        *detectors[HM_EVAL_PRECISIONS]; /* one for each precision of validation; the first decides what is best */
    int n_detectors;
    hm_schedule schedule;
    hm_metrics_csv *csv;
    hm_audit_recorder *audit; /* NULL: no audit */
    int accumulate;           /* batches of one optimizer step */
    hm_device device;
    int late;                         /* batches enqueued before the outcome of one is looked at: 0, on the GPU 1 */
    int64_t runs;                     /* batches enqueued: what the next one's random draws are named after */
    int64_t seen;                     /* batches whose outcome was looked at */
    hm_losses losses;                 /* of the step that is being looked at */
    hm_open_batch open[HM_LATE_MOST]; /* the last batches, by run */
    int64_t step;                     /* optimizer steps done */
    int64_t skipped;                  /* optimizer steps that overflowed */
    int64_t epoch, batch_of_epoch;    /* of the batch under way */
    int64_t reading;                  /* the epoch that the loader is in; -1: none */
    hm_background *writer;            /* of files, from `kept` */
    hm_store *kept;                   /* copy of `store`, in the host's memory; NULL before the first */
    hm_state kept_state;
    unsigned kept_what;               /* HM_KEEP_* that are being written */
    hm_chosen kept_as;                /* with HM_KEEP_BEST: what is written as the best */
    int64_t kept_epoch;               /* the one under way, or the one that has just ended */
    hm_selection selection;           /* by the scores of validations so far */
    hm_chosen chosen;                 /* the weights of now, and not yet written as such */
    int64_t rows;                     /* of metrics.csv that belong to the state gone on from */
    int64_t state_last, state_before; /* runs of the last two states that were written or gone on from; -1: none */
    double first_scale;               /* loss scale of the first step */
    double last_scale;                /* of the step after the last one looked at */
    hm_scores scores;                 /* of the last validation */
    double started;                   /* seconds of the monotonic clock */
} hm_training;

/* Opens data, builds graphs, fills weights, makes output_dir with training_config.json. */
hm_status hm_training_open(hm_training **out, const hm_train_options *options, FILE *log);
void hm_training_close(hm_training *t); /* takes NULL and half-built objects */

/* Plans the memory of the graphs that were built and of all else, into t->memory, before any of it is allocated;
 * refuses one that the device has not, with settings that would fit. */
hm_status hm_training_plan_memory(hm_training *t);
void hm_training_tell_memory(const hm_training *t);

/* training_sizes.c: the input sizes; their graphs, with everything they store; what runs them, in memory as planned. */
void hm_training_choose_sizes(hm_training *t);
hm_step_options hm_training_step_options(const hm_training *t, int32_t side);
hm_status hm_training_build(hm_training *t);      /* the graphs */
hm_status hm_training_make_store(hm_training *t); /* of what they store, zeroed */
hm_status hm_training_make_executors(hm_training *t);
void hm_training_free_sizes(hm_training *t);
/* The loss terms, which every size has alike. */
static inline const hm_criterion *hm_training_criterion(const hm_training *t) {
    return &t->sizes[0].graphs->criterion;
}

/* What the outcome of a batch (g = s->graph) and of a step is made of: list[HM_WATCHED_MOST]; returns their number. */
int hm_training_watched(const hm_step *s, const hm_graph *g, const hm_tensor **list);
/* Notes that; before the first batch. */
hm_status hm_training_watch(hm_training *t);
/* A batch into the inputs of a step's graph: the loss is multiplied by `seed`; `keep`: the gradients of the batches of
 * this update before it stay. */
hm_status hm_training_give(const hm_step *s, hm_exec *e, const hm_batch *b, double seed, bool keep);
/* Forward and backward of one batch, and the update if it is the last of its step. */
hm_status hm_training_batch(hm_training *t, const hm_batch *batch);
/* trainer.c: the pieces of the loop. The next optimizer step's batches from the loader, or one from elsewhere; outcomes
 * are looked at late. */
hm_status hm_training_step(hm_training *t);
hm_status hm_training_take(hm_training *t, const hm_batch *batch);
/* Looks at outcomes until no more than `left` are open. */
hm_status hm_training_look(hm_training *t, int left);
bool hm_training_epoch_done(const hm_training *t); /* it has had all its batches */
void hm_training_next_epoch(hm_training *t);
/* After an epoch's last step: validation if it is due, files, the next epoch. */
hm_status hm_training_end_epoch(hm_training *t, hm_epoch_report *out);
/* Between two optimizer steps, whose outcomes are then looked at. */
hm_status hm_training_keep_state(hm_training *t);
/* Looks at the outcome of the next batch not yet looked at (waits for it); t->losses are complete when *step_done. */
hm_status hm_training_outcome(hm_training *t, bool *step_done);

/* Finds the operation by which batch `run`, one of those that are remembered, overflowed, in words. */
hm_status hm_overflow_describe(hm_training *t, int64_t run, char *out, size_t size);
/* Tells of a skipped step; HM_ERR_FORMAT with the same words when the loss scale cannot fall any more. */
hm_status hm_overflow_report(hm_training *t, const hm_losses *losses);

/* Judges the validation split, writes its row, notes what that makes the best (t->selection, t->chosen). */
hm_status hm_training_validate(hm_training *t);
/* Whether validation judges the weights themselves, not only their averages. */
static inline bool hm_training_judges_base(const hm_training *t) {
    return !t->options->use_ema || t->options->eval_base_model;
}
static inline bool hm_training_stopped_early(const hm_training *t) {
    return t->options->early_stopping && t->selection.waited >= t->options->early_stopping_patience;
}
static inline bool hm_training_ended(const hm_training *t) {
    return t->epoch >= t->options->epochs || hm_training_stopped_early(t);
}

/* training_save.c. Copies everything stored and goes on while it is written into output_dir: weights as the last, as
 * an epoch's that is kept, as the best (t->chosen, which is taken back); the state of the run, from which it can go on
 * with the batch and epoch of t. A failure is told by the next call, or by hm_training_saved, which waits. */
enum { HM_KEEP_LAST = 1, HM_KEEP_EPOCH = 2, HM_KEEP_BEST = 4, HM_KEEP_STATE = 8 };
hm_status hm_training_keep(hm_training *t, unsigned what);
hm_status hm_training_saved(hm_training *t);
/* Writes the weights of now to `path` and waits until they are there. */
hm_status hm_training_save_weights(hm_training *t, const char *path);
/* Takes up the state that options.resume names, if there is one. */
hm_status hm_training_resume(hm_training *t);
/* Judges the test split with the best weights, into *result; draws the curves. */
hm_status hm_training_finish(hm_training *t, hm_train_result *result);

/* "output_dir/name"; free(). */
hm_status hm_training_path(const hm_training *t, const char *name, char **out);
/* training_config.json: every option of the run. */
hm_status hm_training_write_config(const hm_training *t);
double hm_training_lr(const hm_training *t, const hm_losses *losses); /* the learning rate of that step */
/* Values for the bar: loss and its parts. Returns their number. */
size_t hm_training_brief(const hm_training *t, const hm_losses *losses, hm_progress_value *values);
/* The row of a step, under upstream's names; not yet written. */
hm_status hm_training_record(hm_training *t, const hm_losses *losses);
double hm_training_clock(void); /* seconds */

#endif
