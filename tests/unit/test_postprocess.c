/* test_postprocess.c: detections and masks against upstream's (golden image/), plus sizes and numbers that models
 * should not produce. */
#include "golden_json.h"

#include <string.h>

#include "base/rng.h"
#include "eval/postprocess.h"
#include "io/safetensors.h"

static hm_safetensors *golden;

static int open_golden(void **state) {
    (void)state;
    return hm_safetensors_open(HM_GOLDEN_DIR "/image/image.safetensors", &golden) != HM_OK;
}

static int close_golden(void **state) {
    (void)state;
    hm_safetensors_close(golden);
    return 0;
}

/* [name, offset, scale, note]: the golden files' fill rule. */
static float *make_fill(const cJSON *fill, uint64_t seed, size_t n) {
    float *const x = malloc(n * sizeof *x);
    const uint64_t key = hm_rng_key(seed, cJSON_GetArrayItem(fill, 0)->valuestring);
    const float offset = (float)cJSON_GetArrayItem(fill, 1)->valuedouble;
    const float scale = (float)cJSON_GetArrayItem(fill, 2)->valuedouble;
    const cJSON *const note = cJSON_GetArrayItem(fill, 3);
    for (size_t i = 0; i < n; i++) {
        x[i] = scale * (2 * hm_rng_uniform(key, i) - 1) + offset;
        if (note != NULL && note->valuestring[0] != '\0')
            x[i] = rintf(x[i]);
    }
    return x;
}

static const hm_safetensor *find(const char *name, int image, const char *what) {
    char full[128];
    snprintf(full, sizeof full, "post.%s.%d.%s", name, image, what);
    const hm_safetensor *const t = hm_safetensors_find(golden, full);
    if (t == NULL)
        fail_msg("no tensor %s", full);
    return t;
}

static float float_at(const hm_safetensor *t, size_t i) {
    float x;
    memcpy(&x, (const char *)t->data + i * sizeof x, sizeof x);
    return x;
}

static void check_mask(const hm_rle *mask, const uint8_t *bits, const char *name, size_t i) {
    const size_t n = (size_t)mask->h * (size_t)mask->w;
    uint8_t *const bytes = malloc(n);
    hm_rle_to_mask(mask, bytes);
    for (size_t k = 0; k < n; k++)
        if (bytes[k] != (bits[k / 8] >> (7 - k % 8) & 1))
            fail_msg("%s: mask %zu differs at pixel %zu", name, i, k);
    free(bytes);
}

static void check_image(const char *name, int image, const hm_detections *d, bool masks) {
    const hm_safetensor *const scores = find(name, image, "scores"), *const labels = find(name, image, "labels");
    const hm_safetensor *const boxes = find(name, image, "boxes");
    const hm_safetensor *const bits = masks ? find(name, image, "masks_bits") : NULL;
    assert_int_equal(d->n, scores->shape[0]);
    for (size_t i = 0; i < d->n; i++) {
        int64_t label;
        memcpy(&label, (const char *)labels->data + i * sizeof label, sizeof label);
        if (d->items[i].label != label)
            fail_msg("%s image %d: label %zu is %d instead of %lld", name, image, i, (int)d->items[i].label,
                     (long long)label);
        assert_true(fabsf(d->items[i].score - float_at(scores, i)) <= 1.2e-7f);
        for (size_t k = 0; k < 4; k++)
            assert_true(fabsf(d->items[i].box[k] - float_at(boxes, 4 * i + k)) <=
                        1e-6f * (1 + float_at(boxes, 4 * i + k)));
        if (masks)
            check_mask(&d->items[i].mask, (const uint8_t *)bits->data + i * (size_t)bits->shape[1], name, i);
    }
}

static void check_case(const cJSON *entry, uint64_t seed) {
    const char *const name = golden_get(entry, "case")->valuestring;
    const cJSON *const fills = golden_get(entry, "fills"), *const mask_hw = golden_get(entry, "mask_hw");
    const cJSON *const threshold = golden_get(entry, "score_threshold"), *size;
    const bool masks = !cJSON_IsNull(mask_hw), upsample = cJSON_IsTrue(golden_get(entry, "upsample"));
    const int32_t B = (int32_t)golden_number(entry, "batch");
    hm_raw_outputs raw = {.queries = (int32_t)golden_number(entry, "queries"),
                          .classes = (int32_t)golden_number(entry, "classes")};
    if (masks) {
        raw.mask_h = cJSON_GetArrayItem(mask_hw, 0)->valueint;
        raw.mask_w = cJSON_GetArrayItem(mask_hw, 1)->valueint;
    }
    const size_t Q = (size_t)raw.queries, C = (size_t)raw.classes, P = (size_t)raw.mask_h * (size_t)raw.mask_w;
    float *const logits = make_fill(golden_get(fills, "logits"), seed, (size_t)B * Q * C);
    float *const boxes = make_fill(golden_get(fills, "boxes"), seed, (size_t)B * Q * 4);
    float *const mask_logits = masks ? make_fill(golden_get(fills, "masks"), seed, (size_t)B * Q * P) : NULL;
    int image = 0;
    cJSON_ArrayForEach(size, golden_get(entry, "target_sizes_hw")) {
        hm_detections d;
        const hm_post_options o = {.num_select = (int32_t)golden_number(entry, "num_select"),
                                   .threshold = cJSON_IsNull(threshold) ? -1 : threshold->valuedouble,
                                   .h = cJSON_GetArrayItem(size, 0)->valueint,
                                   .w = cJSON_GetArrayItem(size, 1)->valueint,
                                   .threads = 2};
        raw.logits = logits + (size_t)image * Q * C;
        raw.boxes = boxes + (size_t)image * Q * 4;
        raw.masks = masks && upsample ? mask_logits + (size_t)image * Q * P : NULL;
        assert_int_equal(hm_postprocess(&d, &raw, &o), HM_OK);
        if (masks && !upsample) /* upstream then keeps the head's size */
            for (size_t i = 0; i < d.n; i++)
                assert_int_equal(hm_mask_from_logits(&d.items[i].mask, mask_logits + (size_t)d.items[i].query * P,
                                                     raw.mask_h, raw.mask_w, raw.mask_h, raw.mask_w),
                                 HM_OK);
        check_image(name, image++, &d, masks);
        hm_detections_free(&d);
    }
    assert_int_equal(image, B);
    free(logits);
    free(boxes);
    free(mask_logits);
}

static void matches_upstream(void **state) {
    (void)state;
    cJSON *const root = golden_read("image/image.json");
    const cJSON *entry;
    int n = 0;
    cJSON_ArrayForEach(entry, golden_get(root, "postprocess")) {
        if (cJSON_GetObjectItem(entry, "fills") == NULL)
            continue;
        check_case(entry, (uint64_t)golden_number(root, "seed"));
        n++;
    }
    assert_int_equal(n, 7);
    cJSON_Delete(root);
}

/* Every pixel against the plain formula, for sizes up, down, odd and of one pixel. */
static void masks_of_any_size(void **state) {
    (void)state;
    static const int32_t sizes[][4] = {{1, 1, 1, 1}, {1, 1, 9, 5},  {7, 5, 1, 1},   {9, 13, 4, 3},
                                       {8, 8, 8, 8}, {5, 3, 61, 2}, {12, 1, 7, 30}, {26, 26, 97, 131}};
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        const int32_t mh = sizes[s][0], mw = sizes[s][1], h = sizes[s][2], w = sizes[s][3];
        float *const m = malloc((size_t)mh * (size_t)mw * sizeof *m);
        uint8_t *const bytes = malloc((size_t)h * (size_t)w);
        hm_rle r;
        for (size_t i = 0; i < (size_t)mh * (size_t)mw; i++)
            m[i] = 2 * hm_rng_uniform(hm_rng_key(s, "m"), i) - 1;
        assert_int_equal(hm_mask_from_logits(&r, m, mh, mw, h, w), HM_OK);
        hm_rle_to_mask(&r, bytes);
        for (int32_t y = 0; y < h; y++)
            for (int32_t x = 0; x < w; x++) {
                const double sy = fmax((y + .5) * mh / h - .5, 0), sx = fmax((x + .5) * mw / w - .5, 0);
                const int32_t y0 = (int32_t)sy, x0 = (int32_t)sx, y1 = y0 + 1 < mh ? y0 + 1 : y0;
                const int32_t x1 = x0 + 1 < mw ? x0 + 1 : x0;
                const double fy = sy - y0, fx = sx - x0;
                const double v = (m[y0 * mw + x0] * (1 - fx) + m[y0 * mw + x1] * fx) * (1 - fy) +
                                 (m[y1 * mw + x0] * (1 - fx) + m[y1 * mw + x1] * fx) * fy;
                if (fabs(v) > 1e-5)
                    assert_int_equal(bytes[y * w + x], v > 0);
            }
        hm_rle_free(&r);
        free(m);
        free(bytes);
    }
}

static void thresholds_are_strict(void **state) {
    (void)state;
    const float logits[3] = {0, 0, INFINITY}, boxes[12] = {.5f, .5f, 1, 1, .5f, .5f, -1, 2, 0, 0, 0, 0};
    const hm_raw_outputs raw = {.queries = 3, .classes = 1, .logits = logits, .boxes = boxes};
    hm_post_options o = {.num_select = 9, .threshold = -1, .w = 10, .h = 20, .threads = 1};
    hm_detections d;
    double box[4];
    assert_int_equal(hm_postprocess(&d, &raw, &o), HM_OK);
    assert_int_equal(d.n, 3);
    assert_true(d.items[0].score == 1 && d.items[0].query == 2);
    hm_detection_box(&d.items[1], box);
    assert_true(box[0] == 0 && box[1] == 0 && box[2] == 10 && box[3] == 20);
    hm_detection_box(&d.items[2], box);
    assert_true(box[0] == 5 && box[1] == 0 && box[2] == 0 && box[3] == 20);
    hm_detections_free(&d);
    o.threshold = 0.5;
    assert_int_equal(hm_postprocess(&d, &raw, &o), HM_OK);
    assert_int_equal(d.n, 1);
    hm_detections_free(&d);
    o.threshold = 1;
    assert_int_equal(hm_postprocess(&d, &raw, &o), HM_OK);
    assert_int_equal(d.n, 0);
    hm_detections_free(&d);
}

static void what_is_no_number_is_refused(void **state) {
    (void)state;
    float logits[2] = {0, NAN}, boxes[8] = {0};
    const hm_raw_outputs raw = {.queries = 2, .classes = 1, .logits = logits, .boxes = boxes};
    hm_post_options o = {.num_select = 9, .threshold = -1, .w = 10, .h = 20, .threads = 1};
    hm_detections d;
    assert_int_equal(hm_postprocess(&d, &raw, &o), HM_ERR_FORMAT);
    logits[1] = -INFINITY;
    boxes[6] = INFINITY;
    assert_int_equal(hm_postprocess(&d, &raw, &o), HM_ERR_FORMAT);
    assert_null(d.items);
    boxes[6] = 0;
    o.w = 100000;
    o.h = 100000;
    assert_int_equal(hm_postprocess(&d, &raw, &o), HM_ERR_ARG);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matches_upstream),
        cmocka_unit_test(masks_of_any_size),
        cmocka_unit_test(thresholds_are_strict),
        cmocka_unit_test(what_is_no_number_is_refused),
    };
    return cmocka_run_group_tests(tests, open_golden, close_golden);
}
