/* coco_judge.c: matches the detections of one image and category with its ground truth at every IoU threshold and area
 * range. Formula: pycocotools' COCOeval.computeIoU and evaluateImg. */
#include "eval/coco_judge.h"

#include <stdlib.h>

#include "base/mem.h"

static const double area_ranges[HM_COCO_AREAS][2] = {
    {0, 1e10}, {0, 32. * 32}, {32. * 32, 96. * 96}, {96. * 96, 1e10}}; /* pixels, both ends inside */

typedef struct bench {
    size_t n_gt, n_dt;
    const hm_coco_item *gt, *dt;
    double *iou;      /* [n_dt, n_gt] */
    size_t *by_use;   /* [n_gt] ground truth, those that count first */
    uint8_t *ignored; /* [n_gt] in the current area range */
    uint8_t *taken;   /* [n_gt] at the current threshold */
    uint8_t *crowd;   /* [n_gt] */
    void *shapes;     /* [n_dt + n_gt] masks (borrowed runs) or boxes */
} bench;

static void bench_free(bench *b) {
    free(b->iou);
    free(b->by_use);
    free(b->ignored);
    free(b->taken);
    free(b->crowd);
    free(b->shapes);
}

static hm_status bench_new(bench *b, bool masks) {
    size_t pairs;
    if (__builtin_mul_overflow(b->n_dt, b->n_gt, &pairs))
        HM_FAIL(HM_ERR_MEMORY, "%zu detections and %zu objects are too many", b->n_dt, b->n_gt);
    HM_TRY(hm_alloc(&b->iou, pairs, sizeof *b->iou));
    HM_TRY(hm_alloc(&b->by_use, b->n_gt, sizeof *b->by_use));
    HM_TRY(hm_alloc(&b->ignored, b->n_gt, 1));
    HM_TRY(hm_alloc(&b->taken, b->n_gt, 1));
    HM_TRY(hm_alloc(&b->crowd, b->n_gt, 1));
    return hm_alloc(&b->shapes, b->n_dt + b->n_gt, masks ? sizeof(hm_rle) : sizeof(double[4]));
}

static const hm_coco_item *item_at(const bench *b, size_t i) {
    return i < b->n_dt ? &b->dt[i] : &b->gt[i - b->n_dt];
}

static hm_status overlaps(bench *b, bool masks) {
    for (size_t g = 0; g < b->n_gt; g++)
        b->crowd[g] = b->gt[g].iscrowd;
    if (masks) {
        hm_rle *const shapes = b->shapes;
        for (size_t i = 0; i < b->n_dt + b->n_gt; i++)
            shapes[i] = item_at(b, i)->mask;
        return hm_rle_iou(shapes, b->n_dt, shapes + b->n_dt, b->n_gt, b->crowd, b->iou);
    }
    double(*const boxes)[4] = b->shapes;
    for (size_t i = 0; i < b->n_dt + b->n_gt; i++)
        for (int k = 0; k < 4; k++)
            boxes[i][k] = item_at(b, i)->box[k];
    hm_box_iou((const double(*)[4])boxes, b->n_dt, (const double(*)[4])(boxes + b->n_dt), b->n_gt, b->crowd, b->iou);
    return HM_OK;
}

static bool outside(double area, int range) {
    return area < area_ranges[range][0] || area > area_ranges[range][1];
}

/* Fills `ignored` and `by_use` for the area range; returns how many ground truths count. */
static size_t rank_gt(bench *b, int range) {
    size_t used = 0, at;
    for (size_t g = 0; g < b->n_gt; g++) {
        b->ignored[g] = b->gt[g].iscrowd || outside(b->gt[g].area, range);
        if (!b->ignored[g])
            b->by_use[used++] = g;
    }
    at = used;
    for (size_t g = 0; g < b->n_gt; g++)
        if (b->ignored[g])
            b->by_use[at++] = g;
    return used;
}

/* The ground truth for detection d, or SIZE_MAX: the best overlap of at least `threshold` among those that count and
 * are free, else among the ignored ones; a crowd may be taken again and again. */
static size_t best_match(const bench *b, size_t d, double threshold) {
    const double *const iou = b->iou + d * b->n_gt;
    double best = threshold < 1 - 1e-10 ? threshold : 1 - 1e-10;
    size_t match = SIZE_MAX;
    for (size_t i = 0; i < b->n_gt; i++) {
        const size_t g = b->by_use[i];
        if (b->taken[g] && !b->crowd[g])
            continue;
        if (match != SIZE_MAX && !b->ignored[match] && b->ignored[g])
            break;
        if (iou[g] < best)
            continue;
        best = iou[g];
        match = g;
    }
    return match;
}

static void judge_threshold(bench *b, int range, int t, hm_coco_verdict *verdict) {
    const double threshold = hm_coco_step(.5, .95, HM_COCO_IOUS, t);
    const uint16_t bit = (uint16_t)(1u << t);
    for (size_t g = 0; g < b->n_gt; g++)
        b->taken[g] = 0;
    for (size_t d = 0; d < b->n_dt; d++) {
        const size_t g = best_match(b, d, threshold);
        const bool matched = g != SIZE_MAX;
        if (matched) {
            b->taken[g] = 1;
            verdict[d].matched[range] |= bit;
        }
        if (matched ? b->ignored[g] : outside(b->dt[d].area, range))
            verdict[d].ignored[range] |= bit;
    }
}

hm_status hm_coco_judge(const hm_coco_item *gt, size_t n_gt, const hm_coco_item *dt, bool masks, hm_coco_group *g,
                        hm_coco_verdict *verdict) {
    hm_status st;
    bench b = {.n_gt = n_gt, .n_dt = g->n_dt, .gt = gt, .dt = dt};
    HM_TRY_TO(st, done, bench_new(&b, masks));
    HM_TRY_TO(st, done, overlaps(&b, masks));
    for (size_t d = 0; d < b.n_dt; d++)
        verdict[d] = (hm_coco_verdict){.score = dt[d].score};
    for (int range = 0; range < HM_COCO_AREAS; range++) {
        g->positives[range] = (uint32_t)rank_gt(&b, range);
        for (int t = 0; t < HM_COCO_IOUS; t++)
            judge_threshold(&b, range, t, verdict);
    }
done:
    bench_free(&b);
    return st == HM_OK ? st : hm_fail_in(st, "image %lld, category %d", (long long)g->image, (int)g->category);
}
