/* test_predictor.c: hm_predictor: the program's results from pixels, in batches, with strides; what is refused. */
#include <math.h>

#include "golden_json.h"

#include "api/objects.h"
#include "api_images.h"
#include "base/mem.h"

static int set_up(void **state) {
    (void)state;
    return make_images("predictor");
}

static cJSON *program_results(void) {
    char out[128], path[160];
    snprintf(out, sizeof out, "%s/out", root);
    const hm_predict_options o = {.weights = weights, .out = out, .threshold = 0.5, .device = HM_DEVICE_CHOICE_CPU};
    const char *paths[IMAGES];
    for (size_t i = 0; i < IMAGES; i++) {
        char *own;
        OK(hm_dataset_path(&images_of, i, &own));
        paths[i] = own;
    }
    OK(hm_predict(&o, paths, IMAGES, NULL));
    for (size_t i = 0; i < IMAGES; i++)
        free((char *)(uintptr_t)paths[i]);
    snprintf(path, sizeof path, "%s/predictions.json", out);
    FILE *const f = fopen(path, "rb");
    assert_non_null(f);
    static char text[1 << 20];
    text[fread(text, 1, sizeof text - 1, f)] = '\0';
    fclose(f);
    cJSON *const list = cJSON_Parse(text);
    assert_non_null(list);
    return list;
}

static void same_as_written(const hm_object *o, const hm_objects *all, size_t i, const cJSON *written) {
    const cJSON *const box = golden_get(written, "bbox");
    char *const rle = rle_of(all, i);
    assert_true(fabs((double)o->score - golden_number(written, "score")) < 1e-6);
    assert_int_equal(o->class_id, golden_number(written, "category_id"));
    assert_true(fabs((double)o->box[0] - cJSON_GetArrayItem(box, 0)->valuedouble) < 1e-3);
    assert_true(fabs((double)(o->box[3] - o->box[1]) - cJSON_GetArrayItem(box, 3)->valuedouble) < 1e-3);
    assert_string_equal(rle, golden_get(golden_get(written, "segmentation"), "counts")->valuestring);
    free(rle);
}

static void finds_what_the_program_writes(void **state) {
    (void)state;
    hm_predictor *const p = open_predictor(HM_DEVICE_CHOICE_CPU, 1);
    hm_objects *found[IMAGES];
    size_t seen[IMAGES] = {0}, n = 0;
    OK(hm_predictor_run(p, pixels, IMAGES, found));
    cJSON *const list = program_results();
    const cJSON *item;
    cJSON_ArrayForEach(item, list) {
        const size_t image = (size_t)golden_number(item, "image_id") - 1, i = seen[image]++;
        const hm_object *const o = hm_objects_get(found[image], i);
        assert_non_null(o);
        same_as_written(o, found[image], i, item);
        assert_string_equal(o->class_name, hm_predictor_class_name(p, o->label));
        n++;
    }
    assert_true(n > IMAGES && hm_predictor_has_masks(p));
    assert_int_equal(hm_predictor_classes(p), 3);
    assert_null(hm_predictor_class_name(p, 3));
    assert_null(hm_predictor_class_name(p, -1));
    hm_predictor_free(p);
    for (size_t i = 0; i < IMAGES; i++) { /* they live on */
        assert_int_equal(seen[i], hm_objects_count(found[i]));
        hm_objects_free(found[i]);
    }
    cJSON_Delete(list);
}

/* Rows that are not next to each other, and parts of a batch, the last one short. */
static void strides_and_batches_change_nothing(void **state) {
    (void)state;
    hm_predictor *const p = open_predictor(HM_DEVICE_CHOICE_CPU, 2);
    hm_objects *found[IMAGES], *padded[IMAGES];
    hm_pixels views[IMAGES];
    OK(hm_predictor_run(p, pixels, IMAGES, found));
    for (size_t i = 0; i < IMAGES; i++) {
        views[i] = pixels[i];
        views[i].stride += 7;
        uint8_t *const room = malloc(views[i].stride * (size_t)views[i].height);
        memset(room, 0xAB, views[i].stride * (size_t)views[i].height);
        for (int32_t y = 0; y < views[i].height; y++)
            memcpy(room + (size_t)y * views[i].stride, pixels[i].rgb + (size_t)y * pixels[i].stride, pixels[i].stride);
        views[i].rgb = room;
    }
    OK(hm_predictor_run(p, views, IMAGES, padded));
    for (size_t i = 0; i < IMAGES; i++) {
        same_objects(found[i], padded[i]);
        hm_objects_free(found[i]);
        hm_objects_free(padded[i]);
        free((uint8_t *)(uintptr_t)views[i].rgb);
    }
    hm_predictor_free(p);
}

static void masks_are_bytes_or_runs(void **state) {
    (void)state;
    hm_predictor *const p = open_predictor(HM_DEVICE_CHOICE_CPU, 1);
    hm_objects *found;
    size_t bytes;
    char text[2] = "x";
    OK(hm_predictor_run(p, pixels, 1, &found));
    const size_t area = (size_t)images[0].w * (size_t)images[0].h, n = hm_objects_count(found);
    uint8_t *const mask = malloc(area);
    assert_true(n > 0);
    for (size_t i = 0; i < n; i++) {
        hm_rle from_bytes;
        char *const own = rle_of(found, i), *again;
        OK(hm_objects_mask(found, i, mask, area));
        OK(hm_rle_from_mask(&from_bytes, mask, images[0].h, images[0].w));
        OK(hm_rle_to_string(&from_bytes, &again));
        assert_string_equal(own, again);
        hm_rle_free(&from_bytes);
        free(own);
        free(again);
    }
    assert_int_equal(hm_objects_mask(found, 0, mask, area - 1), HM_ERR_ARG);
    assert_int_equal(hm_objects_mask(found, n, mask, area), HM_ERR_ARG);
    OK(hm_objects_rle(found, 0, text, 1, &bytes));
    assert_true(bytes > 1 && text[0] == 'x');
    assert_null(hm_objects_get(found, n));
    free(mask);
    hm_objects_free(found);
    hm_predictor_free(p);
}

static void a_model_for_boxes_has_no_masks(void **state) {
    (void)state;
    hm_detections found = {.n = 1};
    hm_objects *o;
    size_t bytes;
    uint8_t mask[4];
    OK(hm_alloc(&found.items, 1, sizeof *found.items));
    found.items[0] = (hm_detection){.score = 0.75f, .label = 1, .box = {1, 2, 3, 4}};
    OK(hm_objects_new(&o, &found, &images_of.classes));
    hm_detections_free(&found);
    assert_true(hm_objects_get(o, 0)->score == 0.75f && hm_objects_get(o, 0)->box[3] == 4);
    assert_string_equal(hm_objects_get(o, 0)->class_name, images_of.classes.names[1]);
    assert_int_equal(hm_objects_mask(o, 0, mask, sizeof mask), HM_ERR_UNSUPPORTED);
    assert_int_equal(hm_objects_rle(o, 0, NULL, 0, &bytes), HM_ERR_UNSUPPORTED);
    hm_objects_free(o);
    hm_objects_free(NULL);
}

static void refuses(hm_predictor *p, hm_pixels bad, const char *words) {
    hm_objects *found[2] = {(hm_objects *)p, (hm_objects *)p};
    const hm_pixels two[2] = {pixels[0], bad};
    assert_int_equal(hm_predictor_run(p, two, 2, found), HM_ERR_ARG);
    assert_true(found[0] == NULL && found[1] == NULL);
    assert_non_null(strstr(hm_error_message(), "image 1: "));
    assert_non_null(strstr(hm_error_message(), words));
}

static void bad_pixels_are_refused(void **state) {
    (void)state;
    for (int32_t batch = 1; batch <= 2; batch++) {
        hm_predictor *const p = open_predictor(HM_DEVICE_CHOICE_CPU, batch);
        refuses(p, (hm_pixels){NULL, 4, 4, 12}, "rgb is NULL");
        refuses(p, (hm_pixels){pixels[0].rgb, 0, 4, 12}, "0 x 4 pixels");
        refuses(p, (hm_pixels){pixels[0].rgb, 4, -1, 12}, "4 x -1 pixels");
        refuses(p, (hm_pixels){pixels[0].rgb, 100000, 100000, 300000}, "at most");
        refuses(p, (hm_pixels){pixels[0].rgb, 4, 4, 11}, "stride of 11 bytes");
        hm_objects *none;
        OK(hm_predictor_run(p, NULL, 0, &none));
        hm_predictor_free(p);
    }
}

static void bad_options_are_refused(void **state) {
    (void)state;
    hm_predict_options *o;
    hm_predictor *p;
    OK(hm_options_new(HM_COMMAND_PREDICT, &o));
    assert_int_equal(hm_predictor_new(&p, o, 1), HM_ERR_ARG);
    assert_non_null(strstr(hm_error_message(), "needs weights"));
    OK(hm_options_set(HM_COMMAND_PREDICT, o, "weights", "no/such.pth", NULL));
    assert_int_equal(hm_predictor_new(&p, o, 0), HM_ERR_ARG);
    assert_int_equal(hm_predictor_new(&p, o, 1), HM_ERR_IO);
    assert_non_null(strstr(hm_error_message(), "no/such.pth"));
    o->threshold = 2;
    assert_int_equal(hm_predictor_new(&p, o, 1), HM_ERR_ARG);
    assert_non_null(strstr(hm_error_message(), "threshold"));
    assert_null(p);
    hm_predictor_free(p);
    hm_options_free(HM_COMMAND_PREDICT, o);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_what_the_program_writes), cmocka_unit_test(strides_and_batches_change_nothing),
        cmocka_unit_test(masks_are_bytes_or_runs),       cmocka_unit_test(a_model_for_boxes_has_no_masks),
        cmocka_unit_test(bad_pixels_are_refused),        cmocka_unit_test(bad_options_are_refused),
    };
    return cmocka_run_group_tests(tests, set_up, drop_images);
}
