/* model_file.h: a weights file as a detector with its classes: what evaluation and prediction start from. */
#ifndef HM_EVAL_MODEL_FILE_H
#define HM_EVAL_MODEL_FILE_H

#include "eval/detector.h"
#include "weights/weights.h"

typedef struct hm_model_file {
    hm_weights *weights;
    hm_store *store;
    hm_detector *detector;
    bool named;         /* the file names its classes; otherwise they are "class 0", ... with id = label */
    hm_classes classes; /* of every label that a detection may have; more labels mean nothing */
} hm_model_file;

hm_status hm_model_file_open(hm_model_file *out, const char *path, const hm_detector_options *o);
/* The same at the model's resolution, on a device and in a precision that are as users choose them. */
hm_status hm_model_file_open_on(hm_model_file *out, const char *path, hm_device_choice device, hm_precision precision,
                                int32_t batch, int threads);
void hm_model_file_close(hm_model_file *m); /* takes NULL and half-built objects */

#endif
