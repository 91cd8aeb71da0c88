/* test_cli_bad_input.c: damaged and lying files, places that cannot be written and full disks, through the program: one
 * sentence that names the file, an exit status, and nothing half-written. */
#include "program.h"

/* A small data set, a model trained on it, a PNG and a JPEG image of it. */
static char tree[256], weights[256], picture[512], photo[512];

static void must(program_run r) {
    if (r.status != 0)
        fail_msg("exit status %d: %s", r.status, r.err);
    program_free(&r);
}

/* Some image of the data set with this ending. */
static void find_picture(char path[static 512], const char *ending) {
    static const char *const splits[] = {"valid", "train", "test"};
    path[0] = '\0';
    for (int i = 0; i < 3 && path[0] == '\0'; i++) {
        char folder[300];
        snprintf(folder, sizeof folder, "%s/%s", tree, splits[i]);
        DIR *const d = opendir(folder);
        assert_non_null(d);
        for (const struct dirent *e; (e = readdir(d)) != NULL;)
            if (strstr(e->d_name, ending) != NULL)
                snprintf(path, 512, "%s/%.200s", folder, e->d_name);
        closedir(d);
    }
    assert_true(path[0] != '\0');
}

static int setup(void **state) {
    char run[256];
    if (program_setup(state) != 0)
        return 1;
    program_path(tree, "tree");
    program_path(run, "run");
    program_path(weights, "run/last.pth");
    must(PROGRAM("shapes", tree, "--train", "5", "--valid", "2", "--test", "1"));
    must(PROGRAM("train", tree, "--output-dir", run, "--model", "seg-micro", "--epochs", "1", "--batch-size", "1",
                 "--grad-accum-steps", "1"));
    find_picture(picture, ".png");
    find_picture(photo, ".jpg");
    return 0;
}

/* No temporary file in the folder or directly below it. */
static void no_leftovers(const char *folder) {
    char command[600];
    snprintf(command, sizeof command, "test -z \"$(find '%s' -name '*.tmp*')\"", folder);
    assert_int_equal(system(command), 0);
}

static void absent(const char *path) {
    assert_int_equal(access(path, F_OK), -1);
}

/* ---- annotations and results ---- */

#define IMAGES     "{\"images\":[{\"id\":1,\"width\":40,\"height\":30,\"file_name\":\"a.png\"}],"
#define CATEGORIES "\"categories\":[{\"id\":3,\"name\":\"disc\"}],"
#define ANN(rest)  "\"annotations\":[{\"id\":77,\"image_id\":1,\"category_id\":3,\"iscrowd\":0," rest "}]}"
#define GOOD       IMAGES CATEGORIES ANN("\"bbox\":[5,6,10,12],\"area\":120,\"segmentation\":[[5,6,15,6,15,18]]")

static void annotations_cut_anywhere(void **state) {
    (void)state;
    char gt[256], dt[256];
    program_file(dt, "dt.json", "[]");
    for (size_t len = 0; len < sizeof GOOD - 1; len += 5) {
        program_bytes(gt, "cut.json", GOOD, len);
        REFUSED(1, PROGRAM("eval", "--gt", gt, "--dt", dt), "cut.json");
    }
}

static void wrong_annotations(void **state) {
    (void)state;
    static const struct {
        const char *text, *word;
    } cases[] = {
        {IMAGES CATEGORIES ANN("\"bbox\":[5,6,NaN,12]"), "byte"},
        {IMAGES CATEGORIES ANN("\"bbox\":[5,6,1e999,12]"), "77"},
        {IMAGES CATEGORIES ANN("\"bbox\":[5,6,10]"), "77"},
        {IMAGES CATEGORIES ANN("\"segmentation\":[[5,6,15,6]]"), "77"},
        {IMAGES CATEGORIES ANN("\"segmentation\":{\"size\":[30,40],\"counts\":[10,20]}"), "77"},
        {IMAGES CATEGORIES ANN("\"segmentation\":{\"size\":[40,30],\"counts\":[1200]}"), "77"},
        {IMAGES "\"categories\":[{\"id\":4,\"name\":\"disc\"}]," ANN("\"bbox\":[5,6,1,1]"), "category"},
        {"{\"images\":[]," CATEGORIES ANN("\"bbox\":[5,6,1,1]"), "image"},
        {IMAGES "\"categories\":[],\"annotations\":[]}", "categories"},
        {"[]", "byte"},
        {"", "wrong.json"},
    };
    char gt[256], dt[256];
    program_file(dt, "dt.json", "[]");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        program_file(gt, "wrong.json", cases[i].text);
        REFUSED(1, PROGRAM("eval", "--gt", gt, "--dt", dt), "wrong.json", cases[i].word);
    }
}

#define RESULT(rest) "[{\"image_id\":1,\"category_id\":3,\"score\":0.5," rest "}]"

static void wrong_results(void **state) {
    (void)state;
    static const struct {
        const char *text, *word;
    } cases[] = {
        {"[{\"image_id\":1,\"category_id\":9,\"score\":0.5,\"bbox\":[1,2,3,4]}]", "category_id 9"},
        {"[{\"image_id\":8,\"category_id\":3,\"score\":0.5,\"bbox\":[1,2,3,4]}]", "image_id 8"},
        {"[{\"image_id\":1,\"category_id\":3,\"bbox\":[1,2,3,4]}]", "score"},
        {RESULT("\"bbox\":[1,NaN,3,4]"), "byte"},
        {RESULT("\"bbox\":[1,1e999,3,4]"), "result 0"},
        {RESULT("\"bbox\":[1,2,3]"), "result 0"},
        {RESULT("\"segmentation\":{\"size\":[30,40],\"counts\":\"abc\"}"), "result 0"},
        {RESULT("\"bbox\":[1,2,3,4]") " ]", "byte"},
        {"[{\"image_id\":1,", "byte"},
        {"{}", "wrong.json"},
        {"", "wrong.json"},
    };
    char gt[256], dt[256];
    program_file(gt, "gt.json", GOOD);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        program_file(dt, "wrong.json", cases[i].text);
        REFUSED(1, PROGRAM("eval", "--gt", gt, "--dt", dt, "--iou-type", "bbox"), "wrong.json", cases[i].word);
    }
    program_file(dt, "boxes.json", RESULT("\"bbox\":[1,2,3,4]"));
    REFUSED(1, PROGRAM("eval", "--gt", gt, "--dt", dt), "boxes.json", "result 0", "--iou-type bbox");
    program_file(gt, "masks.json", IMAGES CATEGORIES ANN("\"segmentation\":[[5,6,15,6,15,18]]"));
    REFUSED(1, PROGRAM("eval", "--gt", gt, "--dt", dt, "--iou-type=bbox"), "masks.json", "77", "--iou-type segm");
    program_file(gt, "plain.json", IMAGES CATEGORIES ANN("\"bbox\":[5,6,1,1]"));
    REFUSED(1, PROGRAM("eval", "--gt", gt, "--dt", dt), "plain.json", "77", "--iou-type bbox");
}

static void missing_files(void **state) {
    (void)state;
    char gt[256], out[256];
    program_file(gt, "gt.json", GOOD);
    program_path(out, "never");
    REFUSED(1, PROGRAM("eval", "--gt", "no/gt.json", "--dt", "x"), "no/gt.json", "No such file");
    REFUSED(1, PROGRAM("eval", "--gt", gt, "--dt", "no/dt.json"), "no/dt.json", "No such file");
    REFUSED(1, PROGRAM("eval", "--gt", program_folder, "--dt", "x"), program_folder);
    REFUSED(1, PROGRAM("eval", "no/tree", "--weights", weights), "no/tree", "No such file");
    REFUSED(1, PROGRAM("eval", tree, "--weights", "no/w.safetensors"), "no/w.safetensors", "No such file");
    REFUSED(1, PROGRAM("train", "no/tree", "--output-dir", out), "no/tree", "No such file");
    REFUSED(1, PROGRAM("train", tree, "--model", "seg-micro", "--pretrain-weights", "no/w", "--output-dir", out),
            "no/w");
    REFUSED(1, PROGRAM("predict", picture, "--weights", "no/w", "--out", out), "no/w", "No such file");
    REFUSED(1, PROGRAM("predict", "no/image.png", "--weights", weights, "--out", out), "no/image.png", "No such file");
    REFUSED(1, PROGRAM("info", "--weights", "no/w"), "no/w", "No such file");
}

/* ---- weights ---- */

static void wrong_weights(void **state) {
    (void)state;
    static const char huge[] = "\xff\xff\xff\xff\xff\xff\xff\x7f{}", lie[] =
                                                                         "\x3e\0\0\0\0\0\0\0"
                                                                         "{\"a\":{\"dtype\":\"F32\",\"shape\":[9,9],"
                                                                         "\"data_offsets\":[0,4]}}         1234";
    char path[256], out[256];
    FILE *const f = fopen(weights, "rb");
    char half[65536];
    assert_non_null(f);
    assert_int_equal(fread(half, 1, sizeof half, f), sizeof half);
    fclose(f);
    program_path(out, "no_weights");
    const struct {
        const void *data;
        size_t len;
    } cases[] = {{"", 0}, {huge, sizeof huge - 1}, {lie, sizeof lie - 1}, {half, sizeof half}, {half, 4}, {GOOD, 100}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        program_bytes(path, "wrong.safetensors", cases[i].data, cases[i].len);
        REFUSED(1, PROGRAM("info", "--weights", path), "wrong.safetensors");
        REFUSED(1, PROGRAM("eval", tree, "--weights", path), "wrong.safetensors");
        REFUSED(1, PROGRAM("predict", picture, "--weights", path, "--out", out), "wrong.safetensors");
        absent(out);
    }
}

/* ---- images ---- */

static unsigned char whole[1 << 20];

static size_t read_whole(const char *path) {
    FILE *const f = fopen(path, "rb");
    assert_non_null(f);
    const size_t len = fread(whole, 1, sizeof whole, f);
    fclose(f);
    assert_true(len > 100 && len < sizeof whole);
    return len;
}

static void expect_bad_image(const char *name, const void *data, size_t len) {
    char path[256], out[256], results[300];
    program_bytes(path, name, data, len);
    program_path(out, "images_out");
    FAILED(1, PROGRAM("predict", path, "--weights", weights, "--out", out), name);
    no_leftovers(out);
    snprintf(results, sizeof results, "%s/predictions.json", out);
    absent(results);
}

static void truncated_images(void **state) {
    (void)state;
    const char *const images[] = {picture, photo};
    for (int i = 0; i < 2; i++) {
        const size_t len = read_whole(images[i]);
        for (size_t eighth = 0; eighth < 8; eighth++)
            expect_bad_image(i == 0 ? "cut.png" : "cut.jpg", whole, len * eighth / 8);
    }
}

/* Headers that claim 65500 x 65500 pixels, a checksum that is wrong, names that lie. */
static void lying_images(void **state) {
    (void)state;
    size_t len = read_whole(picture);
    whole[18] = whole[22] = 0xff;
    expect_bad_image("huge.png", whole, len);
    len = read_whole(picture);
    whole[len / 2] ^= 0x55;
    expect_bad_image("sum.png", whole, len);
    len = read_whole(photo);
    size_t frame = 2; /* SOF0 or SOF2: marker, length, precision, height, width */
    while (frame + 9 < len && !(whole[frame] == 0xff && (whole[frame + 1] == 0xc0 || whole[frame + 1] == 0xc2)))
        frame++;
    memset(whole + frame + 5, 0xff, 4);
    expect_bad_image("huge.jpg", whole, len);
    expect_bad_image("text.png", "hello", 5);
    expect_bad_image("text.jpg", "hello", 5);
}

/* Images of a split whose files are broken stop every command that reads them, with the file's name. */
static void broken_split(void **state) {
    (void)state;
    char dir[256], run[256], command[1200], file[300];
    program_path(dir, "broken");
    program_path(run, "broken_run");
    program_path(file, "broken.json");
    snprintf(command, sizeof command, "cp -r '%s' '%s' && truncate -s 200 '%s'/*/*.png '%s'/*/*.jpg", tree, dir, dir,
             dir);
    assert_int_equal(system(command), 0);
    FAILED(1, PROGRAM("train", dir, "--output-dir", run, "--model", "seg-micro", "--batch-size", "1"), "broken/train/");
    FAILED(1, PROGRAM("eval", dir, "--weights", weights, "--out", file), "broken/test/");
    absent(file);
    snprintf(file, sizeof file, "%s/last.pth", run);
    absent(file);
    no_leftovers(run);
    no_leftovers(program_folder);
}

/* The tree with other annotations for training and validation. */
static void annotate(const char *dir, const char *text) {
    char command[4096], file[256];
    program_file(file, "annotations.json", text);
    snprintf(command, sizeof command,
             "rm -rf '%s' && cp -r '%s' '%s' && cp '%s' '%s/train/_annotations.coco.json' && "
             "cp '%s' '%s/valid/_annotations.coco.json' && cp '%s' '%s/train/b.png' && cp '%s' '%s/valid/b.png'",
             dir, tree, dir, file, dir, file, dir, picture, dir, picture, dir);
    assert_int_equal(system(command), 0);
}

#define TRAIN(dir, run)                                                                                                \
    PROGRAM("train", dir, "--output-dir", run, "--model", "seg-micro", "--batch-size", "1", "--epochs", "1",           \
            "--grad-accum-steps", "1", "--run-test", "false")

static void wrong_training_annotations(void **state) {
    (void)state;
    static const struct {
        const char *text, *word;
    } cases[] = {
        {IMAGES CATEGORIES ANN("\"bbox\":[5,6,NaN,12]"), "byte"},
        {IMAGES CATEGORIES ANN("\"bbox\":[5,6,9,12],\"segmentation\":[[5,6,15,6]]"), "77"},
        {IMAGES CATEGORIES ANN("\"bbox\":[5,6,9,12],\"segmentation\":{\"size\":[3,4],\"counts\":[12]}"), "77"},
        {IMAGES "\"categories\":[{\"id\":4,\"name\":\"disc\"}]," ANN("\"bbox\":[5,6,1,1]"), "category"},
        {"{\"images\":[]," CATEGORIES ANN("\"bbox\":[5,6,1,1]"), "image"},
        {GOOD, "a.png"}, /* which does not exist */
        {"{\"images\":[", "byte"},
    };
    char dir[256], run[256], file[300];
    program_path(dir, "annotated");
    program_path(run, "annotated_run");
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        annotate(dir, cases[i].text);
        FAILED(1, TRAIN(dir, run), "annotated/train/", cases[i].word);
        snprintf(file, sizeof file, "%s/last.pth", run);
        absent(file);
    }
}

/* Boxes without extent are dropped, as upstream drops them: the run goes on and its loss stays finite. */
static void empty_boxes(void **state) {
    (void)state;
    char dir[256], run[256], text[2048], command[1200];
    program_path(dir, "empty_boxes");
    program_path(run, "empty_boxes_run");
    read_whole(picture);
    const int w = whole[18] << 8 | whole[19], h = whole[22] << 8 | whole[23];
    snprintf(
        text, sizeof text,
        "{\"images\":[{\"id\":1,\"width\":%d,\"height\":%d,\"file_name\":\"b.png\"}]," CATEGORIES "\"annotations\":["
        "{\"id\":1,\"image_id\":1,\"category_id\":3,\"bbox\":[20,20,-10,-12],\"segmentation\":[[5,6,15,6,15,18]]},"
        "{\"id\":2,\"image_id\":1,\"category_id\":3,\"bbox\":[20,20,0,12],\"segmentation\":[[5,6,15,6,15,18]]},"
        "{\"id\":3,\"image_id\":1,\"category_id\":3,\"bbox\":[-900,5,30,12],\"segmentation\":[[5,6,15,6,15,18]]}]}",
        w, h);
    annotate(dir, text);
    must(TRAIN(dir, run));
    snprintf(command, sizeof command, "! grep -i nan '%s/metrics.csv'", run);
    assert_int_equal(system(command), 0);
}

/* ---- places ---- */

static void unwritable_places(void **state) {
    (void)state;
    char file[256], below[300];
    program_file(file, "file", "not a folder");
    snprintf(below, sizeof below, "%s/below", file);
    FAILED(1, PROGRAM("shapes", below), "/file");
    REFUSED(1, PROGRAM("shapes", "/proc/halfmask"), "/proc/halfmask");
    FAILED(1, PROGRAM("train", tree, "--model", "seg-micro", "--output-dir", below), "/file");
    FAILED(1, PROGRAM("predict", picture, "--weights", weights, "--out", below), "/file");
    FAILED(1, PROGRAM("eval", tree, "--weights", weights, "--out", below), "/file");
    FAILED(1, PROGRAM("info", "--model", "seg-micro", "--dot", below), "/file");
    FAILED(1, PROGRAM("info", "--model", "seg-micro", "--dump", "/proc/halfmask"), "/proc/halfmask");
    REFUSED(2, PROGRAM("shapes", tree), "tree", "empty");
}

static void full_output(void **state) {
    (void)state;
    char gt[256], dt[256];
    if (access("/dev/full", W_OK) != 0)
        skip();
    program_file(gt, "gt.json", GOOD);
    program_file(dt, "dt.json", "[]");
    FAILED(1, program_run_to("/dev/full", (char *[]){"halfmask", "--help", NULL}), "No space left");
    FAILED(1, program_run_to("/dev/full", (char *[]){"halfmask", "info", NULL}), "No space left");
    FAILED(1, program_run_to("/dev/full", (char *[]){"halfmask", "eval", "--gt", gt, "--dt", dt, NULL}),
           "No space left");
    FAILED(1, PROGRAM("info", "--model", "seg-micro", "--dot", "/dev/full"), "/dev/full");
}

/* The disk ends after `room` bytes of any file. */
static void full_disk(void **state) {
    (void)state;
    char dir[256], run[256], file[300], out[256];
    program_path(dir, "full_tree");
    program_path(run, "full_run");
    program_path(out, "full.json");
    program_file_limit = 500;
    FAILED(1, PROGRAM("shapes", dir), "full_tree/train/");
    no_leftovers(dir);
    snprintf(file, sizeof file, "%s/train/_annotations.coco.json", dir);
    absent(file);
    program_file_limit = 400; /* of stderr too */
    FAILED(1, PROGRAM("eval", tree, "--weights", weights, "--out", out), "full.json");
    absent(out);
    program_path(out, "full_pictures");
    FAILED(1, PROGRAM("predict", picture, "--weights", weights, "--out", out), "full_pictures/");
    no_leftovers(out);
    assert_int_equal(program_entries(out), 0);
    program_file_limit = 100000;
    FAILED(1, PROGRAM("train", tree, "--output-dir", run, "--model", "seg-micro", "--epochs", "1", "--batch-size", "1"),
           "full_run/");
    program_file_limit = 0;
    no_leftovers(run);
    snprintf(file, sizeof file, "%s/last.pth", run);
    absent(file);
    no_leftovers(program_folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(annotations_cut_anywhere),
        cmocka_unit_test(wrong_annotations),
        cmocka_unit_test(wrong_results),
        cmocka_unit_test(missing_files),
        cmocka_unit_test(wrong_weights),
        cmocka_unit_test(truncated_images),
        cmocka_unit_test(lying_images),
        cmocka_unit_test(broken_split),
        cmocka_unit_test(wrong_training_annotations),
        cmocka_unit_test(empty_boxes),
        cmocka_unit_test(unwritable_places),
        cmocka_unit_test(full_output),
        cmocka_unit_test(full_disk),
    };
    return cmocka_run_group_tests(tests, setup, program_teardown);
}
