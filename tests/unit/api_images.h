/* api_images.h: a data set's pictures, and weights that find something in them, for tests of predictors. */
#ifndef HM_TEST_API_IMAGES_H
#define HM_TEST_API_IMAGES_H

#include "small_run.h"

#include "data/image.h"
#include "shape_weights.h"

enum { IMAGES = 5 };

static char weights[128];
static hm_dataset images_of;
static hm_image images[IMAGES]; /* of the training split */
static hm_pixels pixels[IMAGES];

static int make_images(const char *name) {
    if (small_data(name, IMAGES, 2) != 0)
        return 1;
    snprintf(weights, sizeof weights, "%s/model.safetensors", root);
    OK(shape_weights(weights, data_dir));
    OK(hm_dataset_open(&images_of, data_dir, "train", NULL));
    for (size_t i = 0; i < IMAGES; i++) {
        char *path;
        OK(hm_dataset_path(&images_of, i, &path));
        OK(hm_image_read(&images[i], path));
        free(path);
        pixels[i] = (hm_pixels){images[i].rgb, images[i].w, images[i].h, 3 * (size_t)images[i].w};
    }
    return 0;
}

static int drop_images(void **state) {
    for (size_t i = 0; i < IMAGES; i++)
        hm_image_free(&images[i]);
    hm_dataset_free(&images_of);
    return drop_data(state);
}

static inline hm_predictor *open_predictor(hm_device_choice device, int32_t batch) {
    hm_predict_options *o;
    hm_predictor *p;
    OK(hm_options_new(HM_COMMAND_PREDICT, &o));
    OK(hm_options_set(HM_COMMAND_PREDICT, o, "weights", weights, NULL));
    o->device = device;
    o->threads = 2;
    OK(hm_predictor_new(&p, o, batch));
    hm_options_free(HM_COMMAND_PREDICT, o);
    return p;
}

static inline char *rle_of(const hm_objects *o, size_t i) {
    size_t bytes;
    OK(hm_objects_rle(o, i, NULL, 0, &bytes));
    char *const text = malloc(bytes);
    OK(hm_objects_rle(o, i, text, bytes, &bytes));
    assert_int_equal(strlen(text) + 1, bytes);
    return text;
}

/* To the last bit. */
static inline void same_objects(const hm_objects *a, const hm_objects *b) {
    assert_int_equal(hm_objects_count(a), hm_objects_count(b));
    for (size_t i = 0; i < hm_objects_count(a); i++) {
        const hm_object *const x = hm_objects_get(a, i), *const y = hm_objects_get(b, i);
        assert_true(x->score == y->score && x->label == y->label && x->class_id == y->class_id);
        assert_memory_equal(x->box, y->box, sizeof x->box);
        char *const u = rle_of(a, i), *const v = rle_of(b, i);
        assert_string_equal(u, v);
        free(u);
        free(v);
    }
}

#endif
