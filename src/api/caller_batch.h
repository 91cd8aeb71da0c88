/* caller_batch.h: training images of a caller's as a batch. */
#ifndef HM_API_CALLER_BATCH_H
#define HM_API_CALLER_BATCH_H

#include "data/batch.h"

typedef struct hm_caller_limits {
    size_t objects; /* of an image */
    int32_t classes;
    bool masks; /* every object needs one */
} hm_caller_limits;

/* HM_ERR_ARG, naming image and object, for what no batch can hold. */
hm_status hm_caller_images_check(const hm_train_image *images, size_t n, const hm_caller_limits *limits);

/* All rows of the batch, from images that were checked; `id`: what the first is called in messages of the run. */
hm_status hm_caller_batch_fill(hm_batch *batch, const hm_train_image *images, int64_t id);

#endif
