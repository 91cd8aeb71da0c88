/* eval_report.h: prints COCO scores: pycocotools' twelve lines and a table of the classes, or one JSON object with
 * every number to its last digit. It computes nothing. */
#ifndef HM_EVAL_EVAL_REPORT_H
#define HM_EVAL_EVAL_REPORT_H

#include <stdio.h>

#include "eval/coco_eval.h"

typedef struct hm_eval_part {
    const char *iou_type; /* "segm" or "bbox" */
    const hm_coco_scores *scores;
} hm_eval_part;

typedef struct hm_eval_classes {
    int32_t n;                        /* as in every part's scores */
    const char *const *names;         /* [n] UTF-8 */
    const int64_t *ids;               /* [n] category ids, shown in the JSON only; NULL: none */
    int32_t max_dets[HM_COCO_LIMITS]; /* rising */
} hm_eval_classes;

/* The limits 1, 10 and `most` in rising order, for hm_eval_classes and hm_coco_eval_options. */
void hm_eval_limits(int32_t most, int32_t max_dets[HM_COCO_LIMITS]);

/* Writes the parts in the order given. JSON: of one part {"iou_type": "segm", "stats": [12 numbers], "AP": ...,
 * "max_dets": [...], "per_category": [...]}, of more {"bbox": {the same}, "segm": {...}}; a number without ground truth
 * is -1 there as everywhere in COCO. HM_ERR_IO when `to` takes no more. */
hm_status hm_eval_report(FILE *to, const hm_eval_part *parts, size_t n, const hm_eval_classes *classes, bool json);

#endif
