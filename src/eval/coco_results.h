/* coco_results.h: COCO results files, a JSON list of {image_id, category_id, score, bbox and/or segmentation}, read and
 * written one result at a time. Annotation files are data/coco.h's. */
#ifndef HM_EVAL_COCO_RESULTS_H
#define HM_EVAL_COCO_RESULTS_H

#include "data/coco.h"

typedef struct hm_coco_result {
    size_t index;     /* in the file, from 0 */
    size_t image;     /* index into the ground truth's images */
    int32_t category; /* index into its categories */
    double score;
    bool has_box;
    double box[4];      /* x,y,w,h pixels */
    const hm_rle *mask; /* NULL when the result has none; has the image's size; valid during the call only */
} hm_coco_result;

/* A failure stops the reading and is passed on, with file and result named. */
typedef hm_status (*hm_coco_result_fn)(void *user, const hm_coco_result *result);

/* Calls fn for every result of the file, in order. Segmentations may be RLE (string or counts) or polygons. What is
 * malformed, not finite or of the wrong size, and an image or category that `gt` lacks, is HM_ERR_FORMAT, naming
 * file, result and byte. Of gt only the tables of images and categories are used. */
hm_status hm_coco_results_read(const char *path, const hm_coco *gt, hm_coco_result_fn fn, void *user);
/* The same from memory; `name` stands for the file in messages. */
hm_status hm_coco_results_parse(const char *name, const void *data, size_t len, const hm_coco *gt, hm_coco_result_fn fn,
                                void *user);

typedef struct hm_coco_writer hm_coco_writer;

/* The file appears, whole, with the commit (io/atomic.h). */
hm_status hm_coco_writer_open(const char *path, hm_coco_writer **out);
/* Ids as in the annotation file; box (x,y,w,h pixels) or mask may be NULL, not both. Numbers are written so that they
 * read back the same. */
hm_status hm_coco_writer_add(hm_coco_writer *w, int64_t image_id, int64_t category_id, double score,
                             const double box[4], const hm_rle *mask);
/* *w is freed and NULL afterwards whatever happens. */
hm_status hm_coco_writer_commit(hm_coco_writer **w);
void hm_coco_writer_abort(hm_coco_writer *w); /* takes NULL */

#endif
