/* test_coco_eval.c: box and mask metrics against pycocotools' numbers (golden coco_eval/set0..5), and wrong use. */
#include "golden_json.h"

#include <omp.h>
#include <stdbool.h>
#include <string.h>

#include "eval/coco_eval.h"

enum { SETS = 6, K = 5 };
static const char *const stat_names[HM_COCO_STATS] = {"AP",   "AP50",  "AP75",   "AP_small", "AP_medium", "AP_large",
                                                      "AR_1", "AR_10", "AR_100", "AR_small", "AR_medium", "AR_large"};
static cJSON *gt[SETS], *dt[SETS], *expected[SETS];

static cJSON *read_one(int set, const char *file) {
    char name[64];
    snprintf(name, sizeof name, "coco_eval/set%d/%s.json", set, file);
    return golden_read(name);
}

static int read_files(void **state) {
    (void)state;
    for (int s = 0; s < SETS; s++) {
        gt[s] = read_one(s, "gt");
        dt[s] = read_one(s, "dt");
        expected[s] = read_one(s, "expected");
    }
    return 0;
}

static int drop_files(void **state) {
    (void)state;
    for (int s = 0; s < SETS; s++) {
        cJSON_Delete(gt[s]);
        cJSON_Delete(dt[s]);
        cJSON_Delete(expected[s]);
    }
    return 0;
}

static hm_rle polygons_mask(const cJSON *parts, int32_t h, int32_t w) {
    double xy[256];
    size_t start[9] = {0};
    int n = 0;
    const cJSON *part;
    cJSON_ArrayForEach(part, parts) {
        double *p;
        const size_t length = golden_doubles(part, &p);
        memcpy(xy + start[n], p, length * sizeof *p);
        start[n + 1] = start[n] + length;
        n++;
        free(p);
    }
    hm_rle r;
    assert_int_equal(hm_rle_from_polygons(&r, xy, start, (size_t)n, h, w), HM_OK);
    return r;
}

static hm_rle mask_of(const cJSON *seg, int32_t h, int32_t w) {
    if (cJSON_IsArray(seg))
        return polygons_mask(seg, h, w);
    const cJSON *const counts = golden_get(seg, "counts");
    hm_rle r;
    if (cJSON_IsString(counts)) {
        assert_int_equal(hm_rle_from_string(&r, counts->valuestring, strlen(counts->valuestring), h, w), HM_OK);
        return r;
    }
    uint32_t *runs;
    const size_t n = golden_counts(counts, &runs);
    assert_int_equal(hm_rle_from_counts(&r, runs, n, h, w), HM_OK);
    free(runs);
    return r;
}

static int32_t category_of(int set, const cJSON *item) {
    int32_t k = 0;
    const cJSON *c;
    cJSON_ArrayForEach(c, golden_get(gt[set], "categories")) {
        if (golden_number(c, "id") == golden_number(item, "category_id"))
            return k;
        k++;
    }
    fail_msg("unknown category");
    return -1;
}

static void add_item(hm_coco_eval *e, int set, const cJSON *item, bool masks, bool is_dt) {
    const cJSON *const image = cJSON_GetArrayItem(golden_get(gt[set], "images"), 0); /* all have one size */
    const int64_t id = (int64_t)golden_number(item, "image_id");
    const int32_t k = category_of(set, item);
    double *box;
    hm_rle mask = {0};
    golden_doubles(golden_get(item, "bbox"), &box);
    if (masks)
        mask = mask_of(golden_get(item, "segmentation"), (int32_t)golden_number(image, "height"),
                       (int32_t)golden_number(image, "width"));
    if (is_dt)
        assert_int_equal(hm_coco_eval_add_dt(e, id, k, masks ? NULL : box, golden_number(item, "score"), NAN, &mask),
                         HM_OK);
    else
        assert_int_equal(hm_coco_eval_add_gt(e, id, k, masks ? NULL : box, golden_number(item, "area"),
                                             golden_number(item, "iscrowd") != 0, masks ? &mask : NULL),
                         HM_OK);
    free(box);
    hm_rle_free(&mask);
}

/* Adds the items of `image`, or all for image -1. */
static void add_items(hm_coco_eval *e, int set, bool masks, int64_t image) {
    const cJSON *item;
    cJSON_ArrayForEach(item, golden_get(gt[set], "annotations")) {
        if (image < 0 || (int64_t)golden_number(item, "image_id") == image)
            add_item(e, set, item, masks, false);
    }
    cJSON_ArrayForEach(item, dt[set]) {
        if (image < 0 || (int64_t)golden_number(item, "image_id") == image)
            add_item(e, set, item, masks, true);
    }
}

static hm_coco_eval *new_eval(bool masks, int32_t limit) {
    hm_coco_eval_options o = hm_coco_eval_defaults(masks, K);
    o.max_dets[0] = limit; /* the order does not matter */
    o.max_dets[2] = 1;
    hm_coco_eval *e;
    assert_int_equal(hm_coco_eval_new(&e, &o), HM_OK);
    return e;
}

static void near(double got, double want, const char *what) {
    if (!(fabs(got - want) <= 1e-9 * fmax(1, fabs(want))))
        fail_msg("%s: %.17g instead of %.17g", what, got, want);
}

static double at(const cJSON *array, int i) {
    const cJSON *const item = cJSON_GetArrayItem(array, i);
    assert_non_null(item);
    return item->valuedouble;
}

static size_t entry(int k, int a, int m, int t) {
    return (((size_t)k * HM_COCO_AREAS + (size_t)a) * HM_COCO_LIMITS + (size_t)m) * HM_COCO_IOUS + (size_t)t;
}

static void precisions_match(const hm_coco_scores *s, const cJSON *want) {
    double all = 0, missing = 0;
    for (int t = 0; t < HM_COCO_IOUS; t++) {
        double sum = 0;
        for (size_t i = (size_t)t; i < entry(K, 0, 0, 0); i += HM_COCO_IOUS) {
            sum += s->precision[i] > -1 ? HM_COCO_RECALLS * s->precision[i] : 0;
            missing += s->precision[i] > -1 ? 0 : HM_COCO_RECALLS;
        }
        near(sum, at(golden_get(want, "precision_sum_by_iou"), t), "precision by IoU");
        all += sum;
    }
    near(all, golden_number(want, "precision_sum_valid"), "sum of precision");
    near(missing, golden_number(want, "precision_minus1"), "missing precision");
}

static void recalls_match(const hm_coco_scores *s, const cJSON *want) {
    const cJSON *const recall = golden_get(want, "recall"); /* [T, K, A, M] */
    for (int t = 0; t < HM_COCO_IOUS; t++)
        for (int k = 0; k < K; k++)
            for (int a = 0; a < HM_COCO_AREAS; a++)
                for (int m = 0; m < HM_COCO_LIMITS; m++)
                    near(s->recall[entry(k, a, m, t)],
                         at(cJSON_GetArrayItem(cJSON_GetArrayItem(cJSON_GetArrayItem(recall, t), k), a), m), "recall");
}

static void scores_match(const hm_coco_scores *s, const cJSON *want) {
    if (!cJSON_IsNull(golden_get(want, "stats")))
        for (int i = 0; i < HM_COCO_STATS; i++)
            near(s->stats[i], golden_number(golden_get(want, "stats"), stat_names[i]), stat_names[i]);
    assert_int_equal(s->n_categories, K);
    for (int k = 0; k < K; k++) {
        near(s->ap[k], at(golden_get(want, "per_category_AP"), k), "AP of a category");
        near(s->ap50[k], at(golden_get(want, "per_category_AP50"), k), "AP50 of a category");
        near(s->ar[k], at(golden_get(want, "per_category_AR"), k), "AR of a category");
        double sum = 0;
        for (int r = 0; r < HM_COCO_RECALLS; r++)
            sum += s->curve50[k * HM_COCO_RECALLS + r];
        near(s->ap50[k] < 0 ? -1 : sum / HM_COCO_RECALLS, s->ap50[k], "curve");
    }
    precisions_match(s, want);
    recalls_match(s, want);
}

static void golden_sets(bool masks, int32_t limit, const char *name) {
    for (int set = 0; set < SETS; set++) {
        hm_coco_scores s;
        hm_coco_eval *const e = new_eval(masks, limit);
        add_items(e, set, masks, -1);
        assert_int_equal(hm_coco_eval_run(e, &s), HM_OK);
        scores_match(&s, golden_get(expected[set], name));
        hm_coco_scores_free(&s);
        hm_coco_eval_free(e);
    }
}

static void boxes_match(void **state) {
    (void)state;
    golden_sets(false, 100, "bbox");
    golden_sets(false, 500, "bbox_maxdets_1_10_500");
}

static void masks_match(void **state) {
    (void)state;
    golden_sets(true, 100, "segm");
    golden_sets(true, 500, "segm_maxdets_1_10_500");
}

/* Images in reverse, each judged when it is complete, on any number of threads: the same bits. */
static void judging_early_changes_nothing(void **state) {
    (void)state;
    const int threads = omp_get_max_threads();
    for (int set = 0; set < SETS; set++) {
        hm_coco_scores whole, parts;
        hm_coco_eval *const a = new_eval(true, 100), *const b = new_eval(true, 100);
        const cJSON *const images = golden_get(gt[set], "images");
        add_items(a, set, true, -1);
        omp_set_num_threads(1);
        assert_int_equal(hm_coco_eval_run(a, &whole), HM_OK);
        omp_set_num_threads(3);
        for (int i = cJSON_GetArraySize(images); i-- > 0;) {
            add_items(b, set, true, (int64_t)golden_number(cJSON_GetArrayItem(images, i), "id"));
            assert_int_equal(hm_coco_eval_judge(b), HM_OK);
        }
        assert_int_equal(hm_coco_eval_run(b, &parts), HM_OK);
        assert_memory_equal(whole.stats, parts.stats, sizeof whole.stats);
        assert_memory_equal(whole.precision, parts.precision, entry(K, 0, 0, 0) * sizeof(double));
        assert_memory_equal(whole.recall, parts.recall, entry(K, 0, 0, 0) * sizeof(double));
        hm_coco_scores_free(&whole);
        hm_coco_scores_free(&parts);
        hm_coco_eval_free(a);
        hm_coco_eval_free(b);
    }
    omp_set_num_threads(threads);
}

static void nothing_scores_minus_one(void **state) {
    (void)state;
    hm_coco_scores s;
    hm_coco_eval *const e = new_eval(false, 100);
    const double box[4] = {1, 2, 30, 40};
    assert_int_equal(hm_coco_eval_run(e, &s), HM_OK);
    for (int i = 0; i < HM_COCO_STATS; i++)
        assert_true(s.stats[i] == -1);
    hm_coco_scores_free(&s);
    assert_int_equal(hm_coco_eval_add_dt(e, 7, 2, box, .5, NAN, NULL), HM_OK); /* of an image without objects */
    assert_int_equal(hm_coco_eval_run(e, &s), HM_OK);
    assert_true(s.stats[HM_COCO_AP] == -1);
    hm_coco_scores_free(&s);
    assert_int_equal(hm_coco_eval_add_gt(e, 8, 2, box, NAN, false, NULL), HM_OK); /* missed */
    assert_int_equal(hm_coco_eval_run(e, &s), HM_OK);
    assert_true(s.stats[HM_COCO_AP] == 0 && s.stats[HM_COCO_AR_100] == 0 && s.stats[HM_COCO_AP_LARGE] == -1);
    assert_true(s.ap[2] == 0 && s.ap[1] == -1);
    hm_coco_scores_free(&s);
    assert_int_equal(hm_coco_eval_add_gt(e, 9, 1, box, NAN, false, NULL), HM_OK); /* found */
    assert_int_equal(hm_coco_eval_add_dt(e, 9, 1, box, .5, NAN, NULL), HM_OK);
    assert_int_equal(hm_coco_eval_run(e, &s), HM_OK);
    near(s.ap[1], 1, "AP");
    near(s.stats[HM_COCO_AP_MEDIUM], .5, "AP_medium");
    hm_coco_scores_free(&s);
    hm_coco_scores_free(&s);
    hm_coco_eval_free(e);
    hm_coco_eval_free(NULL);
    hm_coco_scores_free(NULL);
}

static void wrong_use_is_refused(void **state) {
    (void)state;
    const double box[4] = {1, 2, 3, 4}, bad[4] = {1, 2, NAN, 4};
    hm_coco_eval *e;
    hm_coco_scores s;
    hm_coco_eval_options o = hm_coco_eval_defaults(false, 0);
    assert_int_equal(hm_coco_eval_new(&e, &o), HM_ERR_ARG);
    o = hm_coco_eval_defaults(false, 3);
    o.max_dets[1] = 0;
    assert_int_equal(hm_coco_eval_new(&e, &o), HM_ERR_ARG);
    e = new_eval(false, 100);
    assert_int_equal(hm_coco_eval_add_gt(e, 1, K, box, 1, false, NULL), HM_ERR_ARG);
    assert_int_equal(hm_coco_eval_add_gt(e, 1, -1, box, 1, false, NULL), HM_ERR_ARG);
    assert_int_equal(hm_coco_eval_add_gt(e, 1, 0, bad, 1, false, NULL), HM_ERR_ARG);
    assert_int_equal(hm_coco_eval_add_gt(e, 1, 0, NULL, 1, false, NULL), HM_ERR_ARG);
    assert_int_equal(hm_coco_eval_add_dt(e, 1, 0, box, NAN, NAN, NULL), HM_ERR_ARG);
    assert_int_equal(hm_coco_eval_add_gt(e, 1, 0, box, 1, false, NULL), HM_OK);
    assert_int_equal(hm_coco_eval_judge(e), HM_OK);
    assert_int_equal(hm_coco_eval_add_dt(e, 1, 0, box, 1, NAN, NULL), HM_OK);
    assert_int_equal(hm_coco_eval_run(e, &s), HM_ERR_ARG);
    assert_non_null(strstr(hm_error_message(), "image 1 "));
    hm_coco_eval_free(e);
}

static void sizes_must_agree(void **state) {
    (void)state;
    hm_coco_scores s;
    hm_rle a, b;
    hm_coco_eval *const e = new_eval(true, 100);
    assert_int_equal(hm_rle_from_box(&a, (double[]){0, 0, 9, 9}, 20, 30), HM_OK);
    assert_int_equal(hm_rle_from_box(&b, (double[]){0, 0, 9, 9}, 30, 20), HM_OK);
    assert_int_equal(hm_coco_eval_add_gt(e, 5, 1, NULL, NAN, false, NULL), HM_ERR_ARG);
    for (int64_t image = 5; image < 9; image++) {
        assert_int_equal(hm_coco_eval_add_gt(e, image, 1, NULL, NAN, false, &a), HM_OK);
        assert_int_equal(hm_coco_eval_add_dt(e, image, 1, NULL, .5, NAN, image < 6 ? &a : &b), HM_OK);
    }
    assert_int_equal(hm_coco_eval_run(e, &s), HM_ERR_ARG);
    assert_non_null(strstr(hm_error_message(), "image 6, category 1"));
    hm_rle_free(&a);
    hm_rle_free(&b);
    hm_coco_eval_free(e);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(boxes_match),
        cmocka_unit_test(masks_match),
        cmocka_unit_test(judging_early_changes_nothing),
        cmocka_unit_test(nothing_scores_minus_one),
        cmocka_unit_test(wrong_use_is_refused),
        cmocka_unit_test(sizes_must_agree),
    };
    return cmocka_run_group_tests(tests, read_files, drop_files);
}
