/* test_coco_results.c: COCO results files: reading the golden one, writing and reading back, and faulty files. */
#include "golden_json.h"

#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "eval/coco_results.h"

enum { MAX = 400 };

/* Two images of 4 x 6 pixels and one without a size; ids as a file may have them, not sorted. */
static hm_coco_image images[] = {{.id = 30, .width = 6, .height = 4}, {.id = -2, .width = 6, .height = 4}, {.id = 7}};
static hm_coco_category categories[] = {{.id = 9}, {.id = 1}};
static const hm_coco small = {.images = images, .n_images = 3, .categories = categories, .n_categories = 2};

typedef struct kept {
    size_t n, image[MAX];
    int32_t category[MAX];
    double score[MAX], box[MAX][4];
    bool has_box[MAX];
    hm_rle mask[MAX];
} kept;

static hm_status keep(void *user, const hm_coco_result *r) {
    kept *const k = user;
    assert_int_equal(r->index, k->n);
    assert_true(k->n < MAX);
    k->image[k->n] = r->image;
    k->category[k->n] = r->category;
    k->score[k->n] = r->score;
    k->has_box[k->n] = r->has_box;
    memcpy(k->box[k->n], r->box, sizeof r->box);
    k->mask[k->n] = (hm_rle){0};
    if (r->mask)
        assert_int_equal(hm_rle_from_counts(&k->mask[k->n], r->mask->counts, r->mask->n, r->mask->h, r->mask->w),
                         HM_OK);
    k->n++;
    return HM_OK;
}

static void drop(kept *k) {
    for (size_t i = 0; i < k->n; i++)
        hm_rle_free(&k->mask[i]);
    *k = (kept){0};
}

static hm_status parse(kept *k, const char *json) {
    drop(k);
    return hm_coco_results_parse("r.json", json, strlen(json), &small, keep, k);
}

/* The golden images and categories as an hm_coco. */
static void golden_tables(const cJSON *gt, hm_coco *c) {
    const cJSON *item;
    c->images = calloc((size_t)cJSON_GetArraySize(golden_get(gt, "images")), sizeof *c->images);
    c->categories = calloc((size_t)cJSON_GetArraySize(golden_get(gt, "categories")), sizeof *c->categories);
    cJSON_ArrayForEach(item, golden_get(gt, "images")) {
        c->images[c->n_images++] = (hm_coco_image){.id = (int64_t)golden_number(item, "id"),
                                                   .width = (int32_t)golden_number(item, "width"),
                                                   .height = (int32_t)golden_number(item, "height")};
    }
    cJSON_ArrayForEach(item, golden_get(gt, "categories")) {
        c->categories[c->n_categories++].id = (int64_t)golden_number(item, "id");
    }
}

static void is_result(const kept *k, size_t i, const cJSON *want, const hm_coco *c) {
    assert_true((double)c->images[k->image[i]].id == golden_number(want, "image_id"));
    assert_true((double)c->categories[k->category[i]].id == golden_number(want, "category_id"));
    assert_true(k->score[i] == golden_number(want, "score"));
    assert_true(k->has_box[i]);
    for (int j = 0; j < 4; j++)
        assert_true(k->box[i][j] == cJSON_GetArrayItem(golden_get(want, "bbox"), j)->valuedouble);
    char *s;
    assert_int_equal(hm_rle_to_string(&k->mask[i], &s), HM_OK);
    assert_string_equal(s, golden_get(golden_get(want, "segmentation"), "counts")->valuestring);
    free(s);
}

static void all_are(const char *path, const cJSON *want, const hm_coco *c, kept *k) {
    drop(k);
    assert_int_equal(hm_coco_results_read(path, c, keep, k), HM_OK);
    assert_int_equal(k->n, cJSON_GetArraySize(want));
    size_t i = 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, want) {
        is_result(k, i++, item, c);
    }
}

static void golden_file_survives_a_round_trip(void **state) {
    (void)state;
    static kept k;
    hm_coco c = {0};
    cJSON *const gt = golden_read("coco_eval/set2/gt.json"), *const dt = golden_read("coco_eval/set2/dt.json");
    golden_tables(gt, &c);
    all_are(HM_GOLDEN_DIR "/coco_eval/set2/dt.json", dt, &c, &k);
    hm_coco_writer *w;
    assert_int_equal(hm_coco_writer_open("results_test.json", &w), HM_OK);
    for (size_t i = 0; i < k.n; i++)
        assert_int_equal(hm_coco_writer_add(w, c.images[k.image[i]].id, c.categories[k.category[i]].id, k.score[i],
                                            k.box[i], &k.mask[i]),
                         HM_OK);
    assert_int_equal(hm_coco_writer_commit(&w), HM_OK);
    assert_null(w);
    all_are("results_test.json", dt, &c, &k);
    unlink("results_test.json");
    drop(&k);
    free(c.images);
    free(c.categories);
    cJSON_Delete(gt);
    cJSON_Delete(dt);
}

static void every_form_is_read(void **state) {
    (void)state;
    static kept k;
    const char *const head = "[{\"image_id\":-2,\"category_id\":1.0,\"score\":1,\"segmentation\":",
                      *const forms[] = {"[[1,1,4,1,4,3,1,3]]", "[[1,1,4,1,4,3,1,3],[1,1,4,1,4,3,1,3]]",
                                        "{\"size\":[4,6],\"counts\":[5,2,2,2,2,2,9]}",
                                        "{\"counts\":[5,2.0,2,2,2,2,9],\"more\":{\"size\":[1]},\"size\":[4,6]}"};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        char json[512];
        snprintf(json, sizeof json, "%s%s,\"other\":[null,true,{\"a\":[[\"b\",1e999]]}],\"note\":\"x\"}]", head,
                 forms[i]);
        if (parse(&k, json) != HM_OK)
            fail_msg("%s", hm_error_message());
        assert_int_equal(k.n, 1);
        assert_int_equal(k.image[0], 1);
        assert_int_equal(k.category[0], 1);
        assert_false(k.has_box[0]);
        assert_true(hm_rle_area(&k.mask[0]) == 6);
    }
    assert_int_equal(parse(&k, " [ ] "), HM_OK);
    assert_int_equal(k.n, 0);
    assert_int_equal(parse(&k, "[{\"score\":.5e0}]"), HM_ERR_FORMAT); /* not JSON */
    assert_int_equal(parse(&k, "[{\"image_id\":30,\"category_id\":9,\"score\":5e-1,\"bbox\":[1,2.5,3,4]}]"), HM_OK);
    assert_true(k.has_box[0] && k.box[0][1] == 2.5 && k.score[0] == .5 && k.mask[0].n == 0);
    assert_int_equal(parse(&k, "[{\"image_id\":30,\"category_id\":9,\"score\":0,\"segmentation\":[]}]"), HM_OK);
    assert_true(k.mask[0].n == 1);
    drop(&k);
}

static void refuse(const char *json, const char *words) {
    static kept k;
    assert_int_equal(parse(&k, json), HM_ERR_FORMAT);
    if (!strstr(hm_error_message(), words) || !strstr(hm_error_message(), "r.json"))
        fail_msg("\"%s\" lacks \"%s\"", hm_error_message(), words);
    drop(&k);
}

static void faulty_files_are_refused(void **state) {
    (void)state;
    refuse("", "is empty");
    refuse("[", "ends in the middle");
    refuse("[{\"image_id\":30,", "result 0 (byte 16)");
    refuse("[] []", "not JSON");
    refuse("[{\"a\":\"\xff\"}]", "not JSON");
    refuse("{\"annotations\":[]}", "an object stands where the list of results is due");
    refuse("3", "a number stands where");
    refuse("[3]", "a number stands where a result");
    refuse("[[]]", "a list stands where a result");
    refuse("[{}]", "no \"image_id\"");
    refuse("[{\"image_id\":30,\"category_id\":9}]", "no \"score\"");
    refuse("[{\"image_id\":30,\"category_id\":9,\"score\":1}]", "neither \"bbox\" nor");
    refuse("[{\"image_id\":\"30\"}]", "\"image_id\" cannot be a string");
    refuse("[{\"image_id\":3.5}]", "must be a whole number");
    refuse("[{\"image_id\":99999999999999999999}]", "must be a whole number");
    refuse("[{\"image_id\":1e400}]", "too large");
    refuse("[{\"score\":null}]", "\"score\" cannot be null");
    refuse("[{\"score\":11111111111111111111111111111111111111111111111111111111111111111111}]", "too long");
    refuse("[{\"bbox\":{}}]", "\"bbox\" cannot be an object");
    refuse("[{\"bbox\":[1,2,3,\"4\"]}]", "holds a string");
    refuse("[{\"bbox\":[1,2,3,4,5]}]", "holds too many numbers");
    refuse("[{\"image_id\":30,\"category_id\":9,\"score\":1,\"bbox\":[1,2,3]}]", "has 3 numbers");
    refuse("[{\"segmentation\":[1,2,3,4,5,6]}]", "holds a number");
    refuse("[{\"segmentation\":[[1,2,[3]]]}]", "holds a list");
    refuse("[{\"segmentation\":{\"size\":[4]}}]", "fewer than two");
    refuse("[{\"segmentation\":{\"size\":[4,6,1]}}]", "more than two");
    refuse("[{\"segmentation\":{\"counts\":[-1]}}]", "runs must be");
    refuse("[{\"segmentation\":{\"counts\":[4294967296]}}]", "runs must be");
    refuse("[{\"segmentation\":{\"counts\":[1.5]}}]", "runs must be");
}

static void refuse_mask(const char *image, const char *seg, const char *words) {
    char json[512];
    snprintf(json, sizeof json, "[{\"image_id\":%s,\"category_id\":9,\"score\":1,\"segmentation\":%s}]", image, seg);
    refuse(json, words);
}

static void faulty_masks_are_refused(void **state) {
    (void)state;
    refuse_mask("31", "[]", "image_id 31 is not in the annotations");
    refuse_mask("30", "{\"counts\":[24]}", "no \"size\"");
    refuse_mask("30", "{\"size\":[4,6]}", "no \"counts\"");
    refuse_mask("30", "{\"size\":[6,4],\"counts\":[24]}", "height 6 and width 4, but image 30 has 4 and 6");
    refuse_mask("30", "{\"size\":[4,6],\"counts\":[23]}", "fewer pixels");
    refuse_mask("30", "{\"size\":[4,6],\"counts\":\"\"}", "24 pixels");
    refuse_mask("30", "{\"size\":[4,6],\"counts\":\"PPPP\"}", "malformed");
    refuse_mask("30", "[[]]", "polygon 0");
    refuse_mask("30", "[[1,1,2,2,3,3],[1,2,3,4]]", "polygon 1");
    refuse_mask("7", "[]", "not possible");
    refuse("[{\"image_id\":30,\"category_id\":2,\"score\":1,\"bbox\":[1,2,3,4]}]", "category_id 2 is not in");
}

static hm_status stop_at_once(void *user, const hm_coco_result *r) {
    (void)r;
    return hm_fail(*(hm_status *)user, "enough");
}

static void failures_are_passed_on(void **state) {
    (void)state;
    hm_status code = HM_ERR_MEMORY;
    const char *const json = "[{\"image_id\":30,\"category_id\":9,\"score\":1,\"bbox\":[1,2,3,4]}]";
    assert_int_equal(hm_coco_results_parse("r.json", json, strlen(json), &small, stop_at_once, &code), HM_ERR_MEMORY);
    assert_non_null(strstr(hm_error_message(), "r.json, result 0"));
    assert_int_equal(hm_coco_results_read("no/such.json", &small, stop_at_once, &code), HM_ERR_IO);
    assert_int_equal(hm_coco_results_read(".", &small, stop_at_once, &code), HM_ERR_IO);
}

static void writer_keeps_numbers_and_refuses_nonsense(void **state) {
    (void)state;
    static kept k;
    hm_coco_writer *w;
    const double box[4] = {1. / 3, -1e-300, 0.1f, 1e15 + 1}, bad[4] = {0, 0, INFINITY, 1};
    assert_int_equal(hm_coco_writer_open("no/such/folder.json", &w), HM_ERR_IO);
    assert_null(w);
    assert_int_equal(hm_coco_writer_open("results_test.json", &w), HM_OK);
    assert_int_equal(hm_coco_writer_add(w, 30, 9, .5, NULL, NULL), HM_ERR_ARG);
    assert_int_equal(hm_coco_writer_add(w, 30, 9, NAN, box, NULL), HM_ERR_ARG);
    assert_int_equal(hm_coco_writer_add(w, 30, 9, .5, bad, NULL), HM_ERR_ARG);
    assert_int_equal(hm_coco_writer_add(w, 30, 9, 0.9f, box, NULL), HM_OK);
    assert_int_equal(hm_coco_writer_commit(&w), HM_OK);
    assert_int_equal(hm_coco_results_read("results_test.json", &small, keep, &k), HM_OK);
    assert_true(k.n == 1 && k.score[0] == (double)0.9f && memcmp(k.box[0], box, sizeof box) == 0);
    drop(&k);
    assert_int_equal(hm_coco_writer_open("results_test.json", &w), HM_OK);
    hm_coco_writer_abort(w); /* the old file stays */
    assert_int_equal(access("results_test.json", F_OK), 0);
    assert_int_equal(hm_coco_writer_open("results_test.json", &w), HM_OK);
    assert_int_equal(hm_coco_writer_commit(&w), HM_OK);
    assert_int_equal(hm_coco_results_read("results_test.json", &small, keep, &k), HM_OK);
    assert_int_equal(k.n, 0);
    unlink("results_test.json");
    hm_coco_writer_abort(NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_file_survives_a_round_trip),
        cmocka_unit_test(every_form_is_read),
        cmocka_unit_test(faulty_files_are_refused),
        cmocka_unit_test(faulty_masks_are_refused),
        cmocka_unit_test(failures_are_passed_on),
        cmocka_unit_test(writer_keeps_numbers_and_refuses_nonsense),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
