/* test_picture.c: objects drawn on images, grids, text from outside. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "data/image.h"
#include "data/shapes.h"
#include "eval/picture.h"

enum { W = 40, H = 30 };

static const uint8_t *pixel(const hm_picture *p, int32_t x, int32_t y) {
    return p->rgb + 3 * ((size_t)y * (size_t)p->w + (size_t)x);
}

static void test_mask_and_box(void **state) {
    (void)state;
    uint8_t grey[W * H * 3];
    double colour[3];
    hm_rle mask;
    hm_picture p;
    memset(grey, 128, sizeof grey);
    assert_int_equal(hm_rle_from_box(&mask, (double[]){10, 8, 20, 15}, H, W), HM_OK);
    const hm_picture_object o = {.box = {10, 8, 20, 15}, .mask = &mask, .label = 2, .score = NAN};
    assert_int_equal(hm_picture_draw(&p, grey, W, H, &o, 1, 1), HM_OK);
    assert_int_equal(p.w, W);
    assert_int_equal(p.h, H);
    hm_canvas_colour(2, colour);
    for (int c = 0; c < 3; c++) {
        const double mixed = 128 + (255 * colour[c] - 128) * 100 / 255;
        assert_int_equal(pixel(&p, 2, 2)[c], 128);
        assert_true(fabs(pixel(&p, 20, 15)[c] - mixed) <= 3);
        assert_true(fabs(pixel(&p, 20, 8)[c] - 255 * colour[c]) < 45); /* the box's line */
    }
    hm_picture_free(&p);
    hm_picture_free(NULL);
    hm_rle_free(&mask);
}

static void test_zoom_and_labels(void **state) {
    (void)state;
    uint8_t grey[W * H * 3] = {0};
    hm_picture p;
    const hm_picture_object objects[] = {
        {.box = {30, 0, 30, 40},
         .name = "caf\xc3\xa9 \xff\xc0\x80 a name that is far longer than the image is wide, "
                 "and than the room for it is, so that it must be cut somewhere",
         .score = 0.5},
        {.box = {-5, 20, 1e9, NAN}, .name = "lost", .score = NAN},
    };
    assert_int_equal(hm_picture_draw(&p, grey, W, H, objects, 2, 0), HM_OK);
    assert_int_equal(p.w, 8 * W);
    hm_picture_free(&p);
    assert_int_equal(hm_picture_draw(&p, grey, W, H, NULL, 0, 3), HM_OK);
    assert_int_equal(p.h, 3 * H);
    hm_picture_free(&p);
}

static void test_refusals(void **state) {
    (void)state;
    uint8_t grey[W * H * 3] = {0};
    hm_rle mask;
    hm_picture p;
    assert_int_equal(hm_rle_from_box(&mask, (double[]){1, 1, 2, 2}, H, W + 1), HM_OK);
    const hm_picture_object o = {.mask = &mask};
    assert_int_equal(hm_picture_draw(&p, grey, W, H, &o, 1, 1), HM_ERR_ARG);
    assert_int_equal(hm_picture_draw(&p, grey, 0, H, NULL, 0, 0), HM_ERR_UNSUPPORTED);
    assert_int_equal(hm_picture_draw(&p, grey, 40000, H, NULL, 0, 0), HM_ERR_UNSUPPORTED);
    assert_int_equal(hm_picture_grid(&p, NULL, 0, 1), HM_ERR_ARG);
    assert_null(p.rgb);
    hm_rle_free(&mask);
}

static void test_grid(void **state) {
    (void)state;
    uint8_t a[6 * 4 * 3], b[2 * 8 * 3];
    memset(a, 10, sizeof a);
    memset(b, 200, sizeof b);
    const hm_picture pa = {.w = 6, .h = 4, .rgb = a}, pb = {.w = 2, .h = 8, .rgb = b};
    const hm_picture_tile tiles[3] = {{.picture = &pa}, {.picture = &pb}, {.picture = &pa}};
    hm_picture p;
    assert_int_equal(hm_picture_grid(&p, tiles, 3, 2), HM_OK);
    assert_int_equal(p.w, 2 * (6 + 12) + 12);
    assert_int_equal(p.h, 2 * (8 + 12) + 12);
    assert_int_equal(pixel(&p, 0, 0)[0], 255);
    assert_int_equal(pixel(&p, 12, 14)[1], 10);  /* first, centred in its cell */
    assert_int_equal(pixel(&p, 33, 12)[2], 200); /* second */
    assert_int_equal(pixel(&p, 33, 36)[0], 255); /* no fourth */
    hm_picture_free(&p);
}

static void test_written_png_reads_back(void **state) {
    (void)state;
    const hm_shapes_config o = hm_shapes_defaults();
    char path[] = "/tmp/hm-picture-XXXXXX";
    hm_scene *s;
    uint8_t *rgb;
    hm_picture p;
    hm_image back;
    hm_picture_object objects[HM_SHAPES_MAX + 1];
    close(mkstemp(path));
    assert_int_equal(hm_scene_make(&s, &o, "valid", 7), HM_OK);
    assert_int_equal(hm_scene_paint(s, &o, "valid", 7, &rgb), HM_OK);
    for (size_t i = 0; i < s->n; i++) {
        const hm_scene_shape *const shape = &s->shapes[i];
        objects[i] = (hm_picture_object){
            .mask = &shape->visible, .label = shape->label, .name = hm_shape_names[shape->label], .score = 0.75};
        hm_rle_box(&shape->visible, objects[i].box);
    }
    assert_int_equal(hm_picture_draw(&p, rgb, s->w, s->h, objects, s->n, 0), HM_OK);
    assert_int_equal(hm_picture_write_png(&p, path), HM_OK);
    assert_int_equal(hm_image_read(&back, path), HM_OK);
    assert_int_equal(back.w, p.w);
    assert_memory_equal(back.rgb, p.rgb, 3 * (size_t)p.w * (size_t)p.h);
    hm_image_free(&back);
    hm_picture_free(&p);
    free(rgb);
    hm_scene_free(s);
    unlink(path);
}

static void test_text(void **state) {
    (void)state;
    char to[8];
    hm_canvas_text(to, sizeof to, "\xe2\x82\xac\xed\xa0\x80z");
    assert_string_equal(to, "\xe2\x82\xac???z");
    hm_canvas_text(to, sizeof to, "abcdef\xc3\xa9");
    assert_string_equal(to, "abcdef");
    hm_canvas_text(to, sizeof to, "\xf0\x9f");
    assert_string_equal(to, "??");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mask_and_box),
        cmocka_unit_test(test_zoom_and_labels),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_grid),
        cmocka_unit_test(test_written_png_reads_back),
        cmocka_unit_test(test_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
