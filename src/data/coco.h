/* coco.h: COCO annotation files, streamed (yajl): memory holds the compact content, never a JSON tree.
 * Polygons and RLE stay as they are in the file; masks are made on demand (hm_coco_mask). Results files are
 * eval/coco_results.h's. */
#ifndef HM_DATA_COCO_H
#define HM_DATA_COCO_H

#include "data/rle.h"

typedef enum hm_seg_kind { HM_SEG_NONE, HM_SEG_POLYGONS, HM_SEG_RLE_STRING, HM_SEG_RLE_COUNTS } hm_seg_kind;

typedef struct hm_seg {
    hm_seg_kind kind;
    int32_t h, w; /* RLE only: the size that the file states */
    size_t at, n; /* polygons: at = first of n+1 entries in hm_coco.part_start; string: bytes in .text; counts: entries
                     in .runs */
} hm_seg;

typedef struct hm_coco_image {
    int64_t id;
    int32_t width, height; /* as the file states, pixels */
    size_t file_name;      /* offset of a NUL-terminated string in .text */
    size_t first, n;       /* annotations first..first+n of this image (anns are sorted by image, file order kept) */
} hm_coco_image;

typedef struct hm_coco_ann {
    int64_t id;
    size_t image;     /* index into images */
    int32_t category; /* index into categories */
    bool iscrowd;
    bool has_box;  /* false: box is zero */
    double box[4]; /* x,y,w,h pixels */
    double area;   /* as the file states; NaN when it states none */
    hm_seg seg;
} hm_coco_ann;

typedef struct hm_coco_category {
    int64_t id;
    size_t name, supercategory; /* offsets in .text */
} hm_coco_category;

typedef struct hm_coco {
    char *path;
    hm_coco_image *images;
    size_t n_images;
    hm_coco_ann *anns;
    size_t n_anns;
    hm_coco_category *categories; /* file order */
    size_t n_categories;
    char *text;         /* strings, NUL-terminated, and RLE strings */
    double *xy;         /* polygon coordinates */
    size_t *part_start; /* offsets into xy (in doubles); a segmentation of n parts owns n+1 consecutive entries */
    uint32_t *runs;
} hm_coco;

/* Reads an annotation file. Every fault (unknown image or category, polygon of two points, RLE of the wrong size, NaN
 * or infinite number, duplicate id, missing field, JSON cut short) is HM_ERR_FORMAT naming file, byte and annotation
 * id. An annotation may lack its box or its segmentation, not both. On failure *out is empty. */
hm_status hm_coco_read(hm_coco *out, const char *path);

/* The same from memory; `name` stands for the path in messages and in out->path. */
hm_status hm_coco_read_memory(hm_coco *out, const char *name, const void *json, size_t len);

void hm_coco_free(hm_coco *c); /* takes NULL and half-built objects */

/* The annotation's mask at h x w pixels (union of polygons, or RLE; HM_SEG_NONE gives an empty mask). */
hm_status hm_coco_mask(const hm_coco *c, const hm_coco_ann *a, int32_t h, int32_t w, hm_rle *out);

static inline const char *hm_coco_text(const hm_coco *c, size_t at) {
    return c->text + at;
}

#endif
