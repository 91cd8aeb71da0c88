/* coco_item.h: the images, annotations and categories of an annotation file while it is being read: one item at a time
 * is filled, checked and added to the hm_coco. Internal to data/coco*.c; it knows nothing of yajl. Messages name the
 * field and what to write; the caller puts file, item and byte before them. */
#ifndef HM_DATA_COCO_ITEM_H
#define HM_DATA_COCO_ITEM_H

#include <stdio.h>

#include "data/coco.h"

typedef enum hm_coco_list { HM_COCO_OTHER_LIST, HM_COCO_IMAGES, HM_COCO_ANNOTATIONS, HM_COCO_CATEGORIES } hm_coco_list;

typedef enum hm_coco_key {
    HM_COCO_OTHER_KEY,
    HM_COCO_ID,
    HM_COCO_WIDTH,
    HM_COCO_HEIGHT,
    HM_COCO_FILE_NAME,
    HM_COCO_IMAGE_ID,
    HM_COCO_CATEGORY_ID,
    HM_COCO_ISCROWD,
    HM_COCO_BBOX,
    HM_COCO_AREA,
    HM_COCO_SEGMENTATION,
    HM_COCO_NAME,
    HM_COCO_SUPERCATEGORY,
    HM_COCO_SIZE,
    HM_COCO_COUNTS,
    HM_COCO_KEYS
} hm_coco_key;

typedef struct hm_coco_draft {
    hm_coco_ann ann; /* but image and category */
    int64_t image_id, category_id;
    uint64_t byte; /* where it ends in the file */
} hm_coco_draft;

typedef struct hm_coco_build {
    hm_coco *out; /* images, categories and the pools are filled, anns is not */
    size_t images_cap, categories_cap, text_cap, xy_cap, parts_cap, runs_cap;
    hm_coco_draft *drafts; /* [n_drafts], file order */
    size_t n_drafts, drafts_cap;
    size_t n_text, n_xy, n_parts, n_runs; /* used in the pools */
    /* the present item */
    hm_coco_list list;
    hm_coco_key key;
    unsigned seen; /* bit per key */
    int64_t id;
    hm_coco_image image;
    hm_coco_category category;
    hm_coco_draft draft;
    int numbers;     /* read of bbox or size */
    int64_t size[2]; /* of RLE: height, width */
} hm_coco_build;

hm_status hm_coco_build_open(hm_coco_build *b, hm_coco *out);
void hm_coco_build_close(hm_coco_build *b); /* frees the drafts, not *out */

const char *hm_coco_list_name(hm_coco_list list); /* "images" */
const char *hm_coco_key_name(hm_coco_key key);
const char *hm_coco_key_form(hm_coco_key key); /* what a value must look like */
/* "annotation 17", or "annotation number 3 of its list" before the id is known. */
void hm_coco_item_label(const hm_coco_build *b, char *label, size_t cap);

void hm_coco_item_begin(hm_coco_build *b);
/* Sets b->key; a key that the present list (or RLE) does not have becomes HM_COCO_OTHER_KEY. */
hm_status hm_coco_item_key(hm_coco_build *b, bool rle, const char *key, size_t len);
/* null: as if the key were not there. */
void hm_coco_item_null(hm_coco_build *b);
/* *taken = false when the present key's value is no number (or string). */
hm_status hm_coco_item_number(hm_coco_build *b, const char *text, double x, bool *taken);
hm_status hm_coco_item_string(hm_coco_build *b, const char *s, size_t len, bool *taken);
hm_status hm_coco_item_end(hm_coco_build *b, uint64_t byte);

/* Inside bbox, segmentation and RLE. */
hm_status hm_coco_add_box(hm_coco_build *b, double x);
hm_status hm_coco_box_end(hm_coco_build *b);
hm_status hm_coco_part_begin(hm_coco_build *b);
hm_status hm_coco_add_coordinate(hm_coco_build *b, double x);
hm_status hm_coco_part_end(hm_coco_build *b);
hm_status hm_coco_polygons_end(hm_coco_build *b);
void hm_coco_rle_begin(hm_coco_build *b);
hm_status hm_coco_add_size(hm_coco_build *b, const char *text, double x);
void hm_coco_counts_begin(hm_coco_build *b);
hm_status hm_coco_add_count(hm_coco_build *b, const char *text, double x);
hm_status hm_coco_rle_end(hm_coco_build *b);

/* coco_parse.c: all of the file's JSON into b. hm_coco_parse_file reads from `file` to its end. */
hm_status hm_coco_parse_file(hm_coco_build *b, const char *path, FILE *file);
hm_status hm_coco_parse_memory(hm_coco_build *b, const char *name, const void *json, size_t len);

/* coco_link.c: ids to indices, drafts to b->out->anns, and the checks that need the whole file. */
hm_status hm_coco_link(hm_coco_build *b);

#endif
