/* test_cli_eval.c: the golden evaluation sets through the program: every figure to 1e-9, as JSON and as text. */
#include "program.h"

#include <cjson/cJSON.h>
#include <math.h>

enum { SETS = 6, STATS = 12 };
static const char *const golden_names[STATS] = {"AP",   "AP50",  "AP75",   "AP_small", "AP_medium", "AP_large",
                                                "AR_1", "AR_10", "AR_100", "AR_small", "AR_medium", "AR_large"};
static const char *const json_names[STATS] = {"AP",  "AP50", "AP75",  "APs", "APm", "APl",
                                              "AR1", "AR10", "AR100", "ARs", "ARm", "ARl"};

typedef struct golden_set {
    char gt[512], dt[512];
    cJSON *expected;
} golden_set;

static golden_set open_set(int set) {
    golden_set g;
    char path[512];
    snprintf(g.gt, sizeof g.gt, HM_GOLDEN_DIR "/coco_eval/set%d/gt.json", set);
    snprintf(g.dt, sizeof g.dt, HM_GOLDEN_DIR "/coco_eval/set%d/dt.json", set);
    snprintf(path, sizeof path, HM_GOLDEN_DIR "/coco_eval/set%d/expected.json", set);
    char *const text = program_read(path);
    g.expected = cJSON_Parse(text);
    assert_non_null(g.expected);
    free(text);
    return g;
}

static const cJSON *member(const cJSON *object, const char *key) {
    const cJSON *const item = cJSON_GetObjectItemCaseSensitive(object, key);
    if (item == NULL)
        fail_msg("\"%s\" is missing", key);
    return item;
}

static void near(const cJSON *got, const cJSON *want, const char *what) {
    assert_true(cJSON_IsNumber(got) && cJSON_IsNumber(want));
    if (!(fabs(got->valuedouble - want->valuedouble) <= 1e-9))
        fail_msg("%s: %.17g instead of %.17g", what, got->valuedouble, want->valuedouble);
}

static void stats_match(const cJSON *got, const cJSON *want) {
    const cJSON *const list = member(got, "stats");
    assert_int_equal(cJSON_GetArraySize(list), STATS);
    for (int i = 0; i < STATS; i++) {
        near(member(got, json_names[i]), member(want, golden_names[i]), json_names[i]);
        near(cJSON_GetArrayItem(list, i), member(want, golden_names[i]), json_names[i]);
    }
}

static void categories_match(const cJSON *got, const cJSON *expected, const cJSON *want) {
    const cJSON *const list = member(got, "per_category"), *const ids = member(expected, "category_ids");
    assert_int_equal(cJSON_GetArraySize(list), cJSON_GetArraySize(ids));
    for (int k = 0; k < cJSON_GetArraySize(ids); k++) {
        const cJSON *const c = cJSON_GetArrayItem(list, k);
        near(member(c, "id"), cJSON_GetArrayItem(ids, k), "id");
        near(member(c, "AP"), cJSON_GetArrayItem(member(want, "per_category_AP"), k), "AP");
        near(member(c, "AP50"), cJSON_GetArrayItem(member(want, "per_category_AP50"), k), "AP50");
        near(member(c, "AR"), cJSON_GetArrayItem(member(want, "per_category_AR"), k), "AR");
        assert_true(cJSON_IsString(member(c, "name")));
    }
}

static void json_matches(int set, const char *iou_type, const char *limit, const char *name) {
    golden_set g = open_set(set);
    program_run r = PROGRAM("eval", "--gt", g.gt, "--dt", g.dt, "--iou-type", (char *)iou_type, "--eval-max-dets",
                            (char *)limit, "--json");
    assert_int_equal(r.status, 0);
    assert_string_equal(r.err, "");
    cJSON *const got = cJSON_Parse(r.out);
    assert_non_null(got);
    const cJSON *const want = member(g.expected, name);
    if (!cJSON_IsNull(member(want, "stats")))
        stats_match(got, member(want, "stats"));
    categories_match(got, member(g.expected, strcmp(iou_type, "segm") == 0 ? "segm" : "bbox"), want);
    cJSON_Delete(got);
    cJSON_Delete(g.expected);
    program_free(&r);
}

static void boxes(void **state) {
    (void)state;
    for (int set = 0; set < SETS; set++) {
        json_matches(set, "bbox", "100", "bbox");
        json_matches(set, "bbox", "500", "bbox_maxdets_1_10_500");
    }
}

static void masks(void **state) {
    (void)state;
    for (int set = 0; set < SETS; set++) {
        json_matches(set, "segm", "100", "segm");
        json_matches(set, "segm", "500", "segm_maxdets_1_10_500");
    }
}

static void text_has_the_twelve_lines(void **state) {
    (void)state;
    static const char *const areas[STATS] = {"all", "all", "all", "small", "medium", "large",
                                             "all", "all", "all", "small", "medium", "large"};
    golden_set g = open_set(0);
    const cJSON *const stats = member(member(g.expected, "segm"), "stats");
    program_run r = PROGRAM("eval", "--gt", g.gt, "--dt", g.dt);
    assert_int_equal(r.status, 0);
    for (int i = 0; i < STATS; i++) {
        char head[128];
        snprintf(head, sizeof head,
                 " %-18s %s @[ IoU=%-9s | area=%6s | maxDets=%3d ] = ", i < 6 ? "Average Precision" : "Average Recall",
                 i < 6 ? "(AP)" : "(AR)",
                 i == 1   ? "0.50"
                 : i == 2 ? "0.75"
                          : "0.50:0.95",
                 areas[i],
                 i == 6   ? 1
                 : i == 7 ? 10
                          : 100);
        const char *const line = strstr(r.out, head);
        if (line == NULL)
            fail_msg("missing: %s", head);
        /* three digits, so that a tie may round either way */
        const double want = member(stats, golden_names[i])->valuedouble, got = strtod(line + strlen(head), NULL);
        if (!(fabs(got - want) <= 0.000501))
            fail_msg("%s%g instead of %g", head, got, want);
    }
    cJSON_Delete(g.expected);
    program_free(&r);
}

/* A results file with masks alone has the masks' boxes and areas, as pycocotools gives them. */
static void boxes_of_masks(void **state) {
    (void)state;
    char gt[256], dt[256];
    program_file(gt, "gt.json",
                 "{\"images\":[{\"id\":1,\"width\":40,\"height\":30,\"file_name\":\"a.png\"}],"
                 "\"categories\":[{\"id\":3,\"name\":\"disc\"}],\"annotations\":[{\"id\":1,\"image_id\":1,"
                 "\"category_id\":3,\"bbox\":[5,6,10,12],\"area\":120,\"iscrowd\":0}]}");
    program_file(dt, "dt.json",
                 "[{\"image_id\":1,\"category_id\":3,\"score\":0.9,"
                 "\"segmentation\":[[5,6,15,6,15,18,5,18]]}]");
    program_run r = PROGRAM("eval", "--gt", gt, "--dt", dt, "--iou-type=bbox", "--json");
    assert_int_equal(r.status, 0);
    cJSON *const got = cJSON_Parse(r.out);
    assert_true(fabs(member(got, "AP")->valuedouble - 1) < 1e-9 && fabs(member(got, "APs")->valuedouble - 1) < 1e-9);
    assert_true(member(got, "APm")->valuedouble == -1);
    cJSON_Delete(got);
    program_free(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(boxes),
        cmocka_unit_test(masks),
        cmocka_unit_test(text_has_the_twelve_lines),
        cmocka_unit_test(boxes_of_masks),
    };
    return cmocka_run_group_tests(tests, program_setup, program_teardown);
}
