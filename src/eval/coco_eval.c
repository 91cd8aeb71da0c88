/* coco_eval.c: collects ground truth and detections, groups them by image and category and has each group judged
 * (coco_judge.c) and all of them scored (coco_score.c). */
#include "eval/coco_eval.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "eval/coco_judge.h"

struct hm_coco_eval {
    hm_coco_eval_options options;
    hm_coco_item *items; /* not judged yet */
    size_t n_items, items_cap;
    hm_coco_group *groups; /* judged */
    size_t n_groups, groups_cap;
    hm_coco_verdict *verdicts;
    size_t n_verdicts, verdicts_cap;
};

hm_coco_eval_options hm_coco_eval_defaults(bool masks, int32_t n_categories) {
    return (hm_coco_eval_options){.masks = masks, .n_categories = n_categories, .max_dets = {1, 10, 100}};
}

static int by_limit(const void *a, const void *b) {
    const int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

hm_status hm_coco_eval_new(hm_coco_eval **out, const hm_coco_eval_options *options) {
    *out = NULL;
    if (options->n_categories < 1)
        HM_FAIL(HM_ERR_ARG, "cannot evaluate %d categories: give at least one", (int)options->n_categories);
    for (int m = 0; m < HM_COCO_LIMITS; m++)
        if (options->max_dets[m] < 1)
            HM_FAIL(HM_ERR_ARG, "cannot evaluate the best %d detections of an image: give at least 1",
                    (int)options->max_dets[m]);
    HM_TRY(hm_alloc(out, 1, sizeof **out));
    (*out)->options = *options;
    qsort((*out)->options.max_dets, HM_COCO_LIMITS, sizeof(int32_t), by_limit);
    return HM_OK;
}

static void drop_items(hm_coco_eval *e) {
    for (size_t i = 0; i < e->n_items; i++)
        hm_rle_free(&e->items[i].mask);
    free(e->items);
    e->items = NULL;
    e->n_items = e->items_cap = 0;
}

void hm_coco_eval_free(hm_coco_eval *e) {
    if (!e)
        return;
    drop_items(e);
    free(e->groups);
    free(e->verdicts);
    free(e);
}

/* ---- adding ---- */

static hm_status check_item(const hm_coco_eval *e, const hm_coco_item *item, const double *box, const hm_rle *mask) {
    const char *const what = item->is_dt ? "detection" : "object";
    if (item->category < 0 || item->category >= e->options.n_categories)
        HM_FAIL(HM_ERR_ARG, "a %s of image %lld has category number %d, but there are %d categories (from 0)", what,
                (long long)item->image, (int)item->category, (int)e->options.n_categories);
    if (!isfinite(item->score))
        HM_FAIL(HM_ERR_ARG, "a detection of image %lld has the score %g: scores must be finite", (long long)item->image,
                item->score);
    if (e->options.masks ? mask == NULL : box == NULL)
        HM_FAIL(HM_ERR_ARG, "a %s of image %lld has no %s, but those are judged", what, (long long)item->image,
                e->options.masks ? "mask" : "box");
    for (int k = 0; !e->options.masks && k < 4; k++)
        if (!isfinite(box[k]))
            HM_FAIL(HM_ERR_ARG, "a %s of image %lld has the box %g,%g,%g,%g: boxes must be finite", what,
                    (long long)item->image, box[0], box[1], box[2], box[3]);
    return HM_OK;
}

static hm_status add(hm_coco_eval *e, hm_coco_item item, const double *box, const hm_rle *mask) {
    HM_TRY(check_item(e, &item, box, mask));
    HM_TRY(hm_grow(&e->items, &e->items_cap, e->n_items + 1, sizeof *e->items));
    if (e->options.masks)
        HM_TRY(hm_rle_from_counts(&item.mask, mask->counts, mask->n, mask->h, mask->w));
    else
        memcpy(item.box, box, sizeof item.box);
    if (isnan(item.area))
        item.area = e->options.masks ? (double)hm_rle_area(mask) : box[2] * box[3];
    item.order = e->n_items;
    e->items[e->n_items++] = item;
    return HM_OK;
}

hm_status hm_coco_eval_add_gt(hm_coco_eval *e, int64_t image, int32_t category, const double box[4], double area,
                              bool iscrowd, const hm_rle *mask) {
    return add(e, (hm_coco_item){.image = image, .category = category, .area = area, .iscrowd = iscrowd}, box, mask);
}

hm_status hm_coco_eval_add_dt(hm_coco_eval *e, int64_t image, int32_t category, const double box[4], double score,
                              double area, const hm_rle *mask) {
    return add(e, (hm_coco_item){.image = image, .category = category, .is_dt = true, .area = area, .score = score},
               box, mask);
}

/* ---- judging ---- */

static int compare_image(int64_t a, int64_t b) {
    return (a > b) - (a < b);
}

/* Image, category, ground truth first; detections by descending score; else as they were added. */
static int by_group(const void *pa, const void *pb) {
    const hm_coco_item *const a = pa, *const b = pb;
    if (a->image != b->image)
        return compare_image(a->image, b->image);
    if (a->category != b->category)
        return a->category < b->category ? -1 : 1;
    if (a->is_dt != b->is_dt)
        return a->is_dt ? 1 : -1;
    if (a->is_dt && a->score != b->score)
        return a->score > b->score ? -1 : 1;
    return (a->order > b->order) - (a->order < b->order);
}

static bool same_group(const hm_coco_item *a, const hm_coco_item *b) {
    return a->image == b->image && a->category == b->category;
}

/* A group's items: gt at items[first], dt behind them. */
typedef struct span {
    size_t first, n_gt;
} span;

/* Cuts the sorted items into groups behind e->groups[n_groups] and gives each its verdicts behind the old ones. */
static hm_status cut(hm_coco_eval *e, span **spans, size_t *n, size_t *n_verdicts) {
    size_t cap = 0, at = e->n_verdicts;
    for (size_t i = 0, end; i < e->n_items; i = end) {
        span s = {.first = i};
        for (end = i; end < e->n_items && same_group(&e->items[i], &e->items[end]); end++)
            s.n_gt += !e->items[end].is_dt;
        const size_t n_dt = end - i - s.n_gt, most = (size_t)e->options.max_dets[HM_COCO_LIMITS - 1];
        HM_TRY(hm_grow(spans, &cap, *n + 1, sizeof **spans));
        HM_TRY(hm_grow(&e->groups, &e->groups_cap, e->n_groups + *n + 1, sizeof *e->groups));
        (*spans)[*n] = s;
        hm_coco_group *const g = &e->groups[e->n_groups + (*n)++];
        *g = (hm_coco_group){.image = e->items[i].image, .category = e->items[i].category, .first = at};
        g->n_dt = (uint32_t)(n_dt < most ? n_dt : most);
        at += g->n_dt;
    }
    *n_verdicts = at;
    return hm_grow(&e->verdicts, &e->verdicts_cap, at, sizeof *e->verdicts);
}

/* In parallel; of several failures the first group's is reported. */
static hm_status judge_spans(hm_coco_eval *e, const span *spans, size_t n) {
    hm_status st = HM_OK;
    size_t failed = n;
    char why[1024] = "";
#pragma omp parallel for schedule(dynamic)
    for (size_t i = 0; i < n; i++) {
        hm_coco_group *const g = &e->groups[e->n_groups + i];
        const hm_coco_item *const gt = e->items + spans[i].first;
        const hm_status own =
            hm_coco_judge(gt, spans[i].n_gt, gt + spans[i].n_gt, e->options.masks, g, e->verdicts + g->first);
        if (own == HM_OK)
            continue;
#pragma omp critical(hm_coco_eval_failure)
        if (i < failed) {
            failed = i;
            st = own;
            snprintf(why, sizeof why, "%s", hm_error_message());
        }
    }
    return st == HM_OK ? st : hm_fail(st, "%s", why);
}

hm_status hm_coco_eval_judge(hm_coco_eval *e) {
    hm_status st;
    span *spans = NULL;
    size_t n = 0, n_verdicts = 0;
    if (e->n_items == 0)
        return HM_OK;
    qsort(e->items, e->n_items, sizeof *e->items, by_group);
    HM_TRY_TO(st, done, cut(e, &spans, &n, &n_verdicts));
    HM_TRY_TO(st, done, judge_spans(e, spans, n));
    e->n_groups += n;
    e->n_verdicts = n_verdicts;
    drop_items(e);
done:
    free(spans);
    return st;
}

/* ---- scoring ---- */

static int by_category(const void *pa, const void *pb) {
    const hm_coco_group *const a = pa, *const b = pb;
    if (a->category != b->category)
        return a->category < b->category ? -1 : 1;
    return compare_image(a->image, b->image);
}

hm_status hm_coco_eval_run(hm_coco_eval *e, hm_coco_scores *out) {
    *out = (hm_coco_scores){0};
    HM_TRY(hm_coco_eval_judge(e));
    if (e->n_groups)
        qsort(e->groups, e->n_groups, sizeof *e->groups, by_category);
    for (size_t i = 1; i < e->n_groups; i++)
        if (by_category(&e->groups[i - 1], &e->groups[i]) == 0)
            HM_FAIL(HM_ERR_ARG, "image %lld got more objects or detections of category %d after it had been judged",
                    (long long)e->groups[i].image, (int)e->groups[i].category);
    return hm_coco_score(e->groups, e->n_groups, e->verdicts, &e->options, out);
}
