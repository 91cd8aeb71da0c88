/* test_shapes.c: the built-in data set: what is written reads back, agrees with its masks, and repeats. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cjson/cJSON.h>
#include <cmocka.h>

#include "data/coco.h"
#include "data/image.h"
#include "data/shapes.h"
#include "io/atomic.h"

static char folder[] = "/tmp/hm-shapes-XXXXXX", tree[64];
static const hm_shapes_config SMALL = {.counts = {60, 5, 0}, .min_side = 64, .max_side = 80, .seed = 3};

static int make_folder(void **state) {
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    snprintf(tree, sizeof tree, "%s/tree", folder);
    return hm_shapes_write(tree, &SMALL, NULL, NULL) == HM_OK ? 0 : -1;
}

static int remove_folder(void **state) {
    (void)state;
    char command[96];
    snprintf(command, sizeof command, "rm -r '%s'", folder);
    return system(command);
}

/* The parsed annotation file of a split; cJSON_Delete. */
static cJSON *read_split(const char *split) {
    char path[128], *data;
    size_t len;
    snprintf(path, sizeof path, "%s/%s/_annotations.coco.json", tree, split);
    assert_int_equal(hm_file_read(path, 1 << 22, &data, &len), HM_OK);
    cJSON *const json = cJSON_ParseWithLength(data, len);
    assert_non_null(json);
    free(data);
    return json;
}

static double number(const cJSON *object, const char *name) {
    const cJSON *const v = cJSON_GetObjectItemCaseSensitive(object, name);
    assert_true(cJSON_IsNumber(v));
    return v->valuedouble;
}

static const cJSON *member(const cJSON *object, const char *name) {
    const cJSON *const v = cJSON_GetObjectItemCaseSensitive(object, name);
    assert_non_null(v);
    return v;
}

/* Mask of a segmentation of one polygon. */
static void polygon_mask(const cJSON *seg, int32_t h, int32_t w, hm_rle *mask) {
    double xy[2 * HM_SHAPE_MAX_POINTS];
    size_t start[2] = {0};
    const cJSON *v;
    assert_int_equal(cJSON_GetArraySize(seg), 1);
    cJSON_ArrayForEach(v, cJSON_GetArrayItem(seg, 0)) {
        assert_true(v->valuedouble >= 0 && v->valuedouble <= (start[1] % 2 ? h : w));
        xy[start[1]++] = v->valuedouble;
    }
    assert_int_equal(hm_rle_from_polygons(mask, xy, start, 1, h, w), HM_OK);
}

static void rle_mask(const cJSON *seg, int32_t h, int32_t w, hm_rle *mask) {
    const cJSON *const counts = member(seg, "counts"), *v;
    uint32_t runs[2000];
    size_t n = 0;
    assert_int_equal(cJSON_GetArrayItem(member(seg, "size"), 0)->valueint, h);
    assert_int_equal(cJSON_GetArrayItem(member(seg, "size"), 1)->valueint, w);
    if (cJSON_IsString(counts)) {
        const char *const s = counts->valuestring;
        assert_int_equal(hm_rle_from_string(mask, s, strlen(s), h, w), HM_OK);
        return;
    }
    cJSON_ArrayForEach(v, counts) runs[n++] = (uint32_t)v->valuedouble;
    assert_int_equal(hm_rle_from_counts(mask, runs, n, h, w), HM_OK);
}

enum { POLYGON, STRING, COUNTS, KINDS };

static int kind_of(const cJSON *ann) {
    const cJSON *const seg = member(ann, "segmentation");
    if (cJSON_IsArray(seg))
        return POLYGON;
    return cJSON_IsString(member(seg, "counts")) ? STRING : COUNTS;
}

static void check_annotation(const cJSON *ann, const cJSON *image) {
    const int32_t h = (int32_t)number(image, "height"), w = (int32_t)number(image, "width");
    hm_rle mask;
    double box[4];
    if (kind_of(ann) == POLYGON)
        polygon_mask(member(ann, "segmentation"), h, w, &mask);
    else
        rle_mask(member(ann, "segmentation"), h, w, &mask);
    hm_rle_box(&mask, box);
    assert_true((double)hm_rle_area(&mask) == number(ann, "area") && number(ann, "area") >= 1);
    for (int i = 0; i < 4; i++)
        assert_true(cJSON_GetArrayItem(member(ann, "bbox"), i)->valuedouble == box[i]);
    assert_int_equal(number(ann, "iscrowd"), kind_of(ann) == COUNTS);
    hm_rle_free(&mask);
}

static void test_annotations_agree(void **state) {
    (void)state;
    cJSON *const json = read_split("train");
    const cJSON *const images = member(json, "images"), *ann;
    size_t kinds[KINDS] = {0}, of_image[60] = {0}, of_class[4] = {0}, empty = 0, id = 1;
    assert_int_equal(cJSON_GetArraySize(images), 60);
    assert_int_equal(cJSON_GetArraySize(member(json, "categories")), 4);
    cJSON_ArrayForEach(ann, member(json, "annotations")) {
        const int image = (int)number(ann, "image_id"), category = (int)number(ann, "category_id");
        assert_in_range(category, 1, 3);
        assert_true(number(ann, "id") == (double)id++);
        check_annotation(ann, cJSON_GetArrayItem(images, image));
        kinds[kind_of(ann)]++;
        of_image[image]++;
        of_class[category]++;
    }
    for (size_t i = 0; i < 60; i++) {
        assert_in_range(of_image[i], 0, HM_SHAPES_MAX + 1);
        empty += of_image[i] == 0;
    }
    assert_true(kinds[POLYGON] > 20 && kinds[STRING] > 20 && kinds[COUNTS] > 0);
    assert_true(of_class[1] > 20 && of_class[2] > 20 && of_class[3] > 20);
    assert_in_range(empty, 1, 12);
    cJSON_Delete(json);
}

static void test_images_have_the_stated_size(void **state) {
    (void)state;
    cJSON *const json = read_split("train");
    const cJSON *entry;
    size_t png = 0;
    cJSON_ArrayForEach(entry, member(json, "images")) {
        char path[160];
        hm_image image;
        const char *const name = member(entry, "file_name")->valuestring;
        snprintf(path, sizeof path, "%s/train/%s", tree, name);
        assert_int_equal(hm_image_read(&image, path), HM_OK);
        assert_true(image.w == number(entry, "width") && image.h == number(entry, "height"));
        assert_in_range(image.w, 64, 80);
        png += strstr(name, ".png") != NULL;
        hm_image_free(&image);
    }
    assert_in_range(png, 5, 40);
    cJSON_Delete(json);
}

static void test_split_without_images(void **state) {
    (void)state;
    char path[128];
    snprintf(path, sizeof path, "%s/test", tree);
    assert_int_equal(SMALL.counts[2], 0);
    assert_int_equal(access(path, F_OK), -1);
}

/* The annotation reader takes every split and gives back masks of the stated area; one that shall have no pictures is
 * not there. */
static void test_annotation_reader_takes_it(void **state) {
    (void)state;
    static const char *const splits[] = {"train", "valid"};
    for (int i = 0; i < 2; i++) {
        char path[128];
        hm_coco c;
        hm_rle mask;
        snprintf(path, sizeof path, "%s/%s/_annotations.coco.json", tree, splits[i]);
        if (hm_coco_read(&c, path) != HM_OK)
            fail_msg("%s", hm_error_message());
        assert_true(c.n_images == (size_t)SMALL.counts[i] && c.n_anns > 0);
        for (size_t k = 0; k < c.n_anns; k++) {
            const hm_coco_ann *const a = &c.anns[k];
            const hm_coco_image *const image = &c.images[a->image];
            assert_int_equal(hm_coco_mask(&c, a, image->height, image->width, &mask), HM_OK);
            assert_true((double)hm_rle_area(&mask) == a->area && a->has_box);
            hm_rle_free(&mask);
        }
        hm_coco_free(&c);
    }
}

/* Masks of one image never share a pixel. */
static void test_masks_are_disjoint(void **state) {
    (void)state;
    for (int32_t i = 0; i < 20; i++) {
        hm_scene *s;
        uint64_t sum = 0;
        hm_rle masks[HM_SHAPES_MAX + 1], all;
        assert_int_equal(hm_scene_make(&s, &SMALL, "train", i), HM_OK);
        for (size_t k = 0; k < s->n; k++) {
            masks[k] = s->shapes[k].visible;
            sum += hm_rle_area(&masks[k]);
        }
        if (s->n > 0) {
            assert_int_equal(hm_rle_merge(&all, masks, s->n, false), HM_OK);
            assert_true(hm_rle_area(&all) == sum);
            hm_rle_free(&all);
        }
        hm_scene_free(s);
    }
    hm_scene_free(NULL);
}

/* The middle of a free shape without outline shows its colour, up to noise. */
static void test_painting_follows_the_mask(void **state) {
    (void)state;
    size_t compared = 0;
    for (int32_t i = 0; i < 20; i++) {
        hm_scene *s;
        uint8_t *rgb;
        assert_int_equal(hm_scene_make(&s, &SMALL, "train", i), HM_OK);
        assert_int_equal(hm_scene_paint(s, &SMALL, "train", i, &rgb), HM_OK);
        for (size_t k = 0; k < s->n; k++) {
            const hm_scene_shape *const f = &s->shapes[k];
            double box[4];
            hm_rle_box(&f->visible, box);
            if (f->crowd || f->occluded || f->label == 1)
                continue;
            const size_t at = 3 * ((size_t)(box[1] + box[3] / 2) * (size_t)s->w + (size_t)(box[0] + box[2] / 2));
            for (int c = 0; c < 3; c++) {
                const double lo = 255 * fmin(f->rgb[c], f->rgb_end[c]), hi = 255 * fmax(f->rgb[c], f->rgb_end[c]);
                assert_true(rgb[at + (size_t)c] >= lo - 40 && rgb[at + (size_t)c] <= hi + 40);
            }
            compared++;
        }
        free(rgb);
        hm_scene_free(s);
    }
    assert_true(compared > 5);
}

static void expect_same_file(const char *a, const char *b, const char *name, bool same) {
    char path[2][192], *data[2];
    size_t len[2];
    snprintf(path[0], sizeof path[0], "%s/%s", a, name);
    snprintf(path[1], sizeof path[1], "%s/%s", b, name);
    for (int i = 0; i < 2; i++)
        assert_int_equal(hm_file_read(path[i], 1 << 22, &data[i], &len[i]), HM_OK);
    assert_int_equal(len[0] == len[1] && memcmp(data[0], data[1], len[0]) == 0, same);
    free(data[0]);
    free(data[1]);
}

static void count_ticks(void *user, int64_t done, int64_t total) {
    int64_t *const last = user;
    assert_true(done == *last + 1 && done <= total && total == 5);
    *last = done;
}

static void test_same_options_same_bytes(void **state) {
    (void)state;
    char again[80], other[80];
    int64_t ticks = 0;
    hm_shapes_config o = SMALL;
    o.counts[0] = 0;
    snprintf(again, sizeof again, "%s/again", folder);
    snprintf(other, sizeof other, "%s/other", folder);
    assert_int_equal(hm_shapes_write(again, &o, count_ticks, &ticks), HM_OK);
    assert_int_equal(ticks, 5);
    o.seed++;
    assert_int_equal(hm_shapes_write(other, &o, NULL, NULL), HM_OK);
    cJSON *const json = read_split("valid");
    const cJSON *entry;
    cJSON_ArrayForEach(entry, member(json, "images")) {
        char name[64];
        snprintf(name, sizeof name, "valid/%s", member(entry, "file_name")->valuestring);
        expect_same_file(tree, again, name, true);
    }
    cJSON_Delete(json);
    expect_same_file(tree, again, "valid/_annotations.coco.json", true);
    expect_same_file(tree, other, "valid/_annotations.coco.json", false);
}

/* A data set of other kinds: their names, labels from 0 on, and their corners. */
static void test_other_classes(void **state) {
    (void)state;
    hm_shapes_config o = SMALL;
    int64_t seen[3] = {0};
    assert_int_equal(hm_shapes_set_classes(&o, "star,cross,pentagon"), HM_OK);
    assert_int_equal(hm_shapes_classes(&o), 3);
    assert_string_equal(hm_shape_names[hm_shapes_kind(&o, 1)], "cross");
    for (int32_t i = 0; i < 30; i++) {
        hm_scene *s;
        assert_int_equal(hm_scene_make(&s, &o, "train", i), HM_OK);
        for (size_t k = 0; k < s->n; k++) {
            assert_int_equal(s->shapes[k].kind, hm_shapes_kind(&o, s->shapes[k].label));
            const size_t corners = (s->shapes[k].start[1] - s->shapes[k].start[0]) / 2;
            const size_t expected = (const size_t[]){10, 12, 5}[s->shapes[k].label];
            seen[s->shapes[k].label] += corners == expected; /* others are cut by the border */
        }
        hm_scene_free(s);
    }
    assert_true(seen[0] > 5 && seen[1] > 5 && seen[2] > 5);
    assert_int_equal(hm_shapes_set_classes(&o, "star,heart"), HM_ERR_ARG);
    assert_non_null(strstr(hm_error_message(), "\"heart\""));
    assert_int_equal(hm_shapes_set_classes(&o, "star,star"), HM_ERR_ARG);
    assert_int_equal(hm_shapes_set_classes(&o, ""), HM_ERR_ARG);
}

static void test_refusals(void **state) {
    (void)state;
    hm_shapes_config o = SMALL;
    char path[96];
    assert_int_equal(hm_shapes_write(tree, &SMALL, NULL, NULL), HM_ERR_ARG);
    assert_non_null(strstr(hm_error_message(), "not empty"));
    snprintf(path, sizeof path, "%s/valid/_annotations.coco.json", tree);
    assert_int_equal(hm_shapes_write(path, &SMALL, NULL, NULL), HM_ERR_IO);
    snprintf(path, sizeof path, "%s/new", folder);
    o.counts[1] = -1;
    assert_int_equal(hm_shapes_write(path, &o, NULL, NULL), HM_ERR_ARG);
    o = SMALL;
    o.min_side = 90;
    assert_int_equal(hm_shapes_write(path, &o, NULL, NULL), HM_ERR_ARG);
    o.min_side = 8;
    assert_int_equal(hm_shapes_write(path, &o, NULL, NULL), HM_ERR_ARG);
    assert_int_equal(access(path, F_OK), -1);
}

/* An empty folder may be there already. */
static void test_empty_folder_is_used(void **state) {
    (void)state;
    char path[96];
    const hm_shapes_config o = {.counts = {1, 0, 0}, .min_side = 48, .max_side = 48};
    snprintf(path, sizeof path, "%s/empty", folder);
    assert_int_equal(mkdir(path, 0777), 0);
    assert_int_equal(hm_shapes_write(path, &o, NULL, NULL), HM_OK);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_annotations_agree),
        cmocka_unit_test(test_images_have_the_stated_size),
        cmocka_unit_test(test_split_without_images),
        cmocka_unit_test(test_annotation_reader_takes_it),
        cmocka_unit_test(test_masks_are_disjoint),
        cmocka_unit_test(test_painting_follows_the_mask),
        cmocka_unit_test(test_same_options_same_bytes),
        cmocka_unit_test(test_other_classes),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_empty_folder_is_used),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
