/* targets.h: what the criterion's ops (match_cost, class_loss, box_loss, mask_loss) share about targets and matches:
 * checks of shapes while building, checks of the numbers while running, and the losses' divisor. */
#ifndef HM_OPS_TARGETS_H
#define HM_OPS_TARGETS_H

#include "graph/op.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Fails unless input i of n is present and has this dtype and shape; dimension -1 means any size. */
hm_status hm_infer_input(const hm_node *n, int i, const char *name, hm_dtype dtype, hm_shape want);

/* counts [images] within 0..capacity. */
hm_status hm_check_counts(const int32_t *counts, int64_t images, int64_t capacity);
/* The first counts[b] labels of every image [images, capacity] within 0..classes-1. */
hm_status hm_check_labels(const int32_t *labels, const int32_t *counts, int64_t images, int64_t capacity,
                          int64_t classes);
/* match [images, queries]: -1 or one of the image's targets. */
hm_status hm_check_match(const int32_t *match, const int32_t *counts, int64_t images, int64_t queries);

/* max(1, groups * number of targets). */
double hm_num_boxes(const int32_t *counts, int64_t images, int groups);

/* Blocks over which a sum over queries is taken on the GPU, `per_block` of them at a time: a number that depends on the
 * shape alone. */
static inline int hm_cuda_loss_parts(int64_t queries, int per_block) {
    const int64_t blocks = (queries + per_block - 1) / per_block;
    return blocks > 512 ? 512 : (int)blocks;
}

#ifdef __cplusplus
}
#endif
#endif
