/* test_predict.c: weights from a file to results: prediction on single images and evaluation on a split, end to end,
 * with a model whose weights are random. */
#include "golden_json.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "data/shapes.h"
#include "eval/coco_results.h"
#include "eval/eval_weights.h"
#include "eval/judge_split.h"
#include "eval/model_file.h"
#include "io/atomic.h"
#include "model/rfdetr.h"
#include "model_fill.h"
#include "weights/weights.h"

static char dir[64], data_dir[96], weights[96];

/* Sets the last layer of a box head so that boxes keep their place and are about `factor` times as large. */
static void tame_boxes(hm_store *store, const char *head, float factor) {
    char name[128];
    hm_shape shape;
    snprintf(name, sizeof name, "%s.layers.2.weight", head);
    float *const weight = hm_store_find(store, name, &shape);
    for (int64_t i = 0; i < hm_shape_count(shape); i++)
        weight[i] *= 0.02f;
    snprintf(name, sizeof name, "%s.layers.2.bias", head);
    float *const bias = hm_store_find(store, name, NULL);
    bias[0] = bias[1] = 0;
    bias[2] = bias[3] = logf(factor);
}

/* Random weights with the classes of the shapes; one class scores high and boxes have the objects' size, so that there
 * is something to judge. */
static hm_status write_weights(void) {
    hm_model_config c;
    hm_graph *g = NULL;
    hm_model *m = NULL;
    hm_store *store = NULL;
    hm_dataset data;
    hm_status st;
    HM_TRY(hm_dataset_open(&data, data_dir, "train", NULL));
    HM_TRY(hm_model_config_named("seg-micro", &c));
    HM_TRY_TO(st, done, hm_graph_create(&g));
    HM_TRY_TO(st, done,
              hm_model_build(
                  &m, g, &c,
                  &(hm_model_options){.batch = 1, .height = c.resolution, .width = c.resolution, .training = true}));
    HM_TRY_TO(st, done, hm_store_create(&store));
    HM_TRY_TO(st, done, hm_store_add(store, g));
    model_fill(store, 7);
    hm_store_find(store, "class_embed.bias", NULL)[0] = 2;
    tame_boxes(store, "bbox_embed", 3);
    tame_boxes(store, "transformer.enc_out_bbox_embed.0", 2);
    st = hm_weights_save(weights, store, NULL, &c, &data.classes);
done:
    hm_dataset_free(&data);
    hm_store_free(store);
    hm_model_free(m);
    hm_graph_free(g);
    return st;
}

static int set_up(void **state) {
    (void)state;
    strcpy(dir, "predict.XXXXXX");
    if (mkdtemp(dir) == NULL)
        return 1;
    snprintf(data_dir, sizeof data_dir, "%s/shapes", dir);
    snprintf(weights, sizeof weights, "%s/model.safetensors", dir);
    const hm_shapes_config shapes = {.counts = {4, 12, 0}, .min_side = 64, .max_side = 90, .seed = 1};
    if (hm_shapes_write(data_dir, &shapes, NULL, NULL) != HM_OK || write_weights() != HM_OK) {
        print_error("%s\n", hm_error_message());
        return 1;
    }
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", dir);
    return system(command) != 0;
}

static char *read_text(const char *path) {
    char *text;
    size_t len;
    if (hm_file_read(path, (size_t)1 << 26, &text, &len) != HM_OK)
        fail_msg("%s", hm_error_message());
    return text;
}

/* Path of the validation split's image i; static memory. */
static const char *image_path(size_t i) {
    static char paths[8][256];
    hm_dataset data;
    char *path;
    assert_int_equal(hm_dataset_open(&data, data_dir, "valid", NULL), HM_OK);
    assert_int_equal(hm_dataset_path(&data, i, &path), HM_OK);
    snprintf(paths[i], sizeof paths[i], "%s", path);
    free(path);
    hm_dataset_free(&data);
    return paths[i];
}

static bool exists(const char *folder, const char *image, const char *suffix) {
    char path[512];
    const char *const file = strrchr(image, '/') + 1;
    struct stat info;
    snprintf(path, sizeof path, "%s/%.*s%s", folder, (int)(strrchr(file, '.') - file), file, suffix);
    return stat(path, &info) == 0 && info.st_size > 0;
}

static cJSON *predictions(const char *folder) {
    char path[256];
    snprintf(path, sizeof path, "%s/predictions.json", folder);
    char *const text = read_text(path);
    cJSON *const list = cJSON_Parse(text);
    assert_true(cJSON_IsArray(list));
    free(text);
    return list;
}

static void prediction_end_to_end(void **state) {
    (void)state;
    char out[128];
    snprintf(out, sizeof out, "%s/a/b", dir);
    const hm_predict_options o = {.weights = weights, .out = out, .threshold = 0.5, .threads = 2};
    const char *const images[] = {image_path(0), image_path(1), image_path(0)};
    if (hm_predict(&o, images, 3, NULL) != HM_OK)
        fail_msg("%s", hm_error_message());
    assert_true(exists(out, images[0], "_predicted.png") && exists(out, images[1], "_predicted.png"));
    assert_true(exists(out, images[2], "_3_predicted.png"));
    cJSON *const list = predictions(out);
    const cJSON *item;
    int counts[4] = {0};
    cJSON_ArrayForEach(item, list) {
        const int id = (int)golden_number(item, "image_id");
        assert_in_range(id, 1, 3);
        counts[id]++;
        assert_true(golden_number(item, "score") > 0.5);
        assert_in_range((int)golden_number(item, "category_id"), 1, 3);
        assert_int_equal(cJSON_GetArraySize(golden_get(item, "bbox")), 4);
        assert_non_null(golden_get(golden_get(item, "segmentation"), "counts"));
    }
    assert_true(counts[1] > 0 && counts[2] > 0);
    assert_int_equal(counts[1], counts[3]);
    cJSON_Delete(list);
}

static void a_bad_image_keeps_what_was_finished(void **state) {
    (void)state;
    char out[128], broken[128], *log = NULL;
    size_t len;
    snprintf(out, sizeof out, "%s/partial", dir);
    snprintf(broken, sizeof broken, "%s/broken.png", dir);
    assert_int_equal(hm_file_write(broken, "\x89PNG\r\n\x1a\n no", 11), HM_OK);
    const hm_predict_options o = {.weights = weights, .out = out, .threshold = 0.5};
    FILE *const to = open_memstream(&log, &len);
    const char *images[] = {image_path(0), broken, image_path(1)};
    assert_int_equal(hm_predict(&o, images, 3, to), HM_ERR_FORMAT);
    fclose(to);
    assert_non_null(strstr(hm_error_message(), broken));
    assert_non_null(strstr(log, images[0]));
    free(log);
    assert_true(exists(out, images[0], "_predicted.png"));
    assert_false(exists(out, broken, "_predicted.png"));
    assert_false(exists(out, images[2], "_predicted.png"));
    cJSON *const list = predictions(out);
    const cJSON *item;
    cJSON_ArrayForEach(item, list) {
        assert_int_equal((int)golden_number(item, "image_id"), 1);
    }
    assert_true(cJSON_GetArraySize(list) > 0);
    cJSON_Delete(list);

    snprintf(out, sizeof out, "%s/none", dir);
    images[0] = "no/such/image.png";
    assert_int_equal(hm_predict(&o, images, 1, NULL), HM_ERR_IO);
    assert_non_null(strstr(hm_error_message(), "no/such/image.png"));
    assert_int_equal(access("none/predictions.json", F_OK), -1);
}

static void wrong_arguments_are_refused(void **state) {
    (void)state;
    char out[128];
    snprintf(out, sizeof out, "%s/c", dir);
    hm_predict_options o = {.weights = weights, .out = NULL, .threshold = 0.5};
    const char *const images[] = {image_path(0)};
    assert_int_equal(hm_predict(&o, images, 1, NULL), HM_ERR_ARG);
    o.out = out;
    assert_int_equal(hm_predict(&o, images, 0, NULL), HM_ERR_ARG);
    o.weights = "no/weights";
    assert_int_equal(hm_predict(&o, images, 1, NULL), HM_ERR_IO);
    assert_int_equal(access(out, F_OK), -1);
}

/* An image that the picture would be written over. */
static void images_are_never_replaced(void **state) {
    (void)state;
    char path[256], *png;
    size_t len;
    const char *const images[] = {image_path(0), path};
    const char *const file = strrchr(images[0], '/') + 1;
    snprintf(path, sizeof path, "%s/%.*s_predicted.png", dir, (int)(strrchr(file, '.') - file), file);
    assert_int_equal(hm_file_read(images[0], 1 << 24, &png, &len), HM_OK);
    assert_int_equal(hm_file_write(path, png, len), HM_OK);
    free(png);
    const hm_predict_options o = {.weights = weights, .out = dir, .threshold = 0.5};
    assert_int_equal(hm_predict(&o, images, 2, NULL), HM_ERR_ARG);
    assert_non_null(strstr(hm_error_message(), path));
}

static hm_status add_result(void *user, const hm_coco_result *r) {
    void **const p = user;
    const hm_coco *const gt = p[1];
    return hm_coco_eval_add_dt(p[0], gt->images[r->image].id, r->category, r->box, r->score, NAN, r->mask);
}

/* The written detections, judged again from the file, give the printed figures; other batches and threads as well. */
static void evaluation_agrees_with_its_file(void **state) {
    (void)state;
    char out[128], first[64 * 1024] = "", *text, gt[160];
    size_t len;
    snprintf(out, sizeof out, "%s/results.json", dir);
    for (int32_t batch = 1; batch <= 3; batch++) {
        const hm_eval_options o = {.dataset_dir = data_dir,
                                   .weights = weights,
                                   .split = batch == 1 ? NULL : "valid",
                                   .batch_size = batch,
                                   .num_workers = batch,
                                   .threads = batch,
                                   .eval_max_dets = 500,
                                   .json = true,
                                   .out = out};
        FILE *const to = open_memstream(&text, &len), *const log = tmpfile();
        if (hm_eval_weights(&o, to, batch == 2 ? log : NULL) != HM_OK)
            fail_msg("%s", hm_error_message());
        fclose(to);
        fclose(log);
        if (batch == 1)
            snprintf(first, sizeof first, "%s", text);
        if (batch < 3)
            free(text);
    }
    cJSON *const root = cJSON_Parse(text);
    assert_non_null(root);
    free(text);

    hm_coco coco;
    hm_coco_eval *e;
    hm_coco_scores scores;
    snprintf(gt, sizeof gt, "%s/valid/_annotations.coco.json", data_dir);
    assert_int_equal(hm_coco_read(&coco, gt), HM_OK);
    for (int masks = 0; masks < 2; masks++) {
        hm_coco_eval_options options = hm_coco_eval_defaults(masks, (int32_t)coco.n_categories);
        options.max_dets[2] = 500;
        assert_int_equal(hm_coco_eval_new(&e, &options), HM_OK);
        for (size_t i = 0; i < coco.n_anns; i++) {
            const hm_coco_ann *const a = &coco.anns[i];
            const hm_coco_image *const image = &coco.images[a->image];
            hm_rle mask;
            assert_int_equal(hm_coco_mask(&coco, a, image->height, image->width, &mask), HM_OK);
            assert_int_equal(hm_coco_eval_add_gt(e, image->id, a->category, a->box, a->area, a->iscrowd, &mask), HM_OK);
            hm_rle_free(&mask);
        }
        void *user[] = {e, &coco};
        if (hm_coco_results_read(out, &coco, add_result, user) != HM_OK)
            fail_msg("%s", hm_error_message());
        assert_int_equal(hm_coco_eval_run(e, &scores), HM_OK);
        const cJSON *const part = golden_get(root, masks ? "segm" : "bbox");
        assert_true(golden_number(part, "AP") == scores.stats[HM_COCO_AP]);
        assert_true(golden_number(part, "AP50") == scores.stats[HM_COCO_AP50]);
        assert_true(golden_number(part, "AR100") == scores.stats[HM_COCO_AR_100]);
        assert_true(golden_number(part, "AR1") == scores.stats[HM_COCO_AR_1]);
        if (masks == 0)
            assert_true(golden_number(part, "AR100") > 0);
        hm_coco_scores_free(&scores);
        hm_coco_eval_free(e);
    }
    cJSON *const again = cJSON_Parse(first);
    assert_true(fabs(golden_number(golden_get(again, "bbox"), "AP") - golden_number(golden_get(root, "bbox"), "AP")) <
                1e-3);
    cJSON_Delete(again);
    cJSON_Delete(root);
    hm_coco_free(&coco);
}

static void evaluation_faults(void **state) {
    (void)state;
    hm_eval_options o = {
        .dataset_dir = data_dir, .weights = weights, .split = "none", .batch_size = 1, .eval_max_dets = 100};
    assert_int_equal(hm_eval_weights(&o, stdout, NULL), HM_ERR_IO);
    o.split = "valid";
    o.out = "no/such/folder.json";
    assert_int_equal(hm_eval_weights(&o, stdout, NULL), HM_ERR_IO);
    o.out = NULL;
    o.weights = data_dir;
    assert_int_not_equal(hm_eval_weights(&o, stdout, NULL), HM_OK);
    o.weights = NULL;
    assert_int_equal(hm_eval_weights(&o, stdout, NULL), HM_ERR_ARG);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prediction_end_to_end),           cmocka_unit_test(a_bad_image_keeps_what_was_finished),
        cmocka_unit_test(wrong_arguments_are_refused),     cmocka_unit_test(images_are_never_replaced),
        cmocka_unit_test(evaluation_agrees_with_its_file), cmocka_unit_test(evaluation_faults),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
