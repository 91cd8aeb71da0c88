/* postprocess.h: a model's raw outputs for one image as detections: the best scores over all pairs of query and class,
 * boxes in the image's pixels, masks at the image's size (upstream's PostProcess). A query may appear
 * several times, once a class. Nothing is suppressed for overlapping. */
#ifndef HM_EVAL_POSTPROCESS_H
#define HM_EVAL_POSTPROCESS_H

#include "data/rle.h"

/* Q queries, C logits each, mask logits of h x w. */
typedef struct hm_raw_outputs {
    int32_t queries, classes, mask_h, mask_w;
    const float *logits; /* [Q, C] */
    const float *boxes;  /* [Q, 4] cxcywh relative to the image */
    const float *masks;  /* [Q, h, w], or NULL */
} hm_raw_outputs;

typedef struct hm_detection {
    float score; /* 0..1 */
    int32_t label, query;
    float box[4]; /* x1,y1,x2,y2 pixels, inside the image */
    hm_rle mask;  /* of the image's size; zeroed without mask outputs */
} hm_detection;

typedef struct hm_detections {
    size_t n;
    hm_detection *items; /* [n] by descending score */
} hm_detections;

typedef struct hm_post_options {
    int32_t num_select; /* at most so many detections */
    double threshold;   /* scores must be greater; -1: all */
    int32_t w, h;       /* the image, pixels */
    int threads;        /* OpenMP threads */
} hm_post_options;

/* HM_ERR_FORMAT when a logit or a box is not a number: the weights are damaged or their training has diverged. */
hm_status hm_postprocess(hm_detections *out, const hm_raw_outputs *raw, const hm_post_options *o);
void hm_detections_free(hm_detections *d); /* takes NULL and half-built objects; leaves an empty one */

/* x,y,w,h pixels, as COCO has it. */
void hm_detection_box(const hm_detection *d, double box[4]);

/* The logits [h, w] resized bilinearly (half-pixel centres, no antialias) to the mask's size, as runs of what is
 * greater than 0. */
hm_status hm_mask_from_logits(hm_rle *out, const float *logits, int32_t mask_h, int32_t mask_w, int32_t h, int32_t w);

#endif
