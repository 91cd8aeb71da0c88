/* test_rle.c: run-length masks against pycocotools' answers (golden rle/rle.json), and hostile input. */
#include "golden_json.h"

#include <stdbool.h>
#include <string.h>

#include "data/rle.h"

static cJSON *root;

static int read_file(void **state) {
    (void)state;
    root = golden_read("rle/rle.json");
    return 0;
}

static int drop_file(void **state) {
    (void)state;
    cJSON_Delete(root);
    return 0;
}

static void size_of(const cJSON *item, int32_t *h, int32_t *w) {
    const cJSON *const size = golden_get(item, "size");
    *h = cJSON_GetArrayItem(size, 0)->valueint;
    *w = cJSON_GetArrayItem(size, 1)->valueint;
}

/* From {"size":[h,w],"counts":"..."}. */
static hm_rle rle_of(const cJSON *item) {
    int32_t h, w;
    size_of(item, &h, &w);
    const char *const s = golden_get(item, "counts")->valuestring;
    hm_rle r;
    assert_int_equal(hm_rle_from_string(&r, s, strlen(s), h, w), HM_OK);
    return r;
}

static void has_string(const hm_rle *r, const char *expected) {
    char *s;
    assert_int_equal(hm_rle_to_string(r, &s), HM_OK);
    assert_string_equal(s, expected);
    free(s);
}

static void has_runs(const hm_rle *r, const cJSON *array) {
    uint32_t *runs;
    const size_t n = golden_counts(array, &runs);
    assert_int_equal(r->n, n);
    assert_memory_equal(r->counts, runs, n * sizeof *runs);
    free(runs);
}

static void has_measures(const hm_rle *r, const cJSON *item) {
    double box[4];
    hm_rle_box(r, box);
    assert_true((double)hm_rle_area(r) == golden_number(item, "area"));
    for (int i = 0; i < 4; i++)
        assert_true(box[i] == cJSON_GetArrayItem(golden_get(item, "bbox"), i)->valuedouble);
}

static void masks_match(void **state) {
    (void)state;
    const cJSON *item;
    cJSON_ArrayForEach(item, golden_get(root, "masks")) {
        hm_rle r = rle_of(item), back, counts;
        has_runs(&r, golden_get(item, "runs"));
        has_string(&r, golden_get(item, "counts")->valuestring);
        has_measures(&r, item);
        uint8_t *const bytes = malloc((size_t)r.h * (size_t)r.w);
        hm_rle_to_mask(&r, bytes);
        for (size_t i = 0; i < (size_t)r.h * (size_t)r.w; i++)
            bytes[i] = bytes[i] ? (uint8_t)(1 + i % 3) : 0; /* every non-zero byte is inside */
        assert_int_equal(hm_rle_from_mask(&back, bytes, r.h, r.w), HM_OK);
        has_runs(&back, golden_get(item, "runs"));
        assert_int_equal(hm_rle_from_counts(&counts, r.counts, r.n, r.h, r.w), HM_OK);
        has_runs(&counts, golden_get(item, "runs"));
        free(bytes);
        hm_rle_free(&r);
        hm_rle_free(&back);
        hm_rle_free(&counts);
    }
}

static void uncompressed_counts_match(void **state) {
    (void)state;
    const cJSON *item;
    cJSON_ArrayForEach(item, golden_get(root, "uncompressed")) {
        const cJSON *const input = golden_get(item, "input");
        int32_t h, w;
        size_of(input, &h, &w);
        uint32_t *runs;
        const size_t n = golden_counts(golden_get(input, "counts"), &runs);
        hm_rle r;
        assert_int_equal(hm_rle_from_counts(&r, runs, n, h, w), HM_OK);
        has_string(&r, golden_get(golden_get(item, "compressed"), "counts")->valuestring);
        free(runs);
        hm_rle_free(&r);
    }
}

static void polygons_match(void **state) {
    (void)state;
    const cJSON *item;
    cJSON_ArrayForEach(item, golden_get(root, "polygons")) {
        const cJSON *const parts = golden_get(item, "polygons");
        int32_t h, w;
        size_of(item, &h, &w);
        double xy[1024];
        size_t start[16] = {0};
        const int n = cJSON_GetArraySize(parts);
        for (int k = 0; k < n; k++) {
            double *p;
            const size_t length = golden_doubles(cJSON_GetArrayItem(parts, k), &p);
            memcpy(xy + start[k], p, length * sizeof *p);
            start[k + 1] = start[k] + length;
            free(p);
            hm_rle one;
            assert_int_equal(hm_rle_from_polygons(&one, xy, start + k, 1, h, w), HM_OK);
            const cJSON *const each = cJSON_GetArrayItem(golden_get(item, "each"), k);
            has_string(&one, golden_get(each, "counts")->valuestring);
            hm_rle_free(&one);
        }
        hm_rle all;
        assert_int_equal(hm_rle_from_polygons(&all, xy, start, (size_t)n, h, w), HM_OK);
        has_string(&all, golden_get(golden_get(item, "merged"), "counts")->valuestring);
        has_measures(&all, item);
        hm_rle_free(&all);
    }
}

static void boxes_match(void **state) {
    (void)state;
    const cJSON *const boxes = golden_get(root, "boxes");
    for (int i = 0; i < cJSON_GetArraySize(golden_get(boxes, "xywh")); i++) {
        double *box;
        golden_doubles(cJSON_GetArrayItem(golden_get(boxes, "xywh"), i), &box);
        hm_rle r;
        assert_int_equal(hm_rle_from_box(&r, box, 64, 64), HM_OK);
        has_string(&r, golden_get(cJSON_GetArrayItem(golden_get(boxes, "rle"), i), "counts")->valuestring);
        free(box);
        hm_rle_free(&r);
    }
}

static void has_matrix(const double *got, const cJSON *rows, size_t n_gt) {
    for (int d = 0; d < cJSON_GetArraySize(rows); d++)
        for (size_t g = 0; g < n_gt; g++)
            assert_true(got[(size_t)d * n_gt + g] ==
                        cJSON_GetArrayItem(cJSON_GetArrayItem(rows, d), (int)g)->valuedouble);
}

static void read_crowd(const cJSON *array, uint8_t crowd[8]) {
    for (int i = 0; i < cJSON_GetArraySize(array); i++)
        crowd[i] = (uint8_t)cJSON_GetArrayItem(array, i)->valueint;
}

static void read_boxes(const cJSON *array, double (*boxes)[4]) {
    for (int i = 0; i < cJSON_GetArraySize(array); i++)
        for (int k = 0; k < 4; k++)
            boxes[i][k] = cJSON_GetArrayItem(cJSON_GetArrayItem(array, i), k)->valuedouble;
}

static void overlaps_and_unions_match(void **state) {
    (void)state;
    const cJSON *pair;
    cJSON_ArrayForEach(pair, golden_get(root, "pairs")) {
        hm_rle masks[7], merged;
        uint8_t crowd[8];
        double iou[16], dt[4][4], gt[4][4];
        for (int i = 0; i < 7; i++)
            masks[i] = rle_of(cJSON_GetArrayItem(golden_get(pair, i < 3 ? "dt" : "gt"), i < 3 ? i : i - 3));
        read_crowd(golden_get(pair, "iscrowd"), crowd);
        assert_int_equal(hm_rle_iou(masks, 3, masks + 3, 4, crowd, iou), HM_OK);
        has_matrix(iou, golden_get(pair, "iou"), 4);
        assert_int_equal(hm_rle_merge(&merged, masks, 7, false), HM_OK);
        has_string(&merged, golden_get(golden_get(pair, "merge_union"), "counts")->valuestring);
        hm_rle_free(&merged);
        assert_int_equal(hm_rle_merge(&merged, masks, 2, true), HM_OK);
        has_string(&merged, golden_get(golden_get(pair, "merge_intersection"), "counts")->valuestring);
        hm_rle_free(&merged);
        read_boxes(golden_get(pair, "box_dt"), dt);
        read_boxes(golden_get(pair, "box_gt"), gt);
        read_crowd(golden_get(pair, "box_iscrowd"), crowd);
        hm_box_iou((const double(*)[4])dt, 4, (const double(*)[4])gt, 3, crowd, iou);
        has_matrix(iou, golden_get(pair, "box_iou"), 3);
        for (int i = 0; i < 7; i++)
            hm_rle_free(&masks[i]);
    }
}

static void refuse_string(const char *s, int32_t h, int32_t w) {
    hm_rle r;
    assert_int_equal(hm_rle_from_string(&r, s, strlen(s), h, w), HM_ERR_FORMAT);
    assert_null(r.counts);
    assert_true(strlen(hm_error_message()) > 0);
}

static void malformed_strings_are_refused(void **state) {
    (void)state;
    refuse_string("", 2, 2);
    refuse_string("P", 2, 2);          /* a group that announces another one */
    refuse_string("5", 2, 2);          /* five pixels of four */
    refuse_string("3", 2, 2);          /* three of four */
    refuse_string("O5", 2, 2);         /* negative run */
    refuse_string("\x7f", 2, 2);       /* outside the alphabet */
    refuse_string(" 4", 2, 2);         /* likewise */
    refuse_string("ooooooooo0", 2, 2); /* a number of more than 35 bits */
    refuse_string("PPPPPP1", 1, 2);    /* 2^30 */
    refuse_string("4", 0, 4);          /* impossible sizes */
    refuse_string("4", -2, -2);        /* */
    refuse_string("4", 65536, 65536);  /* */
    refuse_string("4", INT32_MAX, INT32_MAX);
}

static void wrong_counts_are_refused(void **state) {
    (void)state;
    hm_rle r;
    const uint32_t wraps[] = {UINT32_MAX, 5}, few[] = {1, 2};
    assert_int_equal(hm_rle_from_counts(&r, wraps, 2, 2, 2), HM_ERR_FORMAT);
    assert_int_equal(hm_rle_from_counts(&r, few, 2, 2, 2), HM_ERR_FORMAT);
    assert_int_equal(hm_rle_from_counts(&r, NULL, 0, 2, 2), HM_ERR_FORMAT);
    assert_int_equal(hm_rle_from_counts(&r, few, 2, INT32_MIN, INT32_MIN), HM_ERR_FORMAT);
}

static void hostile_polygons_are_refused(void **state) {
    (void)state;
    hm_rle r;
    double xy[6] = {0, 0, 4, 0, 4, 4};
    const double bad[] = {NAN, INFINITY, -INFINITY, 1e300, -1e10};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        xy[3] = bad[i];
        assert_int_equal(hm_rle_from_polygons(&r, xy, (size_t[]){0, 6}, 1, 8, 8), HM_ERR_FORMAT);
        assert_int_equal(hm_rle_from_box(&r, (double[]){0, 0, 1, bad[i]}, 8, 8), HM_ERR_FORMAT);
    }
    xy[3] = 0;
    assert_int_equal(hm_rle_from_polygons(&r, xy, (size_t[]){0, 4}, 1, 8, 8), HM_ERR_FORMAT);
    assert_int_equal(hm_rle_from_polygons(&r, xy, (size_t[]){0, 0}, 1, 8, 8), HM_ERR_FORMAT);
    assert_int_equal(hm_rle_from_polygons(&r, xy, (size_t[]){0, 6}, 1, INT32_MAX, 2), HM_ERR_FORMAT);

    enum { POINTS = 600 }; /* a zigzag over a picture two million pixels wide: too many crossings */
    double zigzag[2 * POINTS];
    for (int i = 0; i < POINTS; i++) {
        zigzag[2 * i] = i % 2 ? 2e6 : 0;
        zigzag[2 * i + 1] = i;
    }
    assert_int_equal(hm_rle_from_polygons(&r, zigzag, (size_t[]){0, 2 * POINTS}, 1, 1000, 2000000), HM_ERR_FORMAT);
}

static void far_points_cost_nothing(void **state) {
    (void)state;
    hm_rle r;
    const double xy[] = {-2e6, -2e6, 2e6, -2e6, 2e6, 2e6, -2e6, 2e6}, none[] = {5, 5, 5, 5, 5, 5};
    assert_int_equal(hm_rle_from_polygons(&r, xy, (size_t[]){0, 8}, 1, 30, 40), HM_OK);
    assert_true(hm_rle_area(&r) == 1200);
    hm_rle_free(&r);
    assert_int_equal(hm_rle_from_polygons(&r, none, (size_t[]){0, 6}, 1, 30, 40), HM_OK);
    assert_true(hm_rle_area(&r) == 0);
    hm_rle_free(&r);
    assert_int_equal(hm_rle_from_polygons(&r, xy, (size_t[]){0}, 0, 30, 40), HM_OK);
    assert_true(hm_rle_area(&r) == 0 && r.n == 1);
    hm_rle_free(&r);
}

static void runs_of_no_pixels_do_no_harm(void **state) {
    (void)state;
    hm_rle m[2], out;
    const uint32_t odd[] = {0, 2, 0, 0, 0, 1, 3, 0}, plain[] = {1, 1, 4};
    double box[4], iou[1];
    assert_int_equal(hm_rle_from_counts(&m[0], odd, 8, 3, 2), HM_OK);
    assert_int_equal(hm_rle_from_counts(&m[1], plain, 3, 3, 2), HM_OK);
    hm_rle_box(&m[0], box);
    assert_true(box[0] == 0 && box[1] == 0 && box[2] == 1 && box[3] == 3);
    assert_int_equal(hm_rle_iou(m, 1, m + 1, 1, NULL, iou), HM_OK);
    assert_true(iou[0] == 1. / 3);
    assert_int_equal(hm_rle_merge(&out, m, 2, false), HM_OK);
    assert_int_equal(out.n, 3);
    hm_rle_free(&out);
    assert_int_equal(hm_rle_merge(&out, m, 0, false), HM_ERR_ARG);
    hm_rle_free(&m[1]);
    assert_int_equal(hm_rle_from_counts(&m[1], plain, 3, 2, 3), HM_OK);
    assert_int_equal(hm_rle_merge(&out, m, 2, false), HM_ERR_ARG);
    assert_int_equal(hm_rle_iou(m, 1, m + 1, 1, NULL, iou), HM_ERR_ARG);
    hm_rle_free(&m[0]);
    hm_rle_free(&m[1]);
    hm_rle_free(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(masks_match),
        cmocka_unit_test(uncompressed_counts_match),
        cmocka_unit_test(polygons_match),
        cmocka_unit_test(boxes_match),
        cmocka_unit_test(overlaps_and_unions_match),
        cmocka_unit_test(malformed_strings_are_refused),
        cmocka_unit_test(wrong_counts_are_refused),
        cmocka_unit_test(hostile_polygons_are_refused),
        cmocka_unit_test(far_points_cost_nothing),
        cmocka_unit_test(runs_of_no_pixels_do_no_harm),
    };
    return cmocka_run_group_tests(tests, read_file, drop_file);
}
