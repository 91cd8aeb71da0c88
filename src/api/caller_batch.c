/* caller_batch.c: see caller_batch.h. Images are resized whole, as validation does it. */
#include "api/caller_batch.h"

#include <math.h>
#include <stdlib.h>

#include "api/pixels.h"

static hm_status check_object(const hm_train_object *o, const hm_caller_limits *limits) {
    const float *const b = o->box;
    if (o->label < 0 || o->label >= limits->classes)
        HM_FAIL(HM_ERR_ARG, "its label %d is none of the data set's %d classes, which count from 0", (int)o->label,
                (int)limits->classes);
    if (!isfinite(b[0]) || !isfinite(b[1]) || !isfinite(b[2]) || !isfinite(b[3]) || b[2] < b[0] || b[3] < b[1])
        HM_FAIL(HM_ERR_ARG, "its box (%g, %g, %g, %g) is none: give left, top, right, bottom in pixels", (double)b[0],
                (double)b[1], (double)b[2], (double)b[3]);
    if (limits->masks && o->mask == NULL)
        HM_FAIL(HM_ERR_ARG, "it has no mask, which a segmentation model needs");
    return HM_OK;
}

static hm_status check_image(const hm_train_image *image, const hm_caller_limits *limits) {
    HM_TRY(hm_pixels_check(&image->pixels));
    if (image->n_objects > limits->objects)
        HM_FAIL(HM_ERR_ARG, "its %zu objects are more than the %zu that the fullest image of the training split has",
                image->n_objects, limits->objects);
    for (size_t k = 0; k < image->n_objects; k++) {
        const hm_status st = check_object(&image->objects[k], limits);
        if (st != HM_OK)
            return hm_fail_in(st, "object %zu", k);
    }
    return HM_OK;
}

hm_status hm_caller_images_check(const hm_train_image *images, size_t n, const hm_caller_limits *limits) {
    for (size_t i = 0; i < n; i++) {
        const hm_status st = check_image(&images[i], limits);
        if (st != HM_OK)
            return hm_fail_in(st, "image %zu", i);
    }
    return HM_OK;
}

static hm_status add_object(const hm_batch_row *r, const hm_train_object *o) {
    const float *const b = o->box;
    const double box[4] = {(double)b[0], (double)b[1], (double)b[2] - (double)b[0], (double)b[3] - (double)b[1]};
    hm_rle mask = {0};
    float seen[4];
    if (!hm_view_box(r->view, box, seen))
        return HM_OK;
    if (r->batch->masks != NULL)
        HM_TRY(hm_rle_from_mask(&mask, o->mask, r->view->in_h, r->view->in_w));
    const hm_status st = hm_batch_row_object(r, o->label, seen, &mask);
    hm_rle_free(&mask);
    return st;
}

static hm_status fill_row(hm_batch *batch, int32_t row, const hm_train_image *image, int64_t id) {
    hm_batch_row r;
    hm_image picture;
    uint8_t *copy;
    HM_TRY(hm_pixels_image(&picture, &copy, &image->pixels));
    const hm_view v = hm_view_plain(picture.w, picture.h, batch->w, batch->h);
    hm_status st = hm_batch_row_begin(&r, batch, row, &picture, &v, id);
    for (size_t k = 0; k < image->n_objects && st == HM_OK; k++)
        st = add_object(&r, &image->objects[k]);
    hm_batch_row_end(&r);
    free(copy);
    return st;
}

hm_status hm_caller_batch_fill(hm_batch *batch, const hm_train_image *images, int64_t id) {
    hm_batch_clear(batch, batch->b);
    for (int32_t row = 0; row < batch->b; row++)
        HM_TRY(fill_row(batch, row, &images[row], id + row));
    return HM_OK;
}
