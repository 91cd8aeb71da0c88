/* find_objects.h: from decoded pictures to detections of known classes, by a model that was opened from a file. */
#ifndef HM_EVAL_FIND_OBJECTS_H
#define HM_EVAL_FIND_OBJECTS_H

#include "data/image.h"
#include "eval/model_file.h"

/* out[i] = detections of images[i] with scores greater than `threshold`; hm_detections_free. n is at most the
 * detector's batch. After a failure nothing is left in `out`, and *at, which may be NULL, is the image's index. */
hm_status hm_find_objects(hm_model_file *m, const hm_image *const *images, size_t n, double threshold,
                          hm_detections *out, size_t *at);

#endif
