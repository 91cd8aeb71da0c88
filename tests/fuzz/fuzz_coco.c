/* fuzz_coco.c: libFuzzer target: any bytes as an annotation file; what is taken is consistent and its masks can be
 * made. */
#include "data/coco.h"

#include <math.h>
#include <string.h>

/* Making a polygon's mask costs time with its size, so only small images' are made. */
enum { MASK_SIDE = 256 };

static volatile size_t sink;

static void require(bool condition) {
    if (!condition)
        __builtin_trap();
}

static void check_annotation(const hm_coco *c, size_t image, const hm_coco_ann *a) {
    const hm_coco_image *const of = &c->images[image];
    hm_rle mask;
    require(a->image == image && a->category >= 0 && (size_t)a->category < c->n_categories);
    require(a->has_box || a->seg.kind != HM_SEG_NONE);
    for (int i = 0; i < 4; i++)
        require(isfinite(a->box[i]));
    if (of->width > MASK_SIDE || of->height > MASK_SIDE)
        return;
    if (hm_coco_mask(c, a, of->height, of->width, &mask) != HM_OK) {
        require(a->seg.kind == HM_SEG_POLYGONS); /* RLE was checked on reading */
        return;
    }
    require(hm_rle_area(&mask) <= (uint64_t)of->width * (uint64_t)of->height);
    hm_rle_free(&mask);
}

static void check(const hm_coco *c) {
    size_t at = 0;
    for (size_t i = 0; i < c->n_images; i++) {
        const hm_coco_image *const image = &c->images[i];
        require(image->width > 0 && image->height > 0 && image->first == at);
        require(strlen(hm_coco_text(c, image->file_name)) > 0);
        for (size_t k = 0; k < image->n; k++)
            check_annotation(c, i, &c->anns[at + k]);
        at += image->n;
    }
    require(at == c->n_anns);
    for (size_t i = 0; i < c->n_categories; i++) {
        sink += strlen(hm_coco_text(c, c->categories[i].name));
        sink += strlen(hm_coco_text(c, c->categories[i].supercategory));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    hm_coco c;
    if (hm_coco_read_memory(&c, "fuzz", data, len) != HM_OK) {
        require(c.anns == NULL && c.text == NULL && strstr(hm_error_message(), "fuzz") != NULL);
        return 0;
    }
    check(&c);
    hm_coco_free(&c);
    return 0;
}
