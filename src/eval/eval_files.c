/* eval_files.c: reads annotations and results, judges, reports. Categories rank by id, as pycocotools has them. */
#include "eval/eval_files.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "eval/coco_results.h"
#include "eval/eval_report.h"

typedef struct session {
    const hm_eval_options *o;
    hm_coco gt;
    bool masks;
    hm_coco_eval *eval;
    int32_t *rank;      /* [gt.n_categories] place of each category by id */
    int64_t *ids;       /* [gt.n_categories] by rank */
    const char **names; /* [gt.n_categories] by rank */
} session;

static void close_session(session *s) {
    hm_coco_eval_free(s->eval);
    hm_coco_free(&s->gt);
    free(s->rank);
    free(s->ids);
    free(s->names);
}

static int by_id(const void *a, const void *b) {
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static hm_status rank_categories(session *s) {
    const size_t n = s->gt.n_categories;
    HM_TRY(hm_alloc(&s->rank, n, sizeof *s->rank));
    HM_TRY(hm_alloc(&s->ids, n, sizeof *s->ids));
    HM_TRY(hm_alloc(&s->names, n, sizeof *s->names));
    for (size_t k = 0; k < n; k++)
        s->ids[k] = s->gt.categories[k].id;
    if (n > 0)
        qsort(s->ids, n, sizeof *s->ids, by_id);
    for (size_t k = 0; k < n; k++) {
        const hm_coco_category *const c = &s->gt.categories[k];
        const int64_t *const at = bsearch(&c->id, s->ids, n, sizeof *s->ids, by_id);
        s->rank[k] = (int32_t)(at - s->ids);
        s->names[at - s->ids] = hm_coco_text(&s->gt, c->name);
    }
    return HM_OK;
}

/* ---- ground truth ---- */

static hm_status add_annotation(session *s, const hm_coco_ann *a) {
    const hm_coco_image *const image = &s->gt.images[a->image];
    const int32_t k = s->rank[a->category];
    hm_rle mask = {0};
    if (!s->masks && !a->has_box)
        HM_FAIL(HM_ERR_FORMAT, "%s: annotation %lld has no bbox, so boxes cannot be judged; use --iou-type segm",
                s->gt.path, (long long)a->id);
    if (!s->masks)
        return hm_coco_eval_add_gt(s->eval, image->id, k, a->box, a->area, a->iscrowd, NULL);
    if (a->seg.kind == HM_SEG_NONE)
        HM_FAIL(HM_ERR_FORMAT,
                "%s: annotation %lld has no segmentation, so masks cannot be judged; use --iou-type bbox", s->gt.path,
                (long long)a->id);
    HM_TRY(hm_coco_mask(&s->gt, a, image->height, image->width, &mask));
    const hm_status st = hm_coco_eval_add_gt(s->eval, image->id, k, NULL, a->area, a->iscrowd, &mask);
    hm_rle_free(&mask);
    return st;
}

static hm_status open_session(session *s) {
    HM_TRY(hm_coco_read(&s->gt, s->o->gt));
    HM_TRY(rank_categories(s));
    if (s->gt.n_categories == 0)
        HM_FAIL(HM_ERR_FORMAT, "%s: there are no categories, so nothing can be judged; add them to the file",
                s->gt.path);
    hm_coco_eval_options options = hm_coco_eval_defaults(s->masks, (int32_t)s->gt.n_categories);
    hm_eval_limits(s->o->eval_max_dets, options.max_dets);
    HM_TRY(hm_coco_eval_new(&s->eval, &options));
    for (size_t i = 0; i < s->gt.n_anns; i++)
        HM_TRY(add_annotation(s, &s->gt.anns[i]));
    return HM_OK;
}

/* ---- results ---- */

static hm_status add_box(session *s, const hm_coco_result *r) {
    const int64_t image = s->gt.images[r->image].id;
    const int32_t k = s->rank[r->category];
    double box[4];
    if (r->has_box)
        return hm_coco_eval_add_dt(s->eval, image, k, r->box, r->score, NAN, NULL);
    hm_rle_box(r->mask, box);
    return hm_coco_eval_add_dt(s->eval, image, k, box, r->score, (double)hm_rle_area(r->mask), NULL);
}

static hm_status add_result(void *user, const hm_coco_result *r) {
    session *const s = user;
    if (!s->masks)
        return add_box(s, r);
    if (r->mask == NULL)
        HM_FAIL(HM_ERR_FORMAT, "there is no segmentation, so masks cannot be judged; use --iou-type bbox");
    return hm_coco_eval_add_dt(s->eval, s->gt.images[r->image].id, s->rank[r->category], NULL, r->score, NAN, r->mask);
}

static hm_status report(const session *s, FILE *to, const hm_coco_scores *scores) {
    const hm_eval_part part = {s->masks ? "segm" : "bbox", scores};
    hm_eval_classes classes = {.n = (int32_t)s->gt.n_categories, .names = s->names, .ids = s->ids};
    hm_eval_limits(s->o->eval_max_dets, classes.max_dets);
    return hm_eval_report(to, &part, 1, &classes, s->o->json);
}

hm_status hm_eval_files(const hm_eval_options *o, FILE *to) {
    session s = {.o = o, .masks = o->iou_type == 0};
    hm_coco_scores scores = {0};
    hm_status st;
    if (o->gt == NULL || o->dt == NULL)
        HM_FAIL(HM_ERR_ARG, "a results file is judged against an annotation file: give both gt and dt");
    HM_TRY_TO(st, done, open_session(&s));
    HM_TRY_TO(st, done, hm_coco_results_read(o->dt, &s.gt, add_result, &s));
    HM_TRY_TO(st, done, hm_coco_eval_run(s.eval, &scores));
    st = report(&s, to, &scores);
done:
    hm_coco_scores_free(&scores);
    close_session(&s);
    return st;
}
