/* coco_judge.h: what the files of the COCO evaluation share: one image and category in, one verdict a detection out. */
#ifndef HM_EVAL_COCO_JUDGE_H
#define HM_EVAL_COCO_JUDGE_H

#include "eval/coco_eval.h"

/* A ground truth or detection that waits for its image to be judged. */
typedef struct hm_coco_item {
    int64_t image;
    size_t order; /* of adding */
    int32_t category;
    bool is_dt, iscrowd;
    double score;  /* detections only */
    double area;   /* pixels */
    double box[4]; /* x,y,w,h pixels; boxes only */
    hm_rle mask;   /* own copy; masks only */
} hm_coco_item;

/* What is kept of a detection. Bit t of an entry belongs to IoU threshold t. */
typedef struct hm_coco_verdict {
    double score;
    uint16_t matched[HM_COCO_AREAS], ignored[HM_COCO_AREAS];
} hm_coco_verdict;

/* One image and category that has a ground truth or a detection. */
typedef struct hm_coco_group {
    int64_t image;
    int32_t category;
    uint32_t n_dt;                     /* verdicts, by descending score */
    size_t first;                      /* first verdict */
    uint32_t positives[HM_COCO_AREAS]; /* ground truth that is not ignored */
} hm_coco_group;

/* numpy.linspace(first, last, n)[i] to the bit. */
static inline double hm_coco_step(double first, double last, int n, int i) {
    return i == n - 1 ? last : i * ((last - first) / (n - 1)) + first;
}

/* Judges gt[n_gt] and dt[g->n_dt], the latter by descending score; fills g->positives and verdict[g->n_dt]. */
hm_status hm_coco_judge(const hm_coco_item *gt, size_t n_gt, const hm_coco_item *dt, bool masks, hm_coco_group *g,
                        hm_coco_verdict *verdict);

/* Fills *out from the groups, sorted by category, then image, and their verdicts. */
hm_status hm_coco_score(const hm_coco_group *groups, size_t n_groups, const hm_coco_verdict *verdicts,
                        const hm_coco_eval_options *o, hm_coco_scores *out);

#endif
