/* coco_eval.h: COCO's average precision and recall of boxes or masks, number for number as pycocotools' COCOeval.
 * Ground truth and detections are added one at a time; hm_coco_eval_judge may be called whenever some images are
 * complete: it matches them and drops their masks, so that only 24 bytes a detection stay.
 * One deliberate difference: pycocotools loses matches with an annotation of id 0; here ids play no part. */
#ifndef HM_EVAL_COCO_EVAL_H
#define HM_EVAL_COCO_EVAL_H

#include "data/rle.h"

enum {
    HM_COCO_IOUS = 10,     /* thresholds .50, .55 .. .95 */
    HM_COCO_RECALLS = 101, /* recall points 0, .01 .. 1 */
    HM_COCO_AREAS = 4,     /* all, small (to 32^2 pixels), medium (to 96^2), large */
    HM_COCO_LIMITS = 3,    /* detections an image and category that count */
};

/* Places in hm_coco_scores.stats, in the order of pycocotools. */
enum {
    HM_COCO_AP,
    HM_COCO_AP50,
    HM_COCO_AP75,
    HM_COCO_AP_SMALL,
    HM_COCO_AP_MEDIUM,
    HM_COCO_AP_LARGE,
    HM_COCO_AR_1,
    HM_COCO_AR_10,
    HM_COCO_AR_100,
    HM_COCO_AR_SMALL,
    HM_COCO_AR_MEDIUM,
    HM_COCO_AR_LARGE,
    HM_COCO_STATS
};

typedef struct hm_coco_eval hm_coco_eval;

typedef struct hm_coco_eval_options {
    bool masks; /* judge masks (boxes are not looked at), else boxes (masks are not looked at) */
    int32_t n_categories;
    int32_t max_dets[HM_COCO_LIMITS]; /* any order; sorted as pycocotools does */
} hm_coco_eval_options;

/* With the limits 1, 10, 100. */
hm_coco_eval_options hm_coco_eval_defaults(bool masks, int32_t n_categories);

/* -1 stands for "no ground truth" everywhere, as in pycocotools. */
typedef struct hm_coco_scores {
    double stats[HM_COCO_STATS]; /* AP and AR use the largest limit, AR_1 the smallest, AR_10 the middle one */
    int32_t n_categories;        /* K */
    double *ap, *ap50, *ap75;    /* [K] all areas, largest limit */
    double *ar;                  /* [K] likewise */
    double *precision; /* [K, areas, limits, IoUs] mean of the interpolated precision over the recall points */
    double *recall;    /* [K, areas, limits, IoUs] highest recall */
    double *curve50;   /* [K, recall points] interpolated precision at IoU .5, all areas, largest limit */
} hm_coco_scores;

hm_status hm_coco_eval_new(hm_coco_eval **out, const hm_coco_eval_options *options);
void hm_coco_eval_free(hm_coco_eval *e); /* takes NULL */

/* `image` is any number that identifies the image; equal scores of different images are ranked by it, so give COCO's
 * image id. `category` counts from 0. `box` is x,y,w,h in pixels; when masks are judged it may be NULL, else `mask`
 * may be. `area` is the annotation's, in pixels; NaN takes the area of the mask or box. Copies what it needs. */
hm_status hm_coco_eval_add_gt(hm_coco_eval *e, int64_t image, int32_t category, const double box[4], double area,
                              bool iscrowd, const hm_rle *mask);
/* The same; `area` in pixels, NaN: that of the mask when masks are judged, else w*h. */
hm_status hm_coco_eval_add_dt(hm_coco_eval *e, int64_t image, int32_t category, const double box[4], double score,
                              double area, const hm_rle *mask);

/* Matches everything added since the last call; nothing may be added to those images of those categories again. */
hm_status hm_coco_eval_judge(hm_coco_eval *e);

/* Judges what is left and fills *out; images may be added afterwards and the whole be run again. */
hm_status hm_coco_eval_run(hm_coco_eval *e, hm_coco_scores *out);
void hm_coco_scores_free(hm_coco_scores *s); /* takes NULL and zeroed objects */

#endif
