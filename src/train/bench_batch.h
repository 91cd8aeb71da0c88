/* bench_batch.h: a batch from nothing, for timing: random pixels, and random squares as objects. bench/rfdetr_step.py
 * makes the same numbers. */
#ifndef HM_TRAIN_BENCH_BATCH_H
#define HM_TRAIN_BENCH_BATCH_H

#include "data/batch.h"

/* `images` of side x side pixels with `objects` each, of three classes. hm_batch_free. */
hm_status hm_bench_batch_make(hm_batch *out, int32_t images, int32_t objects, int32_t side, bool masks);

#endif
