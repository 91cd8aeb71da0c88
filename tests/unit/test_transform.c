/* test_transform.c: network inputs against upstream's predict() (golden/image), the data sets' resize against hashes of
 * Pillow's, and the augmentation's geometry. */
#include "golden_json.h"

#include <string.h>

#include "data/transform.h"
#include "data/view.h"
#include "io/safetensors.h"

#define IMAGES HM_GOLDEN_DIR "/image/"

static hm_safetensors *golden;

static int open_golden(void **state) {
    (void)state;
    return hm_safetensors_open(IMAGES "image.safetensors", &golden) != HM_OK;
}

static int close_golden(void **state) {
    (void)state;
    hm_safetensors_close(golden);
    return 0;
}

static void read_image(hm_image *m, const char *file) {
    char path[512];
    snprintf(path, sizeof path, IMAGES "%s", file);
    if (hm_image_read(m, path) != HM_OK)
        fail_msg("%s", hm_error_message());
}

static void check_input(const cJSON *entry) {
    const int32_t side = (int32_t)golden_number(entry, "target");
    const cJSON *const tensor = golden_get(entry, "tensor"), *const summary = golden_get(entry, "summary");
    const char *const file = golden_get(entry, "file")->valuestring;
    const size_t n = (size_t)side * (size_t)side * 3;
    float *const x = malloc(n * sizeof *x);
    hm_image m;
    double sum = 0;
    read_image(&m, file);
    assert_int_equal(hm_transform_predict(x, &m, side, side), HM_OK);
    for (size_t i = 0; i < n; i++)
        sum += x[i];
    if (!(fabs(sum - cJSON_GetArrayItem(summary, 0)->valuedouble) < 2e-3))
        fail_msg("%s at %d: sum %.9g", file, (int)side, sum);
    for (int i = 0; i < 16; i++)
        assert_true(fabs(x[i] - cJSON_GetArrayItem(summary, 3 + i)->valuedouble) < 2e-6);
    if (cJSON_IsString(tensor)) {
        const hm_safetensor *const t = hm_safetensors_find(golden, tensor->valuestring);
        assert_non_null(t);
        assert_int_equal(t->bytes, n * sizeof *x);
        for (size_t i = 0; i < n; i++) {
            float expected;
            memcpy(&expected, (const char *)t->data + i * sizeof expected, sizeof expected);
            if (!(fabsf(x[i] - expected) < 1e-6f))
                fail_msg("%s at %zu: %.9g instead of %.9g", file, i, x[i], expected);
        }
    }
    free(x);
    hm_image_free(&m);
}

static void inputs_match_predict(void **state) {
    (void)state;
    cJSON *const root = golden_read("image/image.json");
    const cJSON *entry;
    int n = 0;
    cJSON_ArrayForEach(entry, golden_get(root, "preprocess")) {
        check_input(entry);
        n++;
    }
    assert_true(n >= 20);
    cJSON_Delete(root);
}

/* FNV-1a of Pillow 13's Image.resize((w, h), BILINEAR) of the golden files. */
static void resize_matches_pillow(void **state) {
    (void)state;
    static const struct {
        const char *file;
        int32_t w, h;
        uint64_t hash;
    } cases[] = {
        {"large_300x200.png", 48, 48, 0xbbf6a9cad2549662ull}, {"large_300x200.png", 120, 77, 0xd191d4ff688d5212ull},
        {"rgb_31x77.png", 31, 40, 0xe87c760af5c8e533ull},     {"rgb_31x77.png", 100, 77, 0x00facdc9d05b3ae4ull},
        {"rgb_1x1.png", 5, 3, 0x7c43906daac39430ull},         {"rgb_60x40.png", 312, 312, 0xa81bcffe5fc0c546ull},
        {"large_300x200.png", 1, 1, 0x212c38192567d50eull},   {"jpeg_q75_420.jpg", 48, 48, 0x33199fd26616353eull},
        {"rgb_31x77.png", 48, 48, 0xa58561626c422625ull},     {"rgb_31x77.png", 25, 40, 0xf3d22adbe4d9c659ull},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        hm_image in, out;
        uint64_t h = 0xCBF29CE484222325ull;
        read_image(&in, cases[i].file);
        assert_int_equal(hm_transform_resize(&out, &in, cases[i].w, cases[i].h), HM_OK);
        assert_int_equal(out.w, cases[i].w);
        assert_int_equal(out.h, cases[i].h);
        for (size_t k = 0; k < (size_t)out.w * (size_t)out.h * 3; k++)
            h = (h ^ out.rgb[k]) * 0x100000001B3ull;
        if (h != cases[i].hash)
            fail_msg("%s to %d x %d differs", cases[i].file, (int)out.w, (int)out.h);
        hm_image_free(&in);
        hm_image_free(&out);
    }
}

static void crop_and_mirror(void **state) {
    (void)state;
    uint8_t rgb[4 * 3 * 3];
    float x[3 * 2 * 2];
    for (int i = 0; i < 36; i++)
        rgb[i] = (uint8_t)i;
    const hm_image in = {4, 3, rgb};
    hm_image cut;
    assert_int_equal(hm_transform_crop(&cut, &in, 3, 2, 2, 1), HM_ERR_ARG);
    assert_int_equal(hm_transform_crop(&cut, &in, 1, 1, 2, 2), HM_OK);
    hm_transform_normalise(x, &cut, true);
    const int red[4] = {18, 15, 30, 27};
    for (int i = 0; i < 4; i++)
        assert_true(fabsf(x[i] - (red[i] / 255.0f - 0.485f) / 0.229f) < 1e-6f);
    hm_image_free(&cut);
}

static void expect_box(const hm_view *v, const double box[4], const float expected[4]) {
    float out[4];
    assert_true(hm_view_box(v, box, out));
    for (int i = 0; i < 4; i++)
        assert_true(fabsf(out[i] - expected[i]) < 1e-6f);
}

static void boxes_follow_the_view(void **state) {
    (void)state;
    hm_view v = hm_view_plain(100, 50, 312, 312);
    float out[4];
    expect_box(&v, (double[]){10, 5, 20, 10}, (float[]){0.2f, 0.2f, 0.2f, 0.2f});
    expect_box(&v, (double[]){-10, 40, 20, 100}, (float[]){0.05f, 0.9f, 0.1f, 0.2f});
    v.flip = true;
    expect_box(&v, (double[]){10, 5, 20, 10}, (float[]){0.8f, 0.2f, 0.2f, 0.2f});
    v = (hm_view){100, 50, 200, 100, 100, 0, 100, 100, 312, 312, false};
    expect_box(&v, (double[]){40, 0, 20, 25}, (float[]){0.1f, 0.25f, 0.2f, 0.5f});
    assert_false(hm_view_box(&v, (double[]){0, 0, 50, 50}, out)); /* left of the cut */
    assert_false(hm_view_box(&v, (double[]){60, 10, 0, 5}, out));
    assert_false(hm_view_box(&v, (double[]){60, 60, 5, 5}, out)); /* outside the picture */
    assert_false(hm_view_box(&v, (double[]){NAN, 0, 5, 5}, out));
}

static void masks_follow_the_view(void **state) {
    (void)state;
    int32_t cols[8], rows[3];
    hm_view v = hm_view_plain(4, 6, 8, 3);
    hm_view_nearest(&v, cols, rows);
    assert_memory_equal(cols, ((int32_t[]){0, 0, 1, 1, 2, 2, 3, 3}), sizeof cols);
    assert_memory_equal(rows, ((int32_t[]){0, 2, 4}), sizeof rows);
    v = (hm_view){4, 6, 8, 12, 2, 3, 4, 6, 8, 3, true};
    hm_view_nearest(&v, cols, rows);
    assert_memory_equal(cols, ((int32_t[]){2, 2, 2, 2, 1, 1, 1, 1}), sizeof cols);
    assert_memory_equal(rows, ((int32_t[]){1, 2, 3}), sizeof rows);
}

static void random_views_stay_inside(void **state) {
    (void)state;
    const int32_t sizes[][2] = {{640, 480}, {1, 1}, {1, 3000}, {3000, 1}, {200, 5000}, {384, 384}};
    int flipped = 0, cut = 0;
    for (uint64_t k = 0; k < 6000; k++) {
        const int32_t w = sizes[k % 6][0], h = sizes[k % 6][1];
        const hm_view v = hm_view_random((hm_augment){true, true}, k * 0x9E3779B97F4A7C15ull, w, h, 312, 312);
        assert_true(v.left >= 0 && v.top >= 0 && v.cut_w >= 1 && v.cut_h >= 1);
        assert_true(v.left + v.cut_w <= v.mid_w && v.top + v.cut_h <= v.mid_h);
        flipped += v.flip;
        cut += v.mid_w != w || v.mid_h != h || v.cut_w != w || v.cut_h != h;
    }
    assert_in_range(flipped, 2800, 3200);
    assert_in_range(cut, 2700, 3200);
    const hm_view plain = hm_view_random((hm_augment){false, false}, 5, 9, 7, 3, 3);
    assert_true(!plain.flip && plain.mid_w == 9 && plain.cut_h == 7);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inputs_match_predict),  cmocka_unit_test(resize_matches_pillow),
        cmocka_unit_test(crop_and_mirror),       cmocka_unit_test(boxes_follow_the_view),
        cmocka_unit_test(masks_follow_the_view), cmocka_unit_test(random_views_stay_inside),
    };
    return cmocka_run_group_tests(tests, open_golden, close_golden);
}
