/* coco_score.c: precision and recall over all images from the verdicts. Formula: pycocotools' COCOeval.accumulate and
 * summarize. Categories are independent and run in parallel; the result does not depend on the number of threads. */
#include "eval/coco_judge.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"

/* A verdict in the order of all images. */
typedef struct ranked {
    double score;
    size_t order;  /* in the sequence of images, then ranks */
    uint32_t rank; /* inside its image */
    const hm_coco_verdict *verdict;
} ranked;

typedef struct category {
    size_t n;                          /* detections */
    ranked *all;                       /* [n] by descending score */
    double *recall, *precision;        /* [n] of the curve at hand */
    uint64_t positives[HM_COCO_AREAS]; /* ground truth that is not ignored */
} category;

static void category_free(category *c) {
    free(c->all);
    free(c->recall);
    free(c->precision);
}

static int by_score(const void *pa, const void *pb) {
    const ranked *const a = pa, *const b = pb;
    if (a->score != b->score)
        return a->score > b->score ? -1 : 1;
    return (a->order > b->order) - (a->order < b->order);
}

static hm_status category_gather(category *c, const hm_coco_group *groups, size_t n_groups,
                                 const hm_coco_verdict *verdicts) {
    for (size_t i = 0; i < n_groups; i++)
        c->n += groups[i].n_dt;
    HM_TRY(hm_alloc(&c->all, c->n, sizeof *c->all));
    HM_TRY(hm_alloc(&c->recall, c->n, sizeof *c->recall));
    HM_TRY(hm_alloc(&c->precision, c->n, sizeof *c->precision));
    size_t at = 0;
    for (size_t i = 0; i < n_groups; i++) {
        for (int a = 0; a < HM_COCO_AREAS; a++)
            c->positives[a] += groups[i].positives[a];
        for (uint32_t d = 0; d < groups[i].n_dt; d++, at++) {
            const hm_coco_verdict *const v = &verdicts[groups[i].first + d];
            c->all[at] = (ranked){.score = v->score, .order = at, .rank = d, .verdict = v};
        }
    }
    if (c->n)
        qsort(c->all, c->n, sizeof *c->all, by_score);
    return HM_OK;
}

/* Fills c->recall and c->precision for area range a, IoU threshold t and limit; returns their length. */
static size_t trace(category *c, int a, int t, int32_t limit) {
    size_t n = 0;
    double tp = 0, fp = 0;
    for (size_t i = 0; i < c->n; i++) {
        if (c->all[i].rank >= (uint32_t)limit)
            continue;
        const hm_coco_verdict *const v = c->all[i].verdict;
        if (!(v->ignored[a] >> t & 1u)) {
            if (v->matched[a] >> t & 1u)
                tp++;
            else
                fp++;
        }
        c->recall[n] = tp / (double)c->positives[a];
        c->precision[n] = tp / (fp + tp + DBL_EPSILON);
        n++;
    }
    for (size_t i = n; i-- > 1;)
        if (c->precision[i] > c->precision[i - 1])
            c->precision[i - 1] = c->precision[i];
    return n;
}

/* Reads the curve of n points at the recall points; returns the mean and, unless curve is NULL, every value. */
static double interpolate(const category *c, size_t n, double *curve) {
    double sum = 0;
    size_t i = 0;
    for (int r = 0; r < HM_COCO_RECALLS; r++) {
        while (i < n && c->recall[i] < hm_coco_step(0, 1, HM_COCO_RECALLS, r))
            i++;
        const double p = i < n ? c->precision[i] : 0;
        sum += p;
        if (curve)
            curve[r] = p;
    }
    return sum / HM_COCO_RECALLS;
}

static size_t entry(int32_t k, int a, int m, int t) {
    return (((size_t)k * HM_COCO_AREAS + (size_t)a) * HM_COCO_LIMITS + (size_t)m) * HM_COCO_IOUS + (size_t)t;
}

static void score_curves(category *c, int32_t k, const hm_coco_eval_options *o, hm_coco_scores *out) {
    for (int a = 0; a < HM_COCO_AREAS; a++) {
        if (c->positives[a] == 0)
            continue; /* stays -1 */
        for (int m = 0; m < HM_COCO_LIMITS; m++)
            for (int t = 0; t < HM_COCO_IOUS; t++) {
                const bool shown = a == 0 && t == 0 && m == HM_COCO_LIMITS - 1;
                const size_t n = trace(c, a, t, o->max_dets[m]);
                out->recall[entry(k, a, m, t)] = n ? c->recall[n - 1] : 0;
                out->precision[entry(k, a, m, t)] =
                    interpolate(c, n, shown ? out->curve50 + (size_t)k * HM_COCO_RECALLS : NULL);
            }
    }
}

/* Mean of the entries that are not -1 over categories first..end and thresholds t0..t1; -1 when there is none. */
static double mean_of(const double *values, int32_t first, int32_t end, int a, int m, int t0, int t1) {
    double sum = 0;
    size_t n = 0;
    for (int32_t k = first; k < end; k++)
        for (int t = t0; t < t1; t++) {
            const double v = values[entry(k, a, m, t)];
            if (v > -1) {
                sum += v;
                n++;
            }
        }
    return n ? sum / (double)n : -1;
}

static void summarize(hm_coco_scores *s) {
    enum { LAST = HM_COCO_LIMITS - 1, AT_75 = 5 };
    const int32_t n = s->n_categories;
    for (int a = 0; a < HM_COCO_AREAS; a++) {
        const int ap = a == 0 ? HM_COCO_AP : HM_COCO_AP_SMALL + a - 1;
        const int ar = a == 0 ? HM_COCO_AR_100 : HM_COCO_AR_SMALL + a - 1;
        s->stats[ap] = mean_of(s->precision, 0, n, a, LAST, 0, HM_COCO_IOUS);
        s->stats[ar] = mean_of(s->recall, 0, n, a, LAST, 0, HM_COCO_IOUS);
    }
    s->stats[HM_COCO_AP50] = mean_of(s->precision, 0, n, 0, LAST, 0, 1);
    s->stats[HM_COCO_AP75] = mean_of(s->precision, 0, n, 0, LAST, AT_75, AT_75 + 1);
    s->stats[HM_COCO_AR_1] = mean_of(s->recall, 0, n, 0, 0, 0, HM_COCO_IOUS);
    s->stats[HM_COCO_AR_10] = mean_of(s->recall, 0, n, 0, 1, 0, HM_COCO_IOUS);
    for (int32_t k = 0; k < n; k++) {
        s->ap[k] = mean_of(s->precision, k, k + 1, 0, LAST, 0, HM_COCO_IOUS);
        s->ap50[k] = mean_of(s->precision, k, k + 1, 0, LAST, 0, 1);
        s->ap75[k] = mean_of(s->precision, k, k + 1, 0, LAST, AT_75, AT_75 + 1);
        s->ar[k] = mean_of(s->recall, k, k + 1, 0, LAST, 0, HM_COCO_IOUS);
    }
}

static hm_status scores_array(double **out, size_t n) {
    HM_TRY(hm_alloc(out, n, sizeof **out));
    for (size_t i = 0; i < n; i++)
        (*out)[i] = -1;
    return HM_OK;
}

static hm_status scores_new(hm_coco_scores *s, int32_t n_categories) {
    const size_t n = (size_t)n_categories;
    *s = (hm_coco_scores){.n_categories = n_categories};
    HM_TRY(scores_array(&s->ap, n));
    HM_TRY(scores_array(&s->ap50, n));
    HM_TRY(scores_array(&s->ap75, n));
    HM_TRY(scores_array(&s->ar, n));
    HM_TRY(scores_array(&s->precision, entry(n_categories, 0, 0, 0)));
    HM_TRY(scores_array(&s->recall, entry(n_categories, 0, 0, 0)));
    return scores_array(&s->curve50, n * HM_COCO_RECALLS);
}

void hm_coco_scores_free(hm_coco_scores *s) {
    if (!s)
        return;
    free(s->ap);
    free(s->ap50);
    free(s->ap75);
    free(s->ar);
    free(s->precision);
    free(s->recall);
    free(s->curve50);
    *s = (hm_coco_scores){0};
}

/* First group whose category is at least k. */
static size_t first_of(const hm_coco_group *groups, size_t n, int32_t k) {
    size_t lo = 0, hi = n;
    while (lo < hi) {
        const size_t mid = lo + (hi - lo) / 2;
        if (groups[mid].category < k)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

hm_status hm_coco_score(const hm_coco_group *groups, size_t n_groups, const hm_coco_verdict *verdicts,
                        const hm_coco_eval_options *o, hm_coco_scores *out) {
    hm_status st = scores_new(out, o->n_categories);
    if (st == HM_OK) {
#pragma omp parallel for schedule(dynamic) reduction(max : st)
        for (int32_t k = 0; k < o->n_categories; k++) {
            category c = {0};
            const size_t first = first_of(groups, n_groups, k), end = first_of(groups, n_groups, k + 1);
            const hm_status gathered = category_gather(&c, groups + first, end - first, verdicts);
            if (gathered == HM_OK)
                score_curves(&c, k, o, out);
            st = gathered > st ? gathered : st;
            category_free(&c);
        }
    }
    if (st != HM_OK) {
        hm_coco_scores_free(out);
        HM_FAIL(st, "not enough memory to score %d categories", (int)o->n_categories);
    }
    summarize(out);
    return HM_OK;
}
