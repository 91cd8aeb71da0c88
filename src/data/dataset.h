/* dataset.h: one split of a Roboflow-style COCO tree: DIR/<split>/_annotations.coco.json with the pictures beside it,
 * splits train, valid, test. Labels are 0-based in the order of the training split's kept categories, for every split.
 * Pictures are not opened here. */
#ifndef HM_DATA_DATASET_H
#define HM_DATA_DATASET_H

#include "data/coco.h"

/* Label <-> category of the model's classes. */
typedef struct hm_classes {
    int32_t n;
    int64_t *ids; /* [n] category id of each label */
    char **names; /* [n] */
} hm_classes;

typedef struct hm_dataset {
    char *dir;    /* DIR/<split> */
    hm_coco coco; /* the split's annotations */
    hm_classes classes;
    int32_t *label_of; /* [coco.n_categories] label, or -1 for a category that has none */
    size_t n_items;
    size_t *items;      /* [n_items] index into coco.images, by ascending image id: the order of evaluation */
    size_t max_objects; /* most trainable annotations of one picture */
} hm_dataset;

/* Opens DIR/<split>. The labels come from `train` when given, else from DIR/train, else (there is none) from the split
 * itself. HM_ERR_FORMAT for an annotation whose category has no label or that has no box, naming it; HM_ERR_ARG for a
 * split without pictures. */
hm_status hm_dataset_open(hm_dataset *out, const char *dir, const char *split, const hm_classes *train);

void hm_dataset_free(hm_dataset *d); /* takes NULL and half-built objects */

/* Label order of an annotation file: categories by ascending id, without those that only group others (named as another
 * category's supercategory and without annotations), unless none would be left. */
hm_status hm_classes_of(hm_classes *out, const hm_coco *coco);

void hm_classes_free(hm_classes *c); /* takes NULL and half-built objects */

/* Whether training uses the annotation: crowds are left out. */
static inline bool hm_dataset_trains(const hm_coco_ann *a) {
    return !a->iscrowd;
}

/* *out = path of an item's picture; free(). */
hm_status hm_dataset_path(const hm_dataset *d, size_t item, char **out);

#endif
