/* find_objects.c: pictures into the detector's input, its outputs into detections. */
#include "eval/find_objects.h"

#include <string.h>

#include "data/transform.h"

static hm_status fill(hm_detector *d, const hm_image *const *images, size_t n, size_t *at) {
    const hm_detector_options *const o = hm_detector_settings(d);
    const size_t row = 3 * (size_t)o->height * (size_t)o->width;
    for (*at = 0; *at < n; ++*at)
        HM_TRY(hm_transform_predict(hm_detector_input(d) + *at * row, images[*at], o->width, o->height));
    memset(hm_detector_input(d) + n * row, 0, ((size_t)o->batch - n) * row * sizeof(float));
    return HM_OK;
}

/* Drops detections of labels without a class. */
static void keep_known(hm_detections *found, int32_t n_classes) {
    size_t kept = 0;
    for (size_t i = 0; i < found->n; i++) {
        if (found->items[i].label < n_classes)
            found->items[kept++] = found->items[i];
        else
            hm_rle_free(&found->items[i].mask);
    }
    found->n = kept;
}

hm_status hm_find_objects(hm_model_file *m, const hm_image *const *images, size_t n, double threshold,
                          hm_detections *out, size_t *at) {
    size_t own, *const i = at != NULL ? at : &own;
    hm_status st;
    memset(out, 0, n * sizeof *out);
    HM_TRY(fill(m->detector, images, n, i));
    *i = 0;
    HM_TRY(hm_detector_run(m->detector));
    for (; *i < n; ++*i) {
        const hm_image *const image = images[*i];
        HM_TRY_TO(st, fail, hm_detector_detections(m->detector, (int32_t)*i, image->w, image->h, threshold, &out[*i]));
        keep_known(&out[*i], m->classes.n);
    }
    return HM_OK;
fail:
    for (size_t k = 0; k < n; k++)
        hm_detections_free(&out[k]);
    return st;
}
