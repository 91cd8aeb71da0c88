/* predictor.c: hm_predictor: a model file, and pixels through it in parts of a batch. */
#include <stdlib.h>
#include <string.h>

#include "api/objects.h"
#include "api/pixels.h"
#include "base/mem.h"
#include "base/plain_numbers.h"
#include "device/turn.h"
#include "eval/find_objects.h"
#include "train/options.h"

struct hm_predictor {
    hm_model_file model;
    double threshold;
    bool gpu;
    size_t batch;
    hm_image *images;      /* [batch] of the part that is run */
    const hm_image **list; /* [batch] to them */
    uint8_t **copies;      /* [batch] */
    hm_detections *found;  /* [batch] */
};

/* ---- opening */

static hm_status make(hm_predictor *p, const hm_predict_options *o) {
    p->threshold = o->threshold;
    HM_TRY(hm_alloc(&p->images, p->batch, sizeof *p->images));
    HM_TRY(hm_alloc(&p->list, p->batch, sizeof *p->list));
    HM_TRY(hm_alloc(&p->copies, p->batch, sizeof *p->copies));
    HM_TRY(hm_alloc(&p->found, p->batch, sizeof *p->found));
    p->gpu = hm_turn_needed(o->device);
    hm_turn_take(p->gpu);
    const hm_status st =
        hm_model_file_open_on(&p->model, o->weights, o->device, o->precision, (int32_t)p->batch, o->threads);
    hm_turn_give(p->gpu);
    return st;
}

hm_status hm_predictor_new(hm_predictor **out, const hm_predict_options *options, int32_t batch) {
    HM_PLAIN_NUMBERS;
    hm_predict_options *own = NULL;
    hm_predictor *p = NULL;
    hm_status st;
    *out = NULL;
    if (options->weights == NULL)
        HM_FAIL(HM_ERR_ARG, "a predictor needs weights: a safetensors file or a PyTorch checkpoint");
    if (batch < 1)
        HM_FAIL(HM_ERR_ARG, "a predictor for %d images at once is not possible: take at least 1", (int)batch);
    HM_TRY(hm_options_copy(HM_COMMAND_PREDICT, &own, options));
    HM_TRY_TO(st, done, hm_alloc(&p, 1, sizeof *p));
    p->batch = (size_t)batch;
    st = make(p, own);
    if (st == HM_OK)
        *out = p;
    else
        hm_predictor_free(p);
done:
    hm_options_free(HM_COMMAND_PREDICT, own);
    return st;
}

void hm_predictor_free(hm_predictor *p) {
    if (p == NULL)
        return;
    hm_turn_take(p->gpu);
    hm_model_file_close(&p->model);
    hm_turn_give(p->gpu);
    free(p->images);
    free(p->list);
    free(p->copies);
    free(p->found);
    free(p);
}

/* ---- what it knows */

int32_t hm_predictor_classes(const hm_predictor *p) {
    return p->model.classes.n;
}

const char *hm_predictor_class_name(const hm_predictor *p, int32_t label) {
    return label >= 0 && label < p->model.classes.n ? p->model.classes.names[label] : NULL;
}

bool hm_predictor_has_masks(const hm_predictor *p) {
    return hm_detector_config(p->model.detector)->segmentation;
}

/* ---- running */

/* `first`: index of the part's first image, for messages. */
static hm_status take_pixels(hm_predictor *p, const hm_pixels *images, size_t n, size_t first) {
    for (size_t i = 0; i < n; i++) {
        const hm_status st = hm_pixels_image(&p->images[i], &p->copies[i], &images[i]);
        if (st != HM_OK)
            return hm_fail_in(st, "image %zu", first + i);
        p->list[i] = &p->images[i];
    }
    return HM_OK;
}

static hm_status find(hm_predictor *p, size_t n, size_t first) {
    size_t at;
    hm_turn_take(p->gpu);
    const hm_status st = hm_find_objects(&p->model, p->list, n, p->threshold, p->found, &at);
    hm_turn_give(p->gpu);
    return st == HM_OK ? HM_OK : hm_fail_in(st, "image %zu", first + at);
}

/* Takes over what was found, in every case. */
static hm_status hand_over(hm_predictor *p, size_t n, hm_objects **out) {
    hm_status st = HM_OK;
    for (size_t i = 0; i < n; i++) {
        if (st == HM_OK)
            st = hm_objects_new(&out[i], &p->found[i], &p->model.classes);
        hm_detections_free(&p->found[i]);
    }
    return st;
}

/* At most a batch. */
static hm_status run_part(hm_predictor *p, const hm_pixels *images, size_t n, size_t first, hm_objects **out) {
    memset(p->copies, 0, n * sizeof *p->copies);
    hm_status st = take_pixels(p, images, n, first);
    if (st == HM_OK)
        st = find(p, n, first);
    for (size_t i = 0; i < n; i++)
        free(p->copies[i]);
    return st == HM_OK ? hand_over(p, n, out) : st;
}

hm_status hm_predictor_run(hm_predictor *p, const hm_pixels *images, size_t n, hm_objects **out) {
    HM_PLAIN_NUMBERS;
    hm_status st = HM_OK;
    memset(out, 0, n * sizeof(hm_objects *));
    for (size_t first = 0; first < n && st == HM_OK; first += p->batch) {
        const size_t part = n - first < p->batch ? n - first : p->batch;
        st = run_part(p, images + first, part, first, out + first);
    }
    for (size_t i = 0; i < n && st != HM_OK; i++) {
        hm_objects_free(out[i]);
        out[i] = NULL;
    }
    return st;
}
