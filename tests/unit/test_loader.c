/* test_loader.c: labels of a Roboflow tree, masks and boxes of a batch, and the loader: the same batches whatever the
 * number of threads, resuming, ranks, the order of evaluation, and failures that name the file. */
#include "golden_json.h"

#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/rng.h"
#include "data/loader.h"
#include "io/atomic.h"
#include "io/image_write.h"

#define ROOT   "loader_data"
#define IMAGES 23

static const char *const categories =
    "\"categories\":[{\"id\":7,\"name\":\"disc\",\"supercategory\":\"shapes\"},{\"id\":0,\"name\":\"shapes\","
    "\"supercategory\":\"none\"},{\"id\":3,\"name\":\"box\",\"supercategory\":\"shapes\"},{\"id\":9,\"name\":"
    "\"person\","
    "\"supercategory\":\"person\"}]";

static char text[1 << 16];
static size_t text_len;

static void append(const char *format, ...) {
    va_list args;
    va_start(args, format);
    text_len += (size_t)vsnprintf(text + text_len, sizeof text - text_len, format, args);
    va_end(args);
    assert_true(text_len < sizeof text);
}

static void write_image(const char *split, int i) {
    char path[256];
    const int32_t w = 40 + 3 * i, h = 64 - i;
    uint8_t *const rgb = malloc((size_t)(w * h * 3));
    for (int32_t k = 0; k < w * h * 3; k++)
        rgb[k] = (uint8_t)(hm_rng_bits((uint64_t)i, (uint64_t)k / 40) >> 56);
    snprintf(path, sizeof path, ROOT "/%s/im%d.%s", split, i, i % 2 ? "png" : "jpg");
    assert_int_equal(i % 2 ? hm_image_write_png(path, rgb, w, h, 3) : hm_image_write_jpeg(path, rgb, w, h, 3, 80),
                     HM_OK);
    free(rgb);
}

/* Images have ids 1000-i, sizes (40+3i) x (64-i) and i % 4 triangles each; every fifth annotation is a crowd. */
static void write_split(const char *split, int n, const char *tail) {
    char path[256];
    int id = 1;
    text_len = 0;
    append("{%s,\"images\":[", categories);
    snprintf(path, sizeof path, ROOT "/%s", split);
    assert_int_equal(hm_make_dirs(path), HM_OK);
    for (int i = 0; i < n; i++) {
        append("%s{\"id\":%d,\"file_name\":\"im%d.%s\",\"width\":%d,\"height\":%d}", i ? "," : "", 1000 - i, i,
               i % 2 ? "png" : "jpg", 40 + 3 * i, 64 - i);
        write_image(split, i);
    }
    append("],\"annotations\":[");
    for (int i = 0; i < n; i++)
        for (int k = 0; k < i % 4; k++, id++)
            append("%s{\"id\":%d,\"image_id\":%d,\"category_id\":%d,\"iscrowd\":%d,\"area\":200,"
                   "\"bbox\":[%d,5,20,20],\"segmentation\":[[%d,5,%d,5,%d,25]]}",
                   id > 1 ? "," : "", id, 1000 - i, k % 2 ? 7 : 3, id % 5 == 0, 4 * k, 4 * k, 4 * k + 20, 4 * k);
    append("%s]}", tail);
    snprintf(path, sizeof path, ROOT "/%s/_annotations.coco.json", split);
    assert_int_equal(hm_file_write(path, text, text_len), HM_OK);
}

static int make_data(void **state) {
    (void)state;
    write_split("train", IMAGES, "");
    write_split("valid", 7, ",{\"id\":900,\"image_id\":999,\"category_id\":9,\"iscrowd\":0,\"bbox\":[1,2,3,4]}");
    return 0;
}

static void open_split(hm_dataset *d, const char *split) {
    if (hm_dataset_open(d, ROOT, split, NULL) != HM_OK)
        fail_msg("%s", hm_error_message());
}

static void labels_come_from_the_training_split(void **state) {
    (void)state;
    hm_dataset train, valid;
    open_split(&train, "train");
    open_split(&valid, "valid");
    assert_int_equal(train.classes.n, 3); /* "shapes" only groups; "person" is its own parent and stays */
    const int64_t ids[3] = {3, 7, 9};
    const char *const names[3] = {"box", "disc", "person"};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(train.classes.ids[i], ids[i]);
        assert_int_equal(valid.classes.ids[i], ids[i]);
        assert_string_equal(train.classes.names[i], names[i]);
    }
    assert_int_equal(train.label_of[1], -1);
    assert_int_equal(train.label_of[0], 1);
    assert_int_equal(train.n_items, IMAGES);
    assert_int_equal(train.coco.images[train.items[0]].id, 1000 - IMAGES + 1); /* ascending ids */
    assert_int_equal(train.max_objects, 3);
    hm_dataset_free(&valid);
    hm_classes few = {.n = 1, .ids = (int64_t[]){3}, .names = (char *[]){"box"}};
    assert_int_equal(hm_dataset_open(&valid, ROOT, "valid", &few), HM_ERR_FORMAT);
    assert_non_null(strstr(hm_error_message(), "category 9"));
    assert_int_equal(hm_dataset_open(&valid, ROOT, "test", NULL), HM_ERR_IO);
    hm_dataset_free(&valid);
    hm_dataset_free(&train);
}

/* The class rule on its own: an annotated parent stays, and so do all when none would be left. */
static void grouping_categories_are_dropped(void **state) {
    (void)state;
    char names[] = "a\0b\0none\0";
    hm_coco_category c[2] = {{5, 0, 2}, {2, 2, 4}}; /* a (parent b), b (parent none) */
    hm_coco_ann ann = {.category = 1};
    hm_coco coco = {.categories = c, .n_categories = 2, .text = names, .anns = &ann, .n_anns = 1};
    hm_classes classes;
    assert_int_equal(hm_classes_of(&classes, &coco), HM_OK);
    assert_int_equal(classes.n, 2);
    assert_int_equal(classes.ids[0], 2);
    hm_classes_free(&classes);
    coco.n_anns = 0;
    assert_int_equal(hm_classes_of(&classes, &coco), HM_OK);
    assert_int_equal(classes.n, 1);
    assert_string_equal(classes.names[0], "a");
    hm_classes_free(&classes);
    c[1].supercategory = 0; /* each the other's parent */
    assert_int_equal(hm_classes_of(&classes, &coco), HM_OK);
    assert_int_equal(classes.n, 2);
    hm_classes_free(&classes);
}

static bool bit(const hm_batch *b, size_t target, int32_t y, int32_t x) {
    const size_t i = (size_t)y * (size_t)b->w + (size_t)x;
    return b->masks[target * b->mask_bytes + i / 8] >> (7 - i % 8) & 1;
}

static void batches_hold_what_the_file_says(void **state) {
    (void)state;
    hm_dataset d;
    hm_batch b;
    open_split(&d, "train");
    assert_int_equal(hm_batch_new(&b, 2, 3, 27, 35, true), HM_OK);
    const size_t item = 1; /* im21: 103 x 43, one annotation or more */
    const hm_coco_image *const image = &d.coco.images[d.items[item]];
    for (int round = 0; round < 8; round++) {
        const uint64_t key = (uint64_t)round * 0x9E3779B97F4A7C15ull;
        const hm_view v = hm_view_random((hm_augment){true, true}, key, 103, 43, 35, 27);
        int32_t cols[35], rows[27], n = 0;
        uint8_t *const mask = malloc(103 * 43);
        assert_int_equal(hm_batch_fill(&b, 1, &d, item, (hm_augment){true, true}, key), HM_OK);
        hm_view_nearest(&v, cols, rows);
        for (size_t k = 0; k < image->n; k++) {
            const hm_coco_ann *const a = &d.coco.anns[image->first + k];
            float box[4];
            hm_rle rle = {0};
            if (a->iscrowd || !hm_view_box(&v, a->box, box))
                continue;
            assert_memory_equal(b.boxes + 4 * (3 + n), box, sizeof box);
            assert_int_equal(b.labels[3 + n], k % 2);
            assert_int_equal(hm_coco_mask(&d.coco, a, 43, 103, &rle), HM_OK);
            hm_rle_to_mask(&rle, mask);
            for (int32_t y = 0; y < 27; y++)
                for (int32_t x = 0; x < 35; x++)
                    assert_int_equal(bit(&b, (size_t)(3 + n), y, x), mask[rows[y] * 103 + cols[x]]);
            hm_rle_free(&rle);
            n++;
        }
        assert_int_equal(b.counts[1], n);
        free(mask);
    }
    assert_int_equal(b.image_ids[1], image->id);
    assert_int_equal(b.sizes[2], 43);
    assert_int_equal(b.sizes[3], 103);
    hm_batch_free(&b);
    hm_dataset_free(&d);
}

static uint64_t hash_bytes(uint64_t h, const void *data, size_t n) {
    for (size_t i = 0; i < n; i++)
        h = (h ^ ((const uint8_t *)data)[i]) * 0x100000001B3ull;
    return h;
}

static uint64_t hash_batch(const hm_batch *b) {
    const size_t n = (size_t)b->b, rows = n * (size_t)b->t;
    uint64_t h = hash_bytes(0xCBF29CE484222325ull, &b->n, sizeof b->n);
    h = hash_bytes(h, b->images, n * 3 * (size_t)b->h * (size_t)b->w * sizeof *b->images);
    h = hash_bytes(h, b->counts, n * sizeof *b->counts);
    h = hash_bytes(h, b->labels, rows * sizeof *b->labels);
    h = hash_bytes(h, b->boxes, rows * 4 * sizeof *b->boxes);
    h = hash_bytes(h, b->masks, rows * b->mask_bytes);
    return hash_bytes(h, b->image_ids, n * sizeof *b->image_ids);
}

static const hm_loader_options training = {
    .batch = 4, .h = 24, .w = 24, .masks = true, .train = true, .augment = {true, false}, .seed = 11, .threads = 2};

static hm_loader *start(const hm_dataset *d, const hm_loader_options *o) {
    hm_loader *l;
    if (hm_loader_new(&l, d, o) != HM_OK)
        fail_msg("%s", hm_error_message());
    return l;
}

static const hm_batch *next(hm_loader *l) {
    const hm_batch *b;
    if (hm_loader_next(l, &b) != HM_OK)
        fail_msg("%s", hm_error_message());
    return b;
}

/* hashes of the batches from `first` on; returns how many. */
static int64_t run_epoch(hm_loader *l, int64_t epoch, int64_t first, uint64_t *hashes) {
    int64_t n = 0;
    assert_int_equal(hm_loader_epoch(l, epoch, first), HM_OK);
    for (const hm_batch *b = next(l); b; b = next(l)) {
        assert_int_equal(b->epoch, epoch);
        assert_int_equal(b->index, first + n);
        hashes[n++] = hash_batch(b);
    }
    assert_null(next(l));
    return n;
}

static void threads_do_not_change_batches(void **state) {
    (void)state;
    hm_dataset d;
    uint64_t expected[2][16], found[16];
    open_split(&d, "train");
    for (int k = 0; k < 4; k++) {
        hm_loader_options o = training;
        o.threads = (const int32_t[]){1, 2, 8, 8}[k];
        o.ahead = (const int32_t[]){3, 2, 5, 1}[k];
        hm_loader *const l = start(&d, &o);
        assert_int_equal(hm_loader_batches(l), 6);
        assert_int_equal(hm_loader_targets(l), 3);
        for (int64_t epoch = 0; epoch < 2; epoch++) {
            uint64_t *const h = k ? found : expected[epoch];
            assert_int_equal(run_epoch(l, epoch, 0, h), 6);
            assert_memory_equal(h, expected[epoch], 6 * sizeof *h);
        }
        hm_loader_free(l);
    }
    assert_true(expected[0][0] != expected[1][0]);
    hm_dataset_free(&d);
}

/* A size for every optimizer step, not for every batch; resumed epochs, ranks and threads have the same. */
static void check_sizes(hm_loader *l, int64_t epoch, bool known, int32_t *side) {
    hm_loader_epoch(l, epoch, 0);
    for (const hm_batch *b = next(l); b; b = next(l)) {
        int32_t *const s = &side[b->index];
        assert_true(b->h == b->w && b->mask_bytes == (size_t)(b->h * b->w + 7) / 8);
        assert_true(!known || *s == b->h);
        *s = b->h;
        assert_true(b->index % 2 == 0 || s[-1] == b->h);
    }
}

static void steps_draw_their_sizes(void **state) {
    (void)state;
    static const int32_t sides[] = {12, 20, 28};
    hm_dataset d;
    uint64_t expected[16], found[16], rest[16];
    int32_t side[2][16];
    int seen[3] = {0};
    open_split(&d, "train");
    for (int k = 0; k < 3; k++) {
        hm_loader_options o = training;
        o.h = o.w = 0;
        o.sides = sides;
        o.n_sides = 3;
        o.accumulate = 2;
        o.threads = (const int32_t[]){1, 8, 2}[k];
        o.ranks = k == 2 ? 2 : 1;
        hm_loader *const l = start(&d, &o);
        uint64_t *const h = k ? found : expected;
        assert_int_equal(run_epoch(l, 1, 0, h), 10);
        assert_int_equal(run_epoch(l, 1, 3, rest), 7);
        assert_memory_equal(rest, h + 3, 7 * sizeof *rest);
        if (k == 1)
            assert_memory_equal(found, expected, 10 * sizeof *found);
        for (int64_t epoch = 0; epoch < 2; epoch++)
            check_sizes(l, epoch, k > 0, side[epoch]);
        hm_loader_free(l);
    }
    for (int i = 0; i < 20; i++)
        for (int k = 0; k < 3; k++)
            seen[k] += sides[k] == side[i / 10][i % 10];
    assert_true(seen[0] > 0 && seen[1] > 0 && seen[2] > 0 && seen[0] + seen[1] + seen[2] == 20);
    assert_memory_not_equal(side[0], side[1], 10 * sizeof side[0][0]);
    hm_dataset_free(&d);
}

/* A batch that had another size before holds the same bytes as one that was made for its size. */
static void sizes_leave_no_trace(void **state) {
    (void)state;
    hm_dataset d;
    hm_batch large, small;
    open_split(&d, "train");
    assert_int_equal(hm_batch_new(&large, 2, 3, 40, 40, true), HM_OK);
    assert_int_equal(hm_batch_new(&small, 2, 3, 24, 24, true), HM_OK);
    for (int round = 0; round < 2; round++) {
        hm_batch_resize(&large, round ? 24 : 40, round ? 24 : 40);
        hm_batch_clear(&large, 1);
        assert_int_equal(hm_batch_fill(&large, 0, &d, 1, (hm_augment){true, false}, 5), HM_OK);
    }
    hm_batch_clear(&small, 1);
    assert_int_equal(hm_batch_fill(&small, 0, &d, 1, (hm_augment){true, false}, 5), HM_OK);
    assert_true(small.counts[0] > 0);
    assert_true(hash_batch(&large) == hash_batch(&small));
    hm_batch_free(&large);
    hm_batch_free(&small);
    hm_dataset_free(&d);
}

static void epochs_resume_in_the_middle(void **state) {
    (void)state;
    hm_dataset d;
    uint64_t whole[16], rest[16];
    open_split(&d, "train");
    hm_loader *const l = start(&d, &training);
    assert_null(next(l)); /* no epoch yet */
    run_epoch(l, 3, 0, whole);
    hm_loader_epoch(l, 7, 0); /* given up after one batch */
    next(l);
    for (int64_t first = 0; first <= 6; first++) {
        assert_int_equal(run_epoch(l, 3, first, rest), 6 - first);
        assert_memory_equal(rest, whole + first, (size_t)(6 - first) * sizeof *rest);
    }
    assert_int_equal(hm_loader_epoch(l, 3, 7), HM_ERR_ARG);
    hm_loader_epoch(l, 8, 0); /* freed while decoding */
    hm_loader_free(l);
    hm_dataset_free(&d);
}

/* Every picture comes at least once; two ranks share an epoch without overlap of positions. */
static void training_covers_the_data_set(void **state) {
    (void)state;
    hm_dataset d;
    int seen[2][IMAGES] = {{0}};
    open_split(&d, "train");
    for (int32_t ranks = 1; ranks <= 2; ranks++)
        for (int32_t rank = 0; rank < ranks; rank++) {
            hm_loader_options o = training;
            o.accumulate = 2;
            o.ranks = ranks;
            o.rank = rank;
            hm_loader *const l = start(&d, &o);
            assert_int_equal(hm_loader_batches(l), 10); /* 5 steps of 2 batches */
            hm_loader_epoch(l, 0, 0);
            for (const hm_batch *b = next(l); b; b = next(l)) {
                assert_int_equal(b->n, 4);
                for (int i = 0; i < 4; i++)
                    seen[ranks - 1][b->items[i]]++;
            }
            hm_loader_free(l);
        }
    for (int r = 0; r < 2; r++) {
        int total = 0;
        for (int i = 0; i < IMAGES; i++) {
            assert_true(seen[r][i] >= 1);
            total += seen[r][i];
        }
        assert_int_equal(total, r ? 80 : 40);
    }
    hm_dataset_free(&d);
}

static void evaluation_is_in_order(void **state) {
    (void)state;
    hm_dataset d;
    hm_loader_options o = training;
    size_t item = 0;
    o.train = false;
    o.targets = 5;
    open_split(&d, "valid");
    hm_loader *const l = start(&d, &o);
    assert_int_equal(hm_loader_batches(l), 2);
    hm_loader_epoch(l, 0, 0);
    for (const hm_batch *b = next(l); b; b = next(l)) {
        assert_int_equal(b->t, 5);
        assert_int_equal(b->n, item ? 3 : 4);
        for (int32_t i = 0; i < b->n; i++, item++) {
            assert_int_equal(b->items[i], item);
            assert_int_equal(b->image_ids[i], 994 + (int64_t)item);
        }
        if (b->n == 3)
            assert_true(b->counts[3] == 0 && b->images[3 * 3 * 24 * 24] == 0);
    }
    assert_int_equal(item, 7);
    hm_loader_free(l);
    hm_dataset_free(&d);
}

static void bad_pictures_are_named(void **state) {
    (void)state;
    hm_dataset d;
    const hm_batch *b;
    hm_loader_options o = training;
    o.train = false;
    o.threads = 8;
    open_split(&d, "valid");
    assert_int_equal(hm_file_write(ROOT "/valid/im4.jpg", "\xff\xd8 no picture", 13), HM_OK); /* items 2 and 3, */
    assert_int_equal(unlink(ROOT "/valid/im3.png"), 0);                                       /* both of batch 0 */
    hm_loader *const l = start(&d, &o);
    for (int round = 0; round < 20; round++) {
        hm_loader_epoch(l, 0, 0);
        assert_int_equal(hm_loader_next(l, &b), HM_ERR_FORMAT);
        assert_null(b);
        assert_non_null(strstr(hm_error_message(), "valid/im4.jpg"));
        assert_int_equal(hm_loader_next(l, &b), HM_OK);
        assert_int_equal(b->index, 1);
        assert_null(next(l));
    }
    hm_loader_free(l);
    write_image("valid", 3);
    write_image("valid", 4);
    hm_dataset_free(&d);
}

static void impossible_options_are_refused(void **state) {
    (void)state;
    hm_dataset d;
    hm_loader *l;
    open_split(&d, "train");
    hm_loader_options bad[] = {training, training, training, training, training};
    bad[0].batch = 0;
    bad[1].targets = 2;
    bad[2].rank = 1;
    bad[3].threads = -1;
    bad[4].h = 0;
    for (int i = 0; i < 5; i++) {
        assert_int_equal(hm_loader_new(&l, &d, &bad[i]), HM_ERR_ARG);
        assert_null(l);
    }
    hm_dataset_free(&d);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(labels_come_from_the_training_split),
        cmocka_unit_test(grouping_categories_are_dropped),
        cmocka_unit_test(batches_hold_what_the_file_says),
        cmocka_unit_test(threads_do_not_change_batches),
        cmocka_unit_test(steps_draw_their_sizes),
        cmocka_unit_test(sizes_leave_no_trace),
        cmocka_unit_test(epochs_resume_in_the_middle),
        cmocka_unit_test(training_covers_the_data_set),
        cmocka_unit_test(evaluation_is_in_order),
        cmocka_unit_test(bad_pictures_are_named),
        cmocka_unit_test(impossible_options_are_refused),
    };
    return cmocka_run_group_tests(tests, make_data, NULL);
}
