/* detector.h: a model that is ready to detect: the evaluation graph for one batch and input size over a store of
 * weights. The trainer uses it to validate, the commands to evaluate and predict. It reads no files. */
#ifndef HM_EVAL_DETECTOR_H
#define HM_EVAL_DETECTOR_H

#include "eval/postprocess.h"
#include "graph/exec.h"
#include "graph/precision.h"
#include "model/config.h"

typedef struct hm_detector_options {
    int32_t batch;         /* images a run takes at most */
    int32_t height, width; /* of the input, pixels; 0 = the model's resolution */
    int threads;           /* OpenMP threads; 0 = all */
    hm_device device;
    hm_precision precision;
    const char *precision_override; /* see graph/precision.h */
} hm_detector_options;

typedef struct hm_detector hm_detector;

/* The store must outlive the detector. Parameters that it lacks are added as zeros, to be filled before a run; those
 * that it has are used as they are at each run. */
hm_status hm_detector_new(hm_detector **out, const hm_model_config *c, hm_store *store, const hm_detector_options *o);
void hm_detector_free(hm_detector *d); /* takes NULL */

const hm_model_config *hm_detector_config(const hm_detector *d);
const hm_detector_options *hm_detector_settings(const hm_detector *d); /* with the zeros filled in */

/* What a detector would take of its device, in bytes; nothing is allocated there. */
typedef struct hm_detector_memory {
    size_t weights;               /* in a store of its own */
    size_t activations, unshared; /* the second if no memory were used twice */
    size_t inputs;
} hm_detector_memory;
hm_status hm_detector_plan(hm_detector_memory *out, const hm_model_config *c, const hm_detector_options *o);

/* Where the images of a run go (on the host): [batch, 3, height, width], normalised. */
float *hm_detector_input(hm_detector *d);

/* Runs the model on what hm_detector_input holds. */
hm_status hm_detector_run(hm_detector *d);

/* The last run's raw outputs of image i; valid until the next run. */
hm_raw_outputs hm_detector_outputs(hm_detector *d, int32_t i);

/* The last run's detections of image i, which is w x h pixels in truth: the num_select best with scores greater than
 * `threshold` (-1: all). Free with hm_detections_free. */
hm_status hm_detector_detections(hm_detector *d, int32_t i, int32_t w, int32_t h, double threshold, hm_detections *out);

#endif
