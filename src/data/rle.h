/* rle.h: run-length masks exactly as COCO's mask API has them: column-major, first run counts zeros.
 * Formulas: pycocotools' common/maskApi.c (polygon rasterisation on a 5x grid, LEB-like count strings). */
#ifndef HM_DATA_RLE_H
#define HM_DATA_RLE_H

#include "base/status.h"

typedef struct hm_rle {
    int32_t h, w;     /* pixels */
    size_t n;         /* runs */
    uint32_t *counts; /* [n] run lengths, zeros first; sum = h*w */
} hm_rle;

void hm_rle_free(hm_rle *r); /* takes NULL and zeroed objects; leaves a zeroed one */

/* From COCO's compressed string. HM_ERR_FORMAT when it is malformed or does not cover h*w pixels. */
hm_status hm_rle_from_string(hm_rle *out, const char *s, size_t len, int32_t h, int32_t w);
/* From uncompressed counts. HM_ERR_FORMAT when their sum is not h*w. */
hm_status hm_rle_from_counts(hm_rle *out, const uint32_t *counts, size_t n, int32_t h, int32_t w);
/* Union of `n` polygons; polygon k has points xy[start[k]..start[k+1]) as (x,y) pairs in pixels. Polygons of fewer
 * than 3 points are HM_ERR_FORMAT. */
hm_status hm_rle_from_polygons(hm_rle *out, const double *xy, const size_t *start, size_t n, int32_t h, int32_t w);
/* From a box x,y,w,h in pixels (rasterised as a polygon, as frBbox does). */
hm_status hm_rle_from_box(hm_rle *out, const double box[4], int32_t h, int32_t w);
/* From bytes [h,w] row-major, non-zero = inside. */
hm_status hm_rle_from_mask(hm_rle *out, const uint8_t *mask, int32_t h, int32_t w);
/* Into bytes [h,w] row-major, 0 or 1. */
void hm_rle_to_mask(const hm_rle *r, uint8_t *mask);
/* Compressed string, NUL-terminated; *out must be freed. */
hm_status hm_rle_to_string(const hm_rle *r, char **out);
/* Union (or intersection) of n masks of one size. */
hm_status hm_rle_merge(hm_rle *out, const hm_rle *masks, size_t n, bool intersect);

uint64_t hm_rle_area(const hm_rle *r);           /* pixels */
void hm_rle_box(const hm_rle *r, double box[4]); /* x,y,w,h in pixels; zeros when empty */
/* iou[d*n_gt+g] of each detection with each ground truth; for a crowd g the union is the detection's area.
 * All masks must have one size, else HM_ERR_ARG. crowd may be NULL. */
hm_status hm_rle_iou(const hm_rle *dt, size_t n_dt, const hm_rle *gt, size_t n_gt, const uint8_t *crowd, double *iou);
/* The same for boxes x,y,w,h. */
void hm_box_iou(const double (*dt)[4], size_t n_dt, const double (*gt)[4], size_t n_gt, const uint8_t *crowd,
                double *iou);

#endif
