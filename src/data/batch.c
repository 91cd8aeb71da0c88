/* batch.c: one row of a batch from one item of a data set. Masks go from run lengths straight to the network's pixels;
 * the full-size bitmap is never made. */
#include "data/batch.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "data/transform.h"

hm_status hm_batch_new(hm_batch *out, int32_t b, int32_t t, int32_t h, int32_t w, bool masks) {
    hm_status st;
    memset(out, 0, sizeof *out);
    if (b < 1 || t < 1 || h < 1 || w < 1 || (int64_t)h * w > HM_IMAGE_MAX_PIXELS)
        HM_FAIL(HM_ERR_ARG, "a batch of %d pictures of %d x %d pixels with %d targets each is not possible", (int)b,
                (int)w, (int)h, (int)t);
    const size_t rows = (size_t)b * (size_t)t, pixels = (size_t)h * (size_t)w;
    out->b = b;
    out->t = t;
    hm_batch_resize(out, h, w);
    HM_TRY_TO(st, fail, hm_alloc(&out->images, (size_t)b, pixels * 3 * sizeof *out->images));
    HM_TRY_TO(st, fail, hm_alloc(&out->counts, (size_t)b, sizeof *out->counts));
    HM_TRY_TO(st, fail, hm_alloc(&out->labels, rows, sizeof *out->labels));
    HM_TRY_TO(st, fail, hm_alloc(&out->boxes, rows, 4 * sizeof *out->boxes));
    if (masks)
        HM_TRY_TO(st, fail, hm_alloc(&out->masks, rows, out->mask_bytes));
    HM_TRY_TO(st, fail, hm_alloc(&out->image_ids, (size_t)b, sizeof *out->image_ids));
    HM_TRY_TO(st, fail, hm_alloc(&out->sizes, (size_t)b, 2 * sizeof *out->sizes));
    HM_TRY_TO(st, fail, hm_alloc(&out->items, (size_t)b, sizeof *out->items));
    return HM_OK;
fail:
    hm_batch_free(out);
    return st;
}

size_t hm_batch_bytes(int32_t b, int32_t t, int32_t h, int32_t w, bool masks) {
    const size_t pixels = (size_t)h * (size_t)w;
    const size_t target = sizeof(int32_t) + 4 * sizeof(float) + (masks ? (pixels + 7) / 8 : 0);
    const size_t image =
        3 * pixels * sizeof(float) + sizeof(int32_t) + sizeof(int64_t) + 2 * sizeof(int32_t) + sizeof(size_t);
    return (size_t)b * (image + (size_t)t * target);
}

void hm_batch_free(hm_batch *batch) {
    if (batch == NULL)
        return;
    free(batch->images);
    free(batch->counts);
    free(batch->labels);
    free(batch->boxes);
    free(batch->masks);
    free(batch->image_ids);
    free(batch->sizes);
    free(batch->items);
    memset(batch, 0, sizeof *batch);
}

void hm_batch_resize(hm_batch *batch, int32_t h, int32_t w) {
    batch->h = h;
    batch->w = w;
    batch->mask_bytes = ((size_t)h * (size_t)w + 7) / 8;
}

static void clear_targets(hm_batch *batch, int32_t row) {
    const size_t r = (size_t)row, t = (size_t)batch->t;
    batch->counts[r] = 0;
    memset(batch->labels + r * t, 0, t * sizeof *batch->labels);
    memset(batch->boxes + r * t * 4, 0, t * 4 * sizeof *batch->boxes);
    if (batch->masks != NULL)
        memset(batch->masks + r * t * batch->mask_bytes, 0, t * batch->mask_bytes);
}

void hm_batch_clear(hm_batch *batch, int32_t first) {
    const size_t pixels = 3 * (size_t)batch->h * (size_t)batch->w;
    for (int32_t row = first; row < batch->b; row++) {
        memset(batch->images + (size_t)row * pixels, 0, pixels * sizeof *batch->images);
        clear_targets(batch, row);
        batch->image_ids[row] = 0;
        batch->sizes[2 * row] = batch->sizes[2 * row + 1] = 0;
        batch->items[row] = 0;
    }
    batch->n = first;
}

/* First run whose end lies beyond position `at`. */
static size_t find_run(const uint64_t *ends, size_t n, uint64_t at) {
    size_t lo = 0, hi = n;
    while (lo < hi) {
        const size_t mid = lo + (hi - lo) / 2;
        if (ends[mid] > at)
            hi = mid;
        else
            lo = mid + 1;
    }
    return lo;
}

hm_status hm_batch_mask_bits(uint8_t *bits, const hm_rle *mask, const int32_t *cols, int32_t w, const int32_t *rows,
                             int32_t h) {
    uint64_t *ends, end = 0; /* [runs] position behind each run, column-major */
    HM_TRY(hm_alloc(&ends, mask->n, sizeof *ends));
    for (size_t k = 0; k < mask->n; k++)
        ends[k] = end += mask->counts[k];
    for (int32_t x = 0; x < w; x++) {
        const uint64_t column = (uint64_t)cols[x] * (uint64_t)mask->h;
        size_t run = find_run(ends, mask->n, column + (uint64_t)rows[0]);
        for (int32_t y = 0; y < h; y++) {
            while (run < mask->n && ends[run] <= column + (uint64_t)rows[y])
                run++;
            const size_t bit = (size_t)y * (size_t)w + (size_t)x;
            if (run & 1 && run < mask->n)
                bits[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
        }
    }
    free(ends);
    return HM_OK;
}

static hm_status fill_pixels(float *dst, const hm_image *picture, const hm_view *v) {
    hm_image mid = {0}, cut = {0}, out = {0};
    hm_status st;
    const bool whole = v->cut_w == v->in_w && v->cut_h == v->in_h && v->mid_w == v->in_w && v->mid_h == v->in_h;
    if (!whole) {
        HM_TRY_TO(st, done, hm_transform_resize(&mid, picture, v->mid_w, v->mid_h));
        HM_TRY_TO(st, done, hm_transform_crop(&cut, &mid, v->left, v->top, v->cut_w, v->cut_h));
    }
    HM_TRY_TO(st, done, hm_transform_resize(&out, whole ? picture : &cut, v->out_w, v->out_h));
    hm_transform_normalise(dst, &out, v->flip);
done:
    hm_image_free(&mid);
    hm_image_free(&cut);
    hm_image_free(&out);
    return st;
}

/* Where the batch has masks: the source column and row of each network pixel; w columns, then h rows. */
static hm_status make_map(hm_batch_row *out) {
    const hm_batch *const b = out->batch;
    if (b->masks == NULL)
        return HM_OK;
    HM_TRY(hm_alloc(&out->nearest, (size_t)b->w + (size_t)b->h, sizeof *out->nearest));
    hm_view_nearest(out->view, out->nearest, out->nearest + b->w);
    return HM_OK;
}

hm_status hm_batch_row_begin(hm_batch_row *out, hm_batch *batch, int32_t row, const hm_image *picture, const hm_view *v,
                             int64_t id) {
    const size_t r = (size_t)row;
    *out = (hm_batch_row){.batch = batch, .row = row, .view = v};
    clear_targets(batch, row);
    HM_TRY(fill_pixels(batch->images + r * 3 * (size_t)batch->h * (size_t)batch->w, picture, v));
    batch->image_ids[r] = id;
    batch->sizes[2 * r] = picture->h;
    batch->sizes[2 * r + 1] = picture->w;
    return make_map(out);
}

void hm_batch_row_end(hm_batch_row *r) {
    free(r->nearest);
    r->nearest = NULL;
}

hm_status hm_batch_row_object(const hm_batch_row *r, int32_t label, const float box[4], const hm_rle *mask) {
    hm_batch *const b = r->batch;
    const int32_t n = b->counts[r->row];
    const size_t target = (size_t)r->row * (size_t)b->t + (size_t)n;
    if (n == b->t)
        HM_FAIL(HM_ERR_ARG, "more than %d objects in one picture; raise the batch's capacity", (int)b->t);
    if (b->masks != NULL)
        HM_TRY(hm_batch_mask_bits(b->masks + target * b->mask_bytes, mask, r->nearest, b->w, r->nearest + b->w, b->h));
    memcpy(b->boxes + 4 * target, box, 4 * sizeof *box);
    b->labels[target] = label;
    b->counts[r->row]++;
    return HM_OK;
}

static hm_status add_annotation(const hm_batch_row *r, const hm_dataset *d, const hm_coco_ann *a) {
    hm_rle mask = {0};
    hm_status st = HM_OK;
    float seen[4];
    if (!hm_dataset_trains(a) || !hm_view_box(r->view, a->box, seen))
        return HM_OK;
    if (r->batch->masks != NULL)
        st = hm_coco_mask(&d->coco, a, r->view->in_h, r->view->in_w, &mask);
    if (st == HM_OK)
        st = hm_batch_row_object(r, d->label_of[a->category], seen, &mask);
    hm_rle_free(&mask);
    return st == HM_OK ? HM_OK : hm_fail_in(st, "annotation %lld", (long long)a->id);
}

static hm_status fill_row(hm_batch *batch, int32_t row, const hm_dataset *d, const hm_coco_image *image,
                          const hm_image *picture, const hm_view *v) {
    hm_batch_row r;
    hm_status st = hm_batch_row_begin(&r, batch, row, picture, v, image->id);
    for (size_t k = 0; k < image->n && st == HM_OK; k++)
        st = add_annotation(&r, d, &d->coco.anns[image->first + k]);
    hm_batch_row_end(&r);
    return st;
}

hm_status hm_batch_fill(hm_batch *batch, int32_t row, const hm_dataset *d, size_t item, hm_augment augment,
                        uint64_t key) {
    const hm_coco_image *const image = &d->coco.images[d->items[item]];
    hm_image picture = {0};
    char *path = NULL;
    hm_status st;
    HM_TRY_TO(st, done, hm_dataset_path(d, item, &path));
    HM_TRY_TO(st, done, hm_image_read(&picture, path));
    const hm_view v = hm_view_random(augment, key, picture.w, picture.h, batch->w, batch->h);
    st = fill_row(batch, row, d, image, &picture, &v);
    if (st != HM_OK)
        st = hm_fail_in(st, "%s", path);
    batch->items[row] = item;
done:
    hm_image_free(&picture);
    free(path);
    return st;
}
