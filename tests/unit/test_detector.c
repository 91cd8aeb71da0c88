/* test_detector.c: a detector's results depend on the weights and the image only: not on the batch, its neighbours in
 * it, or threads; and averaged weights in a store of their own give their own results. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "eval/detector.h"
#include "model_fill.h"

enum { W = 131, H = 75, IMAGES = 3 };

static hm_model_config micro;

typedef struct setup {
    hm_store *store;
    hm_detector *d;
} setup;

static setup make(const hm_model_config *c, int32_t batch, int threads, uint64_t seed) {
    setup s = {0};
    const hm_detector_options o = {.batch = batch, .threads = threads};
    assert_int_equal(hm_store_create(&s.store), HM_OK);
    if (hm_detector_new(&s.d, c, s.store, &o) != HM_OK)
        fail_msg("%s", hm_error_message());
    model_fill(s.store, seed);
    return s;
}

static void drop(setup *s) {
    hm_detector_free(s->d);
    hm_store_free(s->store);
}

static void put_image(const setup *s, int32_t row, int image) {
    const hm_detector_options *const o = hm_detector_settings(s->d);
    const size_t n = 3 * (size_t)o->height * (size_t)o->width;
    const uint64_t key = hm_rng_key((uint64_t)image, "image");
    for (size_t i = 0; i < n; i++)
        hm_detector_input(s->d)[(size_t)row * n + i] = 4 * hm_rng_uniform(key, i) - 2;
}

static hm_detections detect(const setup *s, int32_t row) {
    hm_detections found;
    if (hm_detector_detections(s->d, row, W, H, -1, &found) != HM_OK)
        fail_msg("%s", hm_error_message());
    return found;
}

/* The raw outputs of each image alone on one thread. */
static void expect_same_outputs(const setup *s, int32_t row, const setup *alone, int image) {
    put_image(alone, 0, image);
    assert_int_equal(hm_detector_run(alone->d), HM_OK);
    const hm_raw_outputs a = hm_detector_outputs(s->d, row), b = hm_detector_outputs(alone->d, 0);
    for (int32_t i = 0; i < a.queries * a.classes; i++)
        assert_true(fabsf(a.logits[i] - b.logits[i]) <= 2e-5f);
    for (int32_t i = 0; i < a.queries * 4; i++)
        assert_true(fabsf(a.boxes[i] - b.boxes[i]) <= 2e-5f);
    for (int32_t i = 0; i < a.queries * a.mask_h * a.mask_w; i++)
        assert_true(fabsf(a.masks[i] - b.masks[i]) <= 2e-4f);
}

static void batch_and_threads_do_not_matter(void **state) {
    (void)state;
    setup alone = make(&micro, 1, 1, 5);
    for (int32_t batch = 1; batch <= 4; batch += 3)
        for (int threads = 1; threads <= 2; threads++) {
            setup s = make(&micro, batch, threads, 5);
            for (int image = 0; image < IMAGES; image++) {
                const int32_t row = batch == 1 ? 0 : (image + 1) % batch;
                put_image(&s, row, image);
                if (batch == 1) {
                    assert_int_equal(hm_detector_run(s.d), HM_OK);
                    expect_same_outputs(&s, row, &alone, image);
                }
            }
            if (batch > 1) { /* row 0 stays empty */
                assert_int_equal(hm_detector_run(s.d), HM_OK);
                for (int image = 0; image < IMAGES; image++)
                    expect_same_outputs(&s, (image + 1) % batch, &alone, image);
            }
            drop(&s);
        }
    drop(&alone);
}

static void detections_are_in_order(void **state) {
    (void)state;
    setup s = make(&micro, 2, 2, 6);
    put_image(&s, 0, 1);
    put_image(&s, 1, 2);
    assert_int_equal(hm_detector_run(s.d), HM_OK);
    for (int32_t row = 0; row < 2; row++) {
        hm_detections found = detect(&s, row);
        assert_int_equal(found.n, micro.num_select);
        for (size_t i = 0; i < found.n; i++) {
            const hm_detection *const d = &found.items[i];
            assert_true(i == 0 || d->score <= found.items[i - 1].score);
            assert_true(d->label >= 0 && d->label <= micro.num_classes);
            assert_true(d->box[0] >= 0 && d->box[0] <= d->box[2] && d->box[2] <= W);
            assert_true(d->box[1] >= 0 && d->box[1] <= d->box[3] && d->box[3] <= H);
            assert_true(d->mask.h == H && d->mask.w == W);
        }
        hm_detections_free(&found);
    }
    drop(&s);
}

/* Weights are read at each run; a run is repeatable to the bit. */
static void weights_are_looked_up_at_each_run(void **state) {
    (void)state;
    setup s = make(&micro, 1, 2, 7);
    put_image(&s, 0, 1);
    assert_int_equal(hm_detector_run(s.d), HM_OK);
    const hm_raw_outputs raw = hm_detector_outputs(s.d, 0);
    const size_t bytes = (size_t)raw.queries * (size_t)raw.classes * sizeof(float);
    float *const first = malloc(bytes);
    memcpy(first, raw.logits, bytes);
    assert_int_equal(hm_detector_run(s.d), HM_OK);
    assert_memory_equal(first, raw.logits, bytes);
    model_fill(s.store, 8);
    assert_int_equal(hm_detector_run(s.d), HM_OK);
    assert_memory_not_equal(first, raw.logits, bytes);
    model_fill(s.store, 7);
    assert_int_equal(hm_detector_run(s.d), HM_OK);
    assert_memory_equal(first, raw.logits, bytes);
    free(first);
    drop(&s);
}

static void detection_models_have_no_masks(void **state) {
    (void)state;
    hm_model_config c = micro;
    c.segmentation = false;
    setup s = make(&c, 1, 2, 9);
    put_image(&s, 0, 0);
    assert_int_equal(hm_detector_run(s.d), HM_OK);
    assert_null(hm_detector_outputs(s.d, 0).masks);
    hm_detections found = detect(&s, 0);
    assert_true(found.n > 0 && found.items[0].mask.n == 0);
    hm_detections_free(&found);
    drop(&s);
}

static void impossible_settings_are_refused(void **state) {
    (void)state;
    hm_store *store = NULL;
    hm_detector *d;
    assert_int_equal(hm_store_create(&store), HM_OK);
    assert_int_equal(hm_detector_new(&d, &micro, store, &(hm_detector_options){.batch = 0}), HM_ERR_ARG);
    assert_int_equal(hm_detector_new(&d, &micro, store, &(hm_detector_options){.batch = 1, .width = 97}), HM_ERR_ARG);
    assert_null(d);
    hm_store_free(store);
}

static int set_up(void **state) {
    (void)state;
    return hm_model_config_named("seg-micro", &micro) != HM_OK;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batch_and_threads_do_not_matter),   cmocka_unit_test(detections_are_in_order),
        cmocka_unit_test(weights_are_looked_up_at_each_run), cmocka_unit_test(detection_models_have_no_masks),
        cmocka_unit_test(impossible_settings_are_refused),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
