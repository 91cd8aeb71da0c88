/* coco_link.c: what needs the whole annotation file: ids that are used twice, the image and category of every
 * annotation, RLE against its image's size, and the annotations sorted by image. */
#include "data/coco_item.h"

#include <stdlib.h>

#include "base/mem.h"
#include "data/by_id.h"

/* Sorts the n ids that lie `stride` bytes apart from `first` on; an id that is there twice is a fault. */
static hm_status index_ids(hm_by_id **out, const char *path, hm_coco_list list, const void *first, size_t n,
                           size_t stride) {
    HM_TRY(hm_alloc(out, n, sizeof **out));
    hm_by_id *const ids = *out;
    for (size_t i = 0; i < n; i++)
        ids[i] = (hm_by_id){*(const int64_t *)((const char *)first + i * stride), i};
    if (n > 1)
        qsort(ids, n, sizeof *ids, hm_by_id_compare);
    for (size_t i = 1; i < n; i++)
        if (ids[i - 1].id == ids[i].id)
            HM_FAIL(HM_ERR_FORMAT, "%s: numbers %zu and %zu of \"%s\" both have the id %lld; give each its own", path,
                    ids[i - 1].index + 1, ids[i].index + 1, hm_coco_list_name(list), (long long)ids[i].id);
    return HM_OK;
}

static const hm_by_id *find(const hm_by_id *ids, size_t n, int64_t id) {
    size_t lo = 0, hi = n;
    while (lo < hi) {
        const size_t mid = lo + (hi - lo) / 2;
        if (ids[mid].id < id)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < n && ids[lo].id == id ? &ids[lo] : NULL;
}

static hm_status unknown(const hm_coco_build *b, const hm_coco_draft *d, const char *what, int64_t id,
                         hm_coco_list list) {
    HM_FAIL(HM_ERR_FORMAT,
            "%s, annotation %lld (byte %llu): there is no %s %lld in \"%s\"; add it or remove the annotation",
            b->out->path, (long long)d->ann.id, (unsigned long long)d->byte, what, (long long)id,
            hm_coco_list_name(list));
}

/* The size that RLE states must be its image's, and its runs must fill it. */
static hm_status check_rle(const hm_coco_build *b, const hm_coco_draft *d) {
    const hm_coco *const c = b->out;
    const hm_coco_image *const image = &c->images[d->ann.image];
    const hm_seg *const seg = &d->ann.seg;
    hm_rle rle;
    if (seg->kind != HM_SEG_RLE_STRING && seg->kind != HM_SEG_RLE_COUNTS)
        return HM_OK;
    if (seg->h != image->height || seg->w != image->width)
        HM_FAIL(HM_ERR_FORMAT,
                "%s, annotation %lld (byte %llu): its RLE has the size [%d, %d] (height, width), but image %lld has "
                "[%d, %d]; make the mask anew at the image's size",
                c->path, (long long)d->ann.id, (unsigned long long)d->byte, (int)seg->h, (int)seg->w,
                (long long)image->id, (int)image->height, (int)image->width);
    const hm_status st = hm_coco_mask(c, &d->ann, seg->h, seg->w, &rle);
    if (st != HM_OK)
        return hm_fail_in(st, "%s, annotation %lld (byte %llu), make the mask anew", c->path, (long long)d->ann.id,
                          (unsigned long long)d->byte);
    hm_rle_free(&rle);
    return HM_OK;
}

static hm_status link_drafts(hm_coco_build *b, const hm_by_id *images, const hm_by_id *categories) {
    hm_coco *const c = b->out;
    for (size_t i = 0; i < b->n_drafts; i++) {
        hm_coco_draft *const d = &b->drafts[i];
        const hm_by_id *const image = find(images, c->n_images, d->image_id);
        const hm_by_id *const category = find(categories, c->n_categories, d->category_id);
        if (image == NULL)
            return unknown(b, d, "image", d->image_id, HM_COCO_IMAGES);
        if (category == NULL)
            return unknown(b, d, "category", d->category_id, HM_COCO_CATEGORIES);
        d->ann.image = image->index;
        d->ann.category = (int32_t)category->index;
        c->images[d->ann.image].n++;
        HM_TRY(check_rle(b, d));
    }
    return HM_OK;
}

/* Counting sort by image; file order stays within an image. */
static hm_status sort_anns(hm_coco_build *b) {
    hm_coco *const c = b->out;
    size_t at = 0;
    HM_TRY(hm_alloc(&c->anns, b->n_drafts, sizeof *c->anns));
    for (size_t i = 0; i < c->n_images; i++) {
        c->images[i].first = at;
        at += c->images[i].n;
        c->images[i].n = 0;
    }
    for (size_t i = 0; i < b->n_drafts; i++) {
        hm_coco_image *const image = &c->images[b->drafts[i].ann.image];
        c->anns[image->first + image->n++] = b->drafts[i].ann;
    }
    c->n_anns = b->n_drafts;
    return HM_OK;
}

hm_status hm_coco_link(hm_coco_build *b) {
    hm_coco *const c = b->out;
    hm_by_id *images = NULL, *categories = NULL, *anns = NULL;
    hm_status st = index_ids(&images, c->path, HM_COCO_IMAGES, c->n_images ? &c->images[0].id : NULL, c->n_images,
                             sizeof *c->images);
    if (st == HM_OK)
        st = index_ids(&categories, c->path, HM_COCO_CATEGORIES, c->n_categories ? &c->categories[0].id : NULL,
                       c->n_categories, sizeof *c->categories);
    if (st == HM_OK)
        st = index_ids(&anns, c->path, HM_COCO_ANNOTATIONS, b->n_drafts ? &b->drafts[0].ann.id : NULL, b->n_drafts,
                       sizeof *b->drafts);
    free(anns);
    if (st == HM_OK)
        st = link_drafts(b, images, categories);
    if (st == HM_OK)
        st = sort_anns(b);
    free(images);
    free(categories);
    return st;
}
