/* coco_result_draft.c: checks one gathered result, finds its image and category and makes its mask. */
#include "eval/coco_result_draft.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

const char *const hm_result_key_names[] = {"",     "image_id",     "category_id", "score",
                                           "bbox", "segmentation", "size",        "counts"};

static int by_id(const void *a, const void *b) {
    const int64_t x = ((const hm_result_id *)a)->id, y = ((const hm_result_id *)b)->id;
    return (x > y) - (x < y);
}

static const hm_result_id *find(const hm_result_id *table, size_t n, int64_t id) {
    return n ? bsearch(&(hm_result_id){.id = id}, table, n, sizeof *table, by_id) : NULL;
}

hm_status hm_result_open(hm_result_draft *d, const hm_coco *gt) {
    d->gt = gt;
    HM_TRY(hm_alloc(&d->images, gt->n_images, sizeof *d->images));
    HM_TRY(hm_alloc(&d->categories, gt->n_categories, sizeof *d->categories));
    for (size_t i = 0; i < gt->n_images; i++)
        d->images[i] = (hm_result_id){gt->images[i].id, i};
    for (size_t i = 0; i < gt->n_categories; i++)
        d->categories[i] = (hm_result_id){gt->categories[i].id, i};
    if (gt->n_images)
        qsort(d->images, gt->n_images, sizeof *d->images, by_id);
    if (gt->n_categories)
        qsort(d->categories, gt->n_categories, sizeof *d->categories, by_id);
    return HM_OK;
}

void hm_result_close(hm_result_draft *d) {
    free(d->images);
    free(d->categories);
    free(d->text);
    free(d->counts);
    free(d->xy);
    free(d->start);
    *d = (hm_result_draft){0};
}

void hm_result_begin(hm_result_draft *d) {
    d->seen = 0;
    d->n_box = d->n_size = d->n_counts = d->n_xy = d->n_start = d->text_len = 0;
}

hm_status hm_result_add_count(hm_result_draft *d, uint32_t run) {
    HM_TRY(hm_grow(&d->counts, &d->counts_cap, d->n_counts + 1, sizeof *d->counts));
    d->counts[d->n_counts++] = run;
    return HM_OK;
}

hm_status hm_result_add_coordinate(hm_result_draft *d, double x) {
    HM_TRY(hm_grow(&d->xy, &d->xy_cap, d->n_xy + 1, sizeof *d->xy));
    d->xy[d->n_xy++] = x;
    return HM_OK;
}

hm_status hm_result_add_polygon(hm_result_draft *d) {
    HM_TRY(hm_grow(&d->start, &d->start_cap, d->n_start + 1, sizeof *d->start));
    d->start[d->n_start++] = d->n_xy;
    return HM_OK;
}

hm_status hm_result_set_text(hm_result_draft *d, const void *s, size_t len) {
    HM_TRY(hm_grow(&d->text, &d->text_cap, len, 1));
    if (len)
        memcpy(d->text, s, len);
    d->text_len = len;
    d->is_string = true;
    d->seen |= 1u << HM_RESULT_COUNTS;
    return HM_OK;
}

static bool has(const hm_result_draft *d, hm_result_key k) {
    return d->seen >> k & 1u;
}

static hm_status make_mask(hm_result_draft *d, const hm_coco_image *image, hm_rle *mask) {
    const int32_t h = image->height, w = image->width;
    if (d->polygons) {
        HM_TRY(hm_grow(&d->start, &d->start_cap, d->n_start + 1, sizeof *d->start));
        HM_TRY(hm_grow(&d->xy, &d->xy_cap, d->n_xy + 1, sizeof *d->xy)); /* never NULL */
        d->start[d->n_start] = d->n_xy;
        return hm_rle_from_polygons(mask, d->xy, d->start, d->n_start, h, w);
    }
    if (!has(d, HM_RESULT_SIZE) || !has(d, HM_RESULT_COUNTS))
        HM_FAIL(HM_ERR_FORMAT, "the segmentation has no \"%s\"", has(d, HM_RESULT_SIZE) ? "counts" : "size");
    if (d->size[0] != h || d->size[1] != w)
        HM_FAIL(HM_ERR_FORMAT,
                "the mask has height %" PRId64 " and width %" PRId64 ", but image %" PRId64 " has %d and %d",
                d->size[0], d->size[1], image->id, (int)h, (int)w);
    if (d->is_string)
        return hm_rle_from_string(mask, d->text, d->text_len, h, w);
    return hm_rle_from_counts(mask, d->counts, d->n_counts, h, w);
}

static hm_status check_result(const hm_result_draft *d) {
    for (hm_result_key k = HM_RESULT_IMAGE; k <= HM_RESULT_SCORE; k++)
        if (!has(d, k))
            HM_FAIL(HM_ERR_FORMAT, "the result has no \"%s\"", hm_result_key_names[k]);
    if (!has(d, HM_RESULT_BOX) && !has(d, HM_RESULT_SEG))
        HM_FAIL(HM_ERR_FORMAT, "the result has neither \"bbox\" nor \"segmentation\"");
    if (has(d, HM_RESULT_BOX) && d->n_box != 4)
        HM_FAIL(HM_ERR_FORMAT, "\"bbox\" has %zu numbers; it must be x,y,width,height", d->n_box);
    return HM_OK;
}

hm_status hm_result_deliver(hm_result_draft *d, hm_coco_result_fn fn, void *user) {
    HM_TRY(check_result(d));
    const hm_result_id *const image = find(d->images, d->gt->n_images, d->image_id);
    const hm_result_id *const category = find(d->categories, d->gt->n_categories, d->category_id);
    if (!image)
        HM_FAIL(HM_ERR_FORMAT, "image_id %" PRId64 " is not in the annotations; are they of another data set?",
                d->image_id);
    if (!category)
        HM_FAIL(HM_ERR_FORMAT, "category_id %" PRId64 " is not in the annotations; are they of another data set?",
                d->category_id);
    hm_coco_result result = {.index = d->index,
                             .image = image->at,
                             .category = (int32_t)category->at,
                             .score = d->score,
                             .has_box = has(d, HM_RESULT_BOX)};
    memcpy(result.box, d->box, result.has_box ? sizeof result.box : 0);
    hm_rle mask = {0};
    if (has(d, HM_RESULT_SEG)) {
        HM_TRY(make_mask(d, &d->gt->images[image->at], &mask));
        result.mask = &mask;
    }
    const hm_status st = fn(user, &result);
    hm_rle_free(&mask);
    return st;
}
