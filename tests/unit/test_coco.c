/* test_coco.c: the annotation reader: every form of segmentation, fields and lists in any order, the golden sets
 * against cJSON, and every fault a sentence that names the file and the item. Files cut at every byte are refused. */
#include "golden_json.h"

#include <string.h>
#include <unistd.h>

#include "data/coco.h"
#include "io/atomic.h"

/* Two images of 6 x 4 and 5 x 5 (width x height) and one annotation of every form; neither lists nor fields are in the
 * usual order, and much is there that nobody reads. */
static const char whole[] =
    "{\"info\":{\"year\":2020,\"x\":[1,[2,{\"id\":3}],null,true]},\"annotations\":["
    "{\"segmentation\":[[1,1,4,1,4,3,1,3],[5,0,6,0,6,4,5,4]],\"id\":10,\"bbox\":[1,0,5,4],\"area\":6.5,\"iscrowd\":0,"
    "\"category_id\":3,\"image_id\":2},"
    "{\"id\":11,\"image_id\":1,\"category_id\":-7,\"iscrowd\":1,\"segmentation\":{\"counts\":[5,15,5],\"size\":[5,5]}},"
    "{\"id\":12,\"image_id\":2,\"category_id\":3,\"iscrowd\":false,\"bbox\":[0.5,1e0,2,-0],\"area\":null,"
    "\"segmentation\":{\"size\":[4,6],\"counts\":\"94;\",\"extra\":{\"size\":[1]}},\"attributes\":{\"id\":[1,{}]}},"
    "{\"bbox\":[0,0,1,1],\"image_id\":2.0,\"category_id\":-7,\"id\":9007199254740993,\"segmentation\":[],"
    "\"id_extra\":1}],"
    "\"categories\":[{\"name\":\"h\\u00fclle \\ud83d\\ude00\",\"id\":3,\"supercategory\":\"\\/top\"},"
    "{\"id\":-7,\"name\":\"猫\",\"supercategory\":null,\"keypoints\":[\"nose\"]}],"
    "\"images\":[{\"id\":2,\"file_name\":\"s\\u00fcd/ä b.jpg\",\"height\":4,\"width\":6,\"license\":1,\"date\":\"x\"},"
    "{\"height\":5.0,\"width\":5,\"id\":1,\"file_name\":\"b.png\"}]}";

static void expect_mask(const hm_coco *c, size_t ann, const char *rows) {
    const hm_coco_ann *const a = &c->anns[ann];
    const hm_coco_image *const image = &c->images[a->image];
    uint8_t mask[64];
    hm_rle rle;
    if (hm_coco_mask(c, a, image->height, image->width, &rle) != HM_OK)
        fail_msg("%s", hm_error_message());
    hm_rle_to_mask(&rle, mask);
    for (size_t i = 0; i < strlen(rows); i++)
        assert_int_equal(mask[i], rows[i] == '#');
    hm_rle_free(&rle);
}

static void expect_strings(const hm_coco *c) {
    assert_string_equal(hm_coco_text(c, c->images[0].file_name), "süd/ä b.jpg");
    assert_string_equal(hm_coco_text(c, c->images[1].file_name), "b.png");
    assert_string_equal(hm_coco_text(c, c->categories[0].name), "hülle 😀");
    assert_string_equal(hm_coco_text(c, c->categories[0].supercategory), "/top");
    assert_string_equal(hm_coco_text(c, c->categories[1].name), "猫");
    assert_string_equal(hm_coco_text(c, c->categories[1].supercategory), "");
}

static void expect_annotations(const hm_coco *c) {
    static const int64_t ids[4] = {10, 12, 9007199254740993, 11}; /* by image, file order within one */
    static const int32_t categories[4] = {0, 0, 1, 1};
    static const hm_seg_kind kinds[4] = {HM_SEG_POLYGONS, HM_SEG_RLE_STRING, HM_SEG_NONE, HM_SEG_RLE_COUNTS};
    static const double boxes[4][4] = {{1, 0, 5, 4}, {0.5, 1, 2, 0}, {0, 0, 1, 1}, {0}};
    for (int i = 0; i < 4; i++) {
        const hm_coco_ann *const a = &c->anns[i];
        assert_true(a->id == ids[i]);
        assert_int_equal(a->category, categories[i]);
        assert_int_equal(a->seg.kind, kinds[i]);
        assert_int_equal(a->image, i == 3);
        assert_int_equal(a->iscrowd, i == 3);
        assert_int_equal(a->has_box, i != 3);
        assert_true(i == 0 ? a->area == 6.5 : isnan(a->area));
        for (int k = 0; k < 4; k++)
            assert_true(a->box[k] == boxes[i][k]);
    }
}

static void expect_whole(const hm_coco *c) {
    assert_int_equal(c->n_images, 2);
    assert_int_equal(c->n_categories, 2);
    assert_int_equal(c->n_anns, 4);
    assert_true(c->images[0].id == 2 && c->images[0].width == 6 && c->images[0].height == 4);
    assert_true(c->images[0].first == 0 && c->images[0].n == 3 && c->images[1].first == 3 && c->images[1].n == 1);
    assert_true(c->categories[0].id == 3 && c->categories[1].id == -7);
    expect_strings(c);
    expect_annotations(c);
    expect_mask(c, 0,
                ".....#"
                ".###.#"
                ".###.#"
                ".....#");
    expect_mask(c, 1,
                "...#.."
                "..#..."
                "..#..."
                "..#...");
    expect_mask(c, 2,
                "......"
                "......"
                "......"
                "......");
    expect_mask(c, 3,
                ".###."
                ".###."
                ".###."
                ".###."
                ".###.");
}

static void every_form_is_read(void **state) {
    (void)state;
    hm_coco c;
    hm_rle rle;
    if (hm_coco_read_memory(&c, "whole.json", whole, strlen(whole)) != HM_OK)
        fail_msg("%s", hm_error_message());
    assert_string_equal(c.path, "whole.json");
    expect_whole(&c);
    assert_int_equal(hm_coco_mask(&c, &c.anns[1], 6, 4, &rle), HM_ERR_ARG);
    assert_null(rle.counts);
    hm_coco_free(&c);
    hm_coco_free(&c);
    hm_coco_free(NULL);
}

static void empty_lists_are_read(void **state) {
    (void)state;
    static const char json[] = " {\"images\":[], \"annotations\":[], \"categories\":[]}\n";
    hm_coco c;
    assert_int_equal(hm_coco_read_memory(&c, "x", json, strlen(json)), HM_OK);
    assert_true(c.n_images == 0 && c.n_anns == 0 && c.n_categories == 0);
    hm_coco_free(&c);
}

/* Reads `json`, which must fail with a message that has all of `words` (separated by |) and the file's name. */
static void refuse_bytes(const char *json, size_t len, const char *words) {
    hm_coco c;
    const hm_coco none = {0};
    char copy[256];
    const hm_status st = hm_coco_read_memory(&c, "dir/ann.json", json, len);
    if (st != HM_ERR_FORMAT)
        fail_msg("status %d for %.*s", (int)st, (int)len, json);
    assert_memory_equal(&c, &none, sizeof c);
    assert_non_null(strstr(hm_error_message(), "dir/ann.json"));
    snprintf(copy, sizeof copy, "%s", words);
    for (char *word = strtok(copy, "|"); word != NULL; word = strtok(NULL, "|"))
        if (strstr(hm_error_message(), word) == NULL)
            fail_msg("\"%s\" is not in: %s", word, hm_error_message());
}

static void refuse(const char *json, const char *words) {
    refuse_bytes(json, strlen(json), words);
}

static void files_cut_anywhere_are_refused(void **state) {
    (void)state;
    for (size_t len = 0; len < strlen(whole); len++) {
        char *const cut = malloc(len ? len : 1); /* so that reading past the end shows */
        assert_non_null(cut);
        memcpy(cut, whole, len);
        refuse_bytes(cut, len, len ? "cut short" : "0 bytes");
        free(cut);
    }
}

#define IMAGES     "\"images\":[{\"id\":1,\"file_name\":\"a\",\"width\":6,\"height\":4}]"
#define CATEGORIES "\"categories\":[{\"id\":1,\"name\":\"a\"}]"

/* `fields` in the one annotation, which has the id 17. */
static void refuse_annotation(const char *fields, const char *words) {
    char json[1024];
    const int n = snprintf(json, sizeof json, "{" IMAGES "," CATEGORIES ",\"annotations\":[{\"id\":17,%s}]}", fields);
    assert_true(n > 0 && (size_t)n < sizeof json);
    refuse(json, "annotation 17|byte");
    refuse(json, words);
}

static void bad_annotations_are_named(void **state) {
    (void)state;
    static const char *const faults[][2] = {
        {"\"image_id\":2,\"category_id\":1,\"bbox\":[0,0,1,1]", "no image 2"},
        {"\"image_id\":1,\"category_id\":9,\"bbox\":[0,0,1,1]", "no category 9"},
        {"\"category_id\":1,\"bbox\":[0,0,1,1]", "lacks \"image_id\""},
        {"\"image_id\":null,\"category_id\":1,\"bbox\":[0,0,1,1]", "lacks \"image_id\""},
        {"\"image_id\":1,\"bbox\":[0,0,1,1]", "lacks \"category_id\""},
        {"\"image_id\":1,\"category_id\":1", "neither \"bbox\" nor \"segmentation\""},
        {"\"image_id\":1,\"category_id\":1,\"segmentation\":[]", "neither \"bbox\" nor \"segmentation\""},
        {"\"image_id\":1.5", "\"image_id\" is 1.5|whole"},
        {"\"image_id\":1e30", "\"image_id\" is 1e30|whole"},
        {"\"image_id\":99999999999999999999", "\"image_id\" is 99999999999999999999"},
        {"\"image_id\":\"1\"", "\"image_id\" is a string"},
        {"\"image_id\":[1]", "\"image_id\" is a list"},
        {"\"image_id\":{}", "\"image_id\" is an object"},
        {"\"image_id\":true", "\"image_id\" is true"},
        {"\"image_id\":1,\"image_id\":1", "\"image_id\" twice"},
        {"\"iscrowd\":2", "\"iscrowd\" is 2"},
        {"\"area\":\"3\"", "\"area\" is a string"},
    };
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        refuse_annotation(faults[i][0], faults[i][1]);
}

static void bad_boxes_are_named(void **state) {
    (void)state;
    static const char *const faults[][2] = {
        {"[0,0,1]", "3 of four"},
        {"[]", "0 of four"},
        {"[0,0,1,1,1]", "more than four"},
        {"[0,0,NaN,1]", "NaN"},
        {"[0,0,1,Infinity]", "Infinity"},
        {"[-Infinity,0,1,1]", "Infinity"},
        {"[0,1e999,1,1]", "1e999 is infinite"},
        {"[0,0,1,null]", "\"bbox\" holds null"},
        {"[0,0,1,\"1\"]", "\"bbox\" holds a string"},
        {"[0,0,1,[1]]", "\"bbox\" holds a list"},
        {"[0,0,1,{}]", "\"bbox\" holds an object"},
        {"7", "\"bbox\" is a number"},
        {"[0,0,1,1],\"bbox\":[0,0,1,1]", "\"bbox\" twice"},
        {"[0,0,1,00]", "not JSON"},
    };
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        char fields[128];
        snprintf(fields, sizeof fields, "\"bbox\":%s,\"image_id\":1,\"category_id\":1", faults[i][0]);
        refuse_annotation(fields, faults[i][1]);
    }
}

static void bad_segmentations_are_named(void **state) {
    (void)state;
    static const char *const faults[][2] = {
        {"[[0,0,1,1]]", "polygon 1|2 points"},
        {"[[0,0,1,1,1,0],[1,1]]", "polygon 2|1 point "},
        {"[[]]", "polygon 1|0 points"},
        {"[[0,0,1,1,1,0,3]]", "polygon 1|7 numbers|pair"},
        {"[[0,0,1,1,1,1e7]]", "1e+07|outside"},
        {"[[0,0,1,1,1,-1e999]]", "infinite"},
        {"[[0,0,1,1,NaN,0]]", "NaN"},
        {"[[0,0,1,1,null,0]]", "\"segmentation\" holds null"},
        {"[0,0,1,1,1,0]", "\"segmentation\" holds a number"},
        {"[[[0,0,1,1,1,0]]]", "\"segmentation\" holds a list"},
        {"\"94;\"", "\"segmentation\" is a string"},
        {"{}", "lacks \"size\""},
        {"{\"size\":[4,6]}", "lacks \"counts\""},
        {"{\"counts\":\"94;\"}", "lacks \"size\""},
        {"{\"counts\":\"94;\",\"size\":[4]}", "lacks \"size\""},
        {"{\"counts\":\"94;\",\"size\":[4,6,1]}", "more than two"},
        {"{\"counts\":\"94;\",\"size\":[4,6.5]}", "\"size\" has 6.5"},
        {"{\"counts\":\"94;\",\"size\":[-4,6]}", "\"size\" has -4"},
        {"{\"counts\":\"94;\",\"size\":[4,6],\"size\":[4,6]}", "\"size\" twice"},
        {"{\"counts\":\"94;\",\"counts\":[24],\"size\":[4,6]}", "\"counts\" twice"},
        {"{\"counts\":\"94;\",\"size\":[6,4]}", "size [6, 4]|image 1 has [4, 6]"},
        {"{\"counts\":[9,4,11],\"size\":[2147483647,2147483647]}", "image 1 has [4, 6]"},
        {"{\"counts\":[9,4,10],\"size\":[4,6]}", "fewer pixels than the 24"},
        {"{\"counts\":[9,4,12],\"size\":[4,6]}", "mask anew"},
        {"{\"counts\":[4294967295,25],\"size\":[4,6]}", "mask anew"},
        {"{\"counts\":[],\"size\":[4,6]}", "lacks \"counts\""},
        {"{\"counts\":\"\",\"size\":[4,6]}", "lacks \"counts\""},
        {"{\"counts\":[9,-4,19],\"size\":[4,6]}", "\"counts\" has -4"},
        {"{\"counts\":[4294967296],\"size\":[4,6]}", "\"counts\" has 4294967296"},
        {"{\"counts\":[9,[4],11],\"size\":[4,6]}", "\"counts\" holds a list"},
        {"{\"counts\":\"94:\",\"size\":[4,6]}", "mask anew"},
        {"{\"counts\":\"94\\u00e4\",\"size\":[4,6]}", "mask anew"},
        {"{\"counts\":\"9\\u00004\",\"size\":[4,6]}", "NUL"},
        {"{\"counts\":null,\"size\":[4,6]}", "\"counts\" is null"},
    };
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        char fields[192];
        snprintf(fields, sizeof fields, "\"image_id\":1,\"category_id\":1,\"segmentation\":%s", faults[i][0]);
        refuse_annotation(fields, faults[i][1]);
    }
}

static void bad_files_are_named(void **state) {
    (void)state;
    static const char *const faults[][2] = {
        {"[]", "a list stands"},
        {"7", "a number stands"},
        {"   ", "cut short"},
        {"{}", "no list \"images\""},
        {"{" IMAGES "," CATEGORIES "}", "no list \"annotations\""},
        {"{\"images\":{}}", "\"images\" is an object"},
        {"{\"images\":null}", "\"images\" is null"},
        {"{\"images\":[7]}", "\"images\" holds a number"},
        {"{" IMAGES "," IMAGES "}", "\"images\" twice"},
        {"{\"images\":[{\"id\":1,\"width\":6,\"height\":4}]}", "image 1|lacks \"file_name\""},
        {"{\"images\":[{\"file_name\":\"a\",\"width\":6,\"height\":4}]}", "number 1 of its list|lacks \"id\""},
        {"{\"images\":[{\"id\":1,\"file_name\":\"a\",\"height\":4}]}", "image 1|lacks \"width\""},
        {"{\"images\":[{\"id\":1,\"file_name\":\"a\",\"width\":6,\"height\":0}]}", "image 1|\"height\" is 0"},
        {"{\"images\":[{\"id\":1,\"file_name\":\"\",\"width\":6,\"height\":1}]}", "image 1|\"file_name\" is empty"},
        {"{\"images\":[{\"id\":1,\"file_name\":\"a\\u0000b\"}]}", "image 1|NUL"},
        {"{\"images\":[{\"id\":1,\"file_name\":\"a\",\"width\":65536,\"height\":65536}]}", "image 1|65536 x 65536"},
        {"{\"images\":[{\"id\":5,\"file_name\":\"a\",\"width\":6,\"height\":4},"
         "{\"id\":5,\"file_name\":\"b\",\"width\":6,\"height\":4}]," CATEGORIES ",\"annotations\":[]}",
         "\"images\"|numbers 1 and 2|id 5"},
        {"{" IMAGES ",\"categories\":[{\"id\":5,\"name\":\"a\"},{\"id\":5,\"name\":\"b\"}],\"annotations\":[]}",
         "\"categories\"|id 5"},
        {"{" IMAGES "," CATEGORIES ",\"annotations\":[{\"id\":8,\"image_id\":1,\"category_id\":1,\"bbox\":[0,0,1,1]},"
         "{\"id\":8,\"image_id\":1,\"category_id\":1,\"bbox\":[0,0,1,1]}]}",
         "\"annotations\"|id 8"},
        {"{\"categories\":[{\"id\":1}]}", "category 1|lacks \"name\""},
        {"{\"images\":[{\"file_name\":\"\xff\"}]}", "not JSON"},
        {"{\"images\":[]} x", "not JSON"},
        {"{\"info\":nul}", "not JSON"},
        {"\xff\xd8\xff\xe0", "not JSON"},
    };
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++)
        refuse(faults[i][0], faults[i][1]);
}

/* Nesting costs a bit or so a bracket and no stack. */
static void deep_nesting_is_harmless(void **state) {
    (void)state;
    enum { DEPTH = 1 << 20 };
    char *const json = malloc(DEPTH);
    assert_non_null(json);
    memset(json, '[', DEPTH);
    memcpy(json, "{\"a\":", 5);
    refuse_bytes(json, DEPTH, "cut short");
    free(json);
}

/* A file of several chunks, with a fault in a late one or none. */
static void files_are_read_in_chunks(void **state) {
    (void)state;
    enum { N = 5000 };
    char *const json = malloc(N * 100 + sizeof whole);
    hm_coco c;
    assert_non_null(json);
    for (int bad = 0; bad < 2; bad++) {
        size_t len = (size_t)sprintf(json, "{" IMAGES "," CATEGORIES ",\"annotations\":[");
        for (int i = 0; i < N; i++)
            len += (size_t)sprintf(json + len, "%s{\"id\":%d,\"image_id\":1,\"category_id\":1,\"bbox\":[%d,0,1,%s]}",
                                   i ? "," : "", i, i, bad && i == N - 1 ? "Infinity" : "2.5");
        len += (size_t)sprintf(json + len, "]}");
        assert_int_equal(hm_file_write("coco_chunks.json", json, len), HM_OK);
        assert_int_equal(hm_coco_read(&c, "coco_chunks.json"), bad ? HM_ERR_FORMAT : HM_OK);
        assert_int_equal(c.n_anns, bad ? 0 : N);
        if (bad)
            assert_non_null(strstr(hm_error_message(), "coco_chunks.json, annotation 4999 (byte 3"));
        else
            assert_true(c.anns[N - 1].box[0] == N - 1 && c.anns[N - 1].box[3] == 2.5);
        hm_coco_free(&c);
    }
    free(json);
    assert_int_equal(unlink("coco_chunks.json"), 0);
    assert_int_equal(hm_coco_read(&c, "no/such.json"), HM_ERR_IO);
    assert_non_null(strstr(hm_error_message(), "no/such.json"));
    assert_int_equal(hm_coco_read(&c, "."), HM_ERR_IO);
}

static const hm_coco_ann *find_ann(const hm_coco *c, int64_t id) {
    for (size_t i = 0; i < c->n_anns; i++)
        if (c->anns[i].id == id)
            return &c->anns[i];
    fail_msg("there is no annotation %lld", (long long)id);
    return NULL;
}

static void compare_ann(const hm_coco *c, const cJSON *want) {
    const hm_coco_ann *const a = find_ann(c, (int64_t)golden_number(want, "id"));
    const hm_coco_image *const image = &c->images[a->image];
    const cJSON *const box = golden_get(want, "bbox"), *const seg = golden_get(want, "segmentation");
    hm_rle rle;
    assert_true((double)image->id == golden_number(want, "image_id"));
    assert_true((double)c->categories[a->category].id == golden_number(want, "category_id"));
    assert_true(a->iscrowd == (golden_number(want, "iscrowd") != 0) && a->area == golden_number(want, "area"));
    for (int i = 0; i < 4; i++)
        assert_true(a->has_box && a->box[i] == cJSON_GetArrayItem(box, i)->valuedouble);
    assert_int_equal(a->seg.kind == HM_SEG_POLYGONS, cJSON_IsArray(seg));
    if (hm_coco_mask(c, a, image->height, image->width, &rle) != HM_OK)
        fail_msg("%s", hm_error_message());
    hm_rle_free(&rle);
}

static void golden_sets_are_read(void **state) {
    (void)state;
    for (int set = 0; set < 6; set++) {
        char name[64], path[1024];
        hm_coco c;
        snprintf(name, sizeof name, "coco_eval/set%d/gt.json", set);
        snprintf(path, sizeof path, "%s/%s", HM_GOLDEN_DIR, name);
        cJSON *const want = golden_read(name);
        const cJSON *ann;
        if (hm_coco_read(&c, path) != HM_OK)
            fail_msg("%s", hm_error_message());
        assert_int_equal(c.n_images, cJSON_GetArraySize(golden_get(want, "images")));
        assert_int_equal(c.n_anns, cJSON_GetArraySize(golden_get(want, "annotations")));
        cJSON_ArrayForEach(ann, golden_get(want, "annotations")) compare_ann(&c, ann);
        hm_coco_free(&c);
        cJSON_Delete(want);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_form_is_read),
        cmocka_unit_test(empty_lists_are_read),
        cmocka_unit_test(files_cut_anywhere_are_refused),
        cmocka_unit_test(bad_annotations_are_named),
        cmocka_unit_test(bad_boxes_are_named),
        cmocka_unit_test(bad_segmentations_are_named),
        cmocka_unit_test(bad_files_are_named),
        cmocka_unit_test(deep_nesting_is_harmless),
        cmocka_unit_test(files_are_read_in_chunks),
        cmocka_unit_test(golden_sets_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
