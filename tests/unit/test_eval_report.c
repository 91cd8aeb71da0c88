/* test_eval_report.c: the report's text against pycocotools' lines, and its JSON digit by digit. */
#include "golden_json.h"

#include <string.h>

#include "eval/eval_report.h"

static double ap[2] = {0.25, -1}, ap50[2] = {0.5, -1}, ap75[2] = {1. / 3, -1}, ar[2] = {0.75, -1};
static const hm_coco_scores scores = {.stats = {0.1, 0.2, 0.3, -1, 0.5, 0.6, 0.7, 0.8, 1. / 3, -1, 1, 0},
                                      .n_categories = 2,
                                      .ap = ap,
                                      .ap50 = ap50,
                                      .ap75 = ap75,
                                      .ar = ar};
static const hm_eval_classes classes = {.n = 2,
                                        .names = (const char *const[]){"caf\xc3\xa9 \"noir\"", "b"},
                                        .ids = (int64_t[]){7, 9007199254740993},
                                        .max_dets = {1, 10, 500}};

static char *report(size_t n, bool json) {
    char *text = NULL;
    size_t len;
    FILE *const to = open_memstream(&text, &len);
    const hm_eval_part parts[] = {{"bbox", &scores}, {"segm", &scores}};
    assert_int_equal(hm_eval_report(to, parts, n, &classes, json), HM_OK);
    fclose(to);
    return text;
}

static void text_is_pycocotools(void **state) {
    (void)state;
    char *const text = report(1, false);
    assert_string_equal(text, "IoU type: bbox\n"
                              " Average Precision  (AP) @[ IoU=0.50:0.95 | area=   all | maxDets=500 ] = 0.100\n"
                              " Average Precision  (AP) @[ IoU=0.50      | area=   all | maxDets=500 ] = 0.200\n"
                              " Average Precision  (AP) @[ IoU=0.75      | area=   all | maxDets=500 ] = 0.300\n"
                              " Average Precision  (AP) @[ IoU=0.50:0.95 | area= small | maxDets=500 ] = -1.000\n"
                              " Average Precision  (AP) @[ IoU=0.50:0.95 | area=medium | maxDets=500 ] = 0.500\n"
                              " Average Precision  (AP) @[ IoU=0.50:0.95 | area= large | maxDets=500 ] = 0.600\n"
                              " Average Recall     (AR) @[ IoU=0.50:0.95 | area=   all | maxDets=  1 ] = 0.700\n"
                              " Average Recall     (AR) @[ IoU=0.50:0.95 | area=   all | maxDets= 10 ] = 0.800\n"
                              " Average Recall     (AR) @[ IoU=0.50:0.95 | area=   all | maxDets=500 ] = 0.333\n"
                              " Average Recall     (AR) @[ IoU=0.50:0.95 | area= small | maxDets=500 ] = -1.000\n"
                              " Average Recall     (AR) @[ IoU=0.50:0.95 | area=medium | maxDets=500 ] = 1.000\n"
                              " Average Recall     (AR) @[ IoU=0.50:0.95 | area= large | maxDets=500 ] = 0.000\n"
                              " class            AP    AP50    AP75      AR\n"
                              " caf\xc3\xa9 \"noir\"   0.250   0.500   0.333   0.750\n"
                              " b                 -       -       -       -\n");
    free(text);
}

static void json_keeps_every_digit(void **state) {
    (void)state;
    char *const text = report(2, true);
    cJSON *const root = cJSON_Parse(text);
    assert_non_null(root);
    assert_int_equal(cJSON_GetArraySize(root), 2);
    const cJSON *const segm = golden_get(root, "segm");
    assert_true(golden_number(segm, "AR100") == 1. / 3);
    assert_true(golden_number(segm, "APs") == -1);
    assert_true(golden_number(cJSON_GetArrayItem(golden_get(segm, "per_category"), 0), "AP75") == 1. / 3);
    assert_non_null(strstr(text, "9007199254740993"));
    assert_string_equal(golden_get(cJSON_GetArrayItem(golden_get(segm, "per_category"), 0), "name")->valuestring,
                        classes.names[0]);
    cJSON_Delete(root);
    free(text);
}

static void one_part_stands_alone(void **state) {
    (void)state;
    char *const text = report(1, true);
    cJSON *const root = cJSON_Parse(text);
    assert_non_null(root);
    assert_string_equal(golden_get(root, "iou_type")->valuestring, "bbox");
    assert_int_equal(cJSON_GetArraySize(golden_get(root, "stats")), HM_COCO_STATS);
    for (int i = 0; i < HM_COCO_STATS; i++)
        assert_true(cJSON_GetArrayItem(golden_get(root, "stats"), i)->valuedouble == scores.stats[i]);
    assert_int_equal(cJSON_GetArrayItem(golden_get(root, "max_dets"), 2)->valueint, 500);
    cJSON_Delete(root);
    free(text);
}

static void limits_rise(void **state) {
    (void)state;
    int32_t limits[HM_COCO_LIMITS];
    hm_eval_limits(500, limits);
    assert_memory_equal(limits, ((int32_t[]){1, 10, 500}), sizeof limits);
    hm_eval_limits(5, limits);
    assert_memory_equal(limits, ((int32_t[]){1, 5, 10}), sizeof limits);
}

static void full_output_is_an_error(void **state) {
    (void)state;
    FILE *const full = fopen("/dev/full", "w");
    if (full == NULL)
        skip();
    const hm_eval_part part = {"segm", &scores};
    assert_int_equal(hm_eval_report(full, &part, 1, &classes, false), HM_ERR_IO);
    fclose(full);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_pycocotools),     cmocka_unit_test(json_keeps_every_digit),
        cmocka_unit_test(one_part_stands_alone),   cmocka_unit_test(limits_rise),
        cmocka_unit_test(full_output_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
