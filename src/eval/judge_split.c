/* judge_split.c: batch after batch: detect, hand truth and detections to the COCO evaluation, forget. */
#include "eval/judge_split.h"

#include <math.h>

#include <string.h>

#include "eval/eval_report.h"

typedef struct judge {
    hm_detector *detector;
    const hm_dataset *data;
    const hm_judge_options *o;
    hm_coco_eval *bbox, *segm; /* segm NULL in detection */
} judge;

void hm_judge_scores_free(hm_judge_scores *s) {
    if (s == NULL)
        return;
    hm_coco_scores_free(&s->bbox);
    hm_coco_scores_free(&s->segm);
    s->masks = false;
}

/* An annotation without a box (only crowds may be) has its mask's. */
static hm_status add_annotation(judge *j, const hm_coco_image *image, const hm_coco_ann *a, int32_t h, int32_t w) {
    const int32_t label = j->data->label_of[a->category];
    hm_rle mask = {0};
    double box[4];
    hm_status st;
    if (label < 0)
        return HM_OK;
    HM_TRY_TO(st, done, hm_coco_mask(&j->data->coco, a, h, w, &mask));
    if (a->has_box)
        memcpy(box, a->box, sizeof box);
    else
        hm_rle_box(&mask, box);
    HM_TRY_TO(st, done, hm_coco_eval_add_gt(j->bbox, image->id, label, box, a->area, a->iscrowd, NULL));
    if (j->segm != NULL)
        st = hm_coco_eval_add_gt(j->segm, image->id, label, NULL, a->area, a->iscrowd, &mask);
done:
    hm_rle_free(&mask);
    return st == HM_OK ? HM_OK : hm_fail_in(st, "%s: annotation %lld", j->data->coco.path, (long long)a->id);
}

static hm_status add_detection(judge *j, const hm_coco_image *image, const hm_detection *d) {
    const hm_rle *const mask = j->segm != NULL ? &d->mask : NULL;
    double box[4];
    if (d->label >= j->data->classes.n)
        return HM_OK;
    hm_detection_box(d, box);
    HM_TRY(hm_coco_eval_add_dt(j->bbox, image->id, d->label, box, d->score, NAN, NULL));
    if (mask != NULL)
        HM_TRY(hm_coco_eval_add_dt(j->segm, image->id, d->label, NULL, d->score, NAN, mask));
    if (j->o->writer == NULL)
        return HM_OK;
    return hm_coco_writer_add(j->o->writer, image->id, j->data->classes.ids[d->label], d->score, box, mask);
}

static hm_status add_image(judge *j, const hm_batch *b, int32_t row) {
    const hm_coco *const coco = &j->data->coco;
    const hm_coco_image *const image = &coco->images[j->data->items[b->items[row]]];
    const int32_t h = b->sizes[2 * row], w = b->sizes[2 * row + 1];
    hm_detections found;
    for (size_t k = 0; k < image->n; k++)
        HM_TRY(add_annotation(j, image, &coco->anns[image->first + k], h, w));
    HM_TRY(hm_detector_detections(j->detector, row, w, h, -1, &found));
    hm_status st = HM_OK;
    for (size_t k = 0; k < found.n && st == HM_OK; k++)
        st = add_detection(j, image, &found.items[k]);
    hm_detections_free(&found);
    return st;
}

static hm_status add_batch(judge *j, const hm_batch *b) {
    const hm_detector_options *const o = hm_detector_settings(j->detector);
    if (b->n > o->batch || b->h != o->height || b->w != o->width)
        HM_FAIL(HM_ERR_INTERNAL, "a batch of %d images of %d x %d pixels does not fit a detector for %d of %d x %d",
                (int)b->n, (int)b->w, (int)b->h, (int)o->batch, (int)o->width, (int)o->height);
    memcpy(hm_detector_input(j->detector), b->images, (size_t)b->n * 3 * (size_t)b->h * (size_t)b->w * sizeof(float));
    HM_TRY(hm_detector_run(j->detector));
    for (int32_t row = 0; row < b->n; row++)
        HM_TRY(add_image(j, b, row));
    HM_TRY(hm_coco_eval_judge(j->bbox));
    return j->segm != NULL ? hm_coco_eval_judge(j->segm) : HM_OK;
}

static hm_status run(judge *j, hm_loader *loader) {
    const int64_t total = hm_loader_batches(loader);
    const hm_batch *b;
    HM_TRY(hm_loader_epoch(loader, 0, 0));
    for (int64_t done = 1;; done++) {
        HM_TRY(hm_loader_next(loader, &b));
        if (b == NULL)
            return HM_OK;
        HM_TRY(add_batch(j, b));
        if (j->o->tick != NULL)
            j->o->tick(j->o->user, done, total);
    }
}

hm_status hm_judge_split(hm_judge_scores *out, hm_detector *d, hm_loader *loader, const hm_dataset *data,
                         const hm_judge_options *o) {
    const bool masks = hm_detector_config(d)->segmentation;
    hm_coco_eval_options options = hm_coco_eval_defaults(false, data->classes.n);
    judge j = {.detector = d, .data = data, .o = o};
    hm_status st;
    *out = (hm_judge_scores){.masks = masks};
    hm_eval_limits(o->max_dets, options.max_dets);
    HM_TRY_TO(st, done, hm_coco_eval_new(&j.bbox, &options));
    options.masks = true;
    if (masks)
        HM_TRY_TO(st, done, hm_coco_eval_new(&j.segm, &options));
    HM_TRY_TO(st, done, run(&j, loader));
    HM_TRY_TO(st, done, hm_coco_eval_run(j.bbox, &out->bbox));
    if (masks)
        st = hm_coco_eval_run(j.segm, &out->segm);
done:
    hm_coco_eval_free(j.bbox);
    hm_coco_eval_free(j.segm);
    if (st != HM_OK)
        hm_judge_scores_free(out);
    return st;
}
