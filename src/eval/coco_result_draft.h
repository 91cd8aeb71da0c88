/* coco_result_draft.h: what coco_results.c gathers of one result while it reads, and turning that into the result. */
#ifndef HM_EVAL_COCO_RESULT_DRAFT_H
#define HM_EVAL_COCO_RESULT_DRAFT_H

#include "eval/coco_results.h"

typedef enum hm_result_key {
    HM_RESULT_OTHER,
    HM_RESULT_IMAGE,
    HM_RESULT_CATEGORY,
    HM_RESULT_SCORE,
    HM_RESULT_BOX,
    HM_RESULT_SEG,
    HM_RESULT_SIZE,
    HM_RESULT_COUNTS,
} hm_result_key;

extern const char *const hm_result_key_names[];

typedef struct hm_result_id {
    int64_t id;
    size_t at; /* index into the ground truth's table */
} hm_result_id;

/* One for all results, so that the buffers are reused. */
typedef struct hm_result_draft {
    const hm_coco *gt;
    hm_result_id *images, *categories; /* sorted by id */

    size_t index;  /* of the result in the file */
    unsigned seen; /* bit 1 << key */
    int64_t image_id, category_id;
    double score, box[4];
    size_t n_box, n_size;
    int64_t size[2];          /* h, w as stated */
    bool polygons, is_string; /* form of the segmentation; of the counts */
    char *text;               /* counts as a string */
    size_t text_len, text_cap;
    uint32_t *counts;
    size_t n_counts, counts_cap;
    double *xy; /* all polygons */
    size_t n_xy, xy_cap;
    size_t *start; /* [n_start] first entry of each polygon in xy */
    size_t n_start, start_cap;
} hm_result_draft;

hm_status hm_result_open(hm_result_draft *d, const hm_coco *gt);
void hm_result_close(hm_result_draft *d);

/* Forgets the last result. */
void hm_result_begin(hm_result_draft *d);

hm_status hm_result_add_count(hm_result_draft *d, uint32_t run);
hm_status hm_result_add_coordinate(hm_result_draft *d, double x);
hm_status hm_result_add_polygon(hm_result_draft *d);
hm_status hm_result_set_text(hm_result_draft *d, const void *s, size_t len);

/* Checks the result, makes its mask and calls fn. */
hm_status hm_result_deliver(hm_result_draft *d, hm_coco_result_fn fn, void *user);

#endif
