/* postprocess.c: choosing detections and scaling their boxes; masks are mask_from_logits.c's.
 * Formulas: rfdetr/models/postprocess.py of rfdetr 1.11.2. */
#include "eval/postprocess.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"

typedef struct candidate {
    float score;
    int32_t at; /* query * classes + label */
} candidate;

void hm_detections_free(hm_detections *d) {
    if (d == NULL)
        return;
    for (size_t i = 0; d->items != NULL && i < d->n; i++)
        hm_rle_free(&d->items[i].mask);
    free(d->items);
    *d = (hm_detections){0};
}

void hm_detection_box(const hm_detection *d, double box[4]) {
    box[0] = d->box[0];
    box[1] = d->box[1];
    box[2] = d->box[2] - d->box[0];
    box[3] = d->box[3] - d->box[1];
}

/* Ties keep the order of the outputs. */
static int by_score(const void *pa, const void *pb) {
    const candidate *const a = pa, *const b = pb;
    if (a->score != b->score)
        return a->score > b->score ? -1 : 1;
    return (a->at > b->at) - (a->at < b->at);
}

/* Scores are rounded to float before they are compared, as upstream's are. */
static hm_status rank(candidate **out, const hm_raw_outputs *raw, size_t n) {
    HM_TRY(hm_alloc(out, n, sizeof **out));
    for (size_t i = 0; i < n; i++) {
        if (isnan(raw->logits[i]))
            HM_FAIL(HM_ERR_FORMAT, "the model's class logits are not numbers: its weights are damaged, or their "
                                   "training has diverged");
        (*out)[i] = (candidate){(float)(1 / (1 + exp(-(double)raw->logits[i]))), (int32_t)i};
    }
    qsort(*out, n, sizeof **out, by_score);
    return HM_OK;
}

static float clamp(float x, float hi) {
    return x < 0 ? 0 : x > hi ? hi : x;
}

static hm_status scale_box(float out[4], const float box[4], int32_t w, int32_t h) {
    for (int k = 0; k < 4; k++)
        if (!isfinite(box[k]))
            HM_FAIL(HM_ERR_FORMAT, "the model's boxes are not finite: its weights are damaged, or their training has "
                                   "diverged");
    const float half_w = 0.5f * (box[2] > 0 ? box[2] : 0), half_h = 0.5f * (box[3] > 0 ? box[3] : 0);
    out[0] = clamp((box[0] - half_w) * (float)w, (float)w);
    out[1] = clamp((box[1] - half_h) * (float)h, (float)h);
    out[2] = clamp((box[0] + half_w) * (float)w, (float)w);
    out[3] = clamp((box[1] + half_h) * (float)h, (float)h);
    return HM_OK;
}

static hm_status select_best(hm_detections *out, const hm_raw_outputs *raw, const hm_post_options *o,
                             const candidate *ranked, size_t n) {
    n = n < (size_t)o->num_select ? n : (size_t)o->num_select;
    HM_TRY(hm_alloc(&out->items, n, sizeof *out->items));
    for (; out->n < n && (double)ranked[out->n].score > o->threshold; out->n++) {
        const candidate *const c = &ranked[out->n];
        hm_detection *const d = &out->items[out->n];
        d->score = c->score;
        d->query = c->at / raw->classes;
        d->label = c->at % raw->classes;
        HM_TRY(scale_box(d->box, raw->boxes + 4 * (size_t)d->query, o->w, o->h));
    }
    return HM_OK;
}

static hm_status make_masks(hm_detections *out, const hm_raw_outputs *raw, const hm_post_options *o) {
    const size_t pixels = (size_t)raw->mask_h * (size_t)raw->mask_w;
    hm_status st = HM_OK;
#pragma omp parallel for schedule(dynamic) num_threads(o->threads) reduction(max : st)
    for (size_t i = 0; i < out->n; i++) {
        hm_detection *const d = &out->items[i];
        const float *const logits = raw->masks + (size_t)d->query * pixels;
        const hm_status own = hm_mask_from_logits(&d->mask, logits, raw->mask_h, raw->mask_w, o->h, o->w);
        st = own > st ? own : st;
    }
    if (st != HM_OK)
        HM_FAIL(st, "not enough memory for %zu masks of %d x %d pixels", out->n, (int)o->w, (int)o->h);
    return HM_OK;
}

hm_status hm_postprocess(hm_detections *out, const hm_raw_outputs *raw, const hm_post_options *o) {
    const size_t n = (size_t)raw->queries * (size_t)raw->classes;
    candidate *ranked = NULL;
    hm_status st;
    *out = (hm_detections){0};
    if (n > INT32_MAX || o->w < 1 || o->h < 1 || (int64_t)o->w * o->h > INT32_MAX)
        HM_FAIL(HM_ERR_ARG, "cannot make detections of %zu scores for an image of %d x %d pixels", n, (int)o->w,
                (int)o->h);
    HM_TRY_TO(st, done, rank(&ranked, raw, n));
    HM_TRY_TO(st, done, select_best(out, raw, o, ranked, n));
    if (raw->masks != NULL)
        st = make_masks(out, raw, o);
done:
    free(ranked);
    if (st != HM_OK)
        hm_detections_free(out);
    return st;
}
