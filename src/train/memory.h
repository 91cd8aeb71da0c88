/* memory.h: what a training run needs of its device's memory, part by part, before anything is allocated there; and
 * settings near those of a run that is too large. */
#ifndef HM_TRAIN_MEMORY_H
#define HM_TRAIN_MEMORY_H

#include "device/room.h"
#include "eval/detector.h"
#include "train/scales.h"
#include "train/step.h"

#define HM_EVAL_PRECISIONS 3 /* fp32, bf16, fp16 */

/* What the memory of a run depends on. */
typedef struct hm_memory_request {
    hm_model_config config;            /* with resolution and classes */
    bool multi_scale, expanded_scales; /* as in training */
    hm_step_options step;              /* of any size; `accumulate` says the same as the next member */
    int grad_accum_steps;
    hm_device device;
    int threads; /* 0: all */
    hm_precision judged_in[HM_EVAL_PRECISIONS];
    int n_judged;          /* 0: nothing is validated, nor saved */
    bool judged_follows;   /* validation computes as training does */
    int32_t valid_targets; /* objects that an image of validation may have; 0: there are no loaders */
} hm_memory_request;

/* Bytes on the device. */
typedef struct hm_memory {
    size_t batch;         /* activations and workspaces of a batch: of the hungriest size, whose arena all share */
    size_t update;        /* of the update, where it is a graph of its own */
    size_t unshared;      /* what `batch` would be if no memory were used twice; not part of the sum */
    size_t inputs;        /* batches that wait or are on their way, outcomes on their way back */
    size_t inputs_of_run; /* of the size that takes most along to a run (hm_plan.inputs); not part of the sum */
    size_t weights, gradients, moments, averages;
    size_t validation; /* activations, inputs and weights of its own */
    size_t saving;     /* on the CPU: the copy of what is stored that is written while training goes on */
    size_t libraries;
} hm_memory;

size_t hm_memory_total(const hm_memory *m);

/* Builds the request's graphs, and frees them. */
hm_status hm_memory_plan(hm_memory *out, const hm_memory_request *r);
/* The same where the graphs [n] are there already, the largest size's last. */
hm_status hm_memory_plan_built(hm_memory *out, const hm_memory_request *r, const hm_step *const *steps, int n);
/* "one batch 812.0, inputs 3.1, weights 128.0, ... MiB". */
void hm_memory_text(const hm_memory *m, char *out, size_t size);

/* Holds a plan against what the device has free, or `limit` bytes of it (0: all): HM_ERR_MEMORY says what its parts are
 * and what would fit. `words` are for a run's first line: plan, parts, and what the device has. */
hm_status hm_memory_check(const hm_memory *m, const hm_memory_request *r, size_t limit, char *words, size_t size);

/* Validation's precision where the user has no wish: the format in which training computes. */
hm_precision hm_memory_judged_in(hm_precision training);

/* Settings near the request's whose plans fit into `room` bytes, each alone, with what they need: "batch_size 8 with
 * grad_accum_steps 8 (2990 MiB), ...". Where none does, a mixture of them, or how far the smallest is from it. */
void hm_memory_nearest(const hm_memory_request *r, size_t room, char *out, size_t size);

#endif
