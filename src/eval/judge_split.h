/* judge_split.h: judges a detector on a split of a data set with COCO's figures. Crowds take part as the COCO API has
 * it (what they cover counts neither way). Pictures and masks of one batch at a time are in memory. */
#ifndef HM_EVAL_JUDGE_SPLIT_H
#define HM_EVAL_JUDGE_SPLIT_H

#include "data/loader.h"
#include "eval/coco_eval.h"
#include "eval/coco_results.h"
#include "eval/detector.h"

typedef struct hm_judge_options {
    int32_t max_dets;                                         /* the limits are 1, 10 and this */
    hm_coco_writer *writer;                                   /* also receives every detection; NULL: none */
    void (*tick)(void *user, int64_t batches, int64_t total); /* after each batch; NULL: none */
    void *user;
} hm_judge_options;

typedef struct hm_judge_scores {
    bool masks;          /* segm is filled */
    hm_coco_scores bbox; /* categories are the data set's labels */
    hm_coco_scores segm;
} hm_judge_scores;

/* Goes through one epoch of `loader`, which must read `data` with train = false and fit the detector's batch and input
 * size. Detections of classes that the data set lacks are dropped, as no truth can match them. */
hm_status hm_judge_split(hm_judge_scores *out, hm_detector *d, hm_loader *loader, const hm_dataset *data,
                         const hm_judge_options *o);
void hm_judge_scores_free(hm_judge_scores *s); /* takes NULL and zeroed objects; leaves a zeroed one */

#endif
