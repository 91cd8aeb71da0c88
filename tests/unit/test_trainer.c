/* test_trainer.c: hm_trainer: the bytes of hm_train, step by step; a break between two handles; the caller's images;
 * what is refused. */
#include <math.h>

#include "api_images.h"
#include "same_file.h"

static int set_up(void **state) {
    (void)state;
    return make_images("trainer");
}

/* 2 epochs of 5 steps of 2 images. */
static hm_train_options options(char *out) {
    hm_train_options o = small_options(HM_DEVICE_CHOICE_CPU, HM_PRECISION_FP32);
    o.output_dir = out;
    o.resolution = 48;
    o.multi_scale = false;
    o.epochs = 2;
    o.batch_size = 1;
    o.grad_accum_steps = 2;
    o.threads = 1;
    o.num_workers = 1;
    o.run_test = false;
    return o;
}

static hm_trainer *open_trainer(const hm_train_options *o) {
    hm_trainer *t;
    OK(hm_trainer_new(&t, o, NULL, NULL));
    return t;
}

static void same_runs(const char *a, const char *b) {
    same_file(a, b, "last.pth");
    same_file(a, b, "checkpoint_best_total.pth");
    same_file(a, b, "metrics.csv");
    same_file(a, b, "state_000000000020.safetensors");
}

/* What the run came to in one piece; made once. */
static const char *whole_run(void) {
    static char out[96];
    hm_train_result result;
    if (out[0] != '\0')
        return out;
    snprintf(out, sizeof out, "%s/whole", root);
    const hm_train_options o = options(out);
    OK(hm_train(&o, NULL, &result));
    assert_int_equal(result.steps, 10);
    return out;
}

static void check_report(const hm_step_report *r, int64_t step) {
    double sum = 0;
    for (size_t i = 0; i < r->n_terms; i++)
        sum += r->terms[i].value * r->terms[i].weight;
    assert_true(r->n_terms > 5 && r->loss > 0 && r->grad_norm > 0 && fabs(sum - r->loss) < 1e-4 * r->loss);
    assert_int_equal(r->step, step);
    assert_int_equal(r->epoch, (step - 1) / 5);
    assert_int_equal(r->step_of_epoch, (step - 1) % 5 + 1);
    assert_int_equal(r->steps_of_epoch, 5);
    assert_int_equal(r->epoch_done, step % 5 == 0);
    assert_true(r->lr == 1e-4 && r->loss_scale == 1 && !r->skipped && r->why[0] == '\0');
}

static void count_line(void *user, const char *line) {
    assert_null(strchr(line, '\n'));
    if (strstr(line, "epoch 2, valid") != NULL)
        ++*(int *)user;
}

static void steps_make_the_bytes_of_a_run(void **state) {
    (void)state;
    char out[96];
    int lines = 0;
    hm_trainer *t;
    snprintf(out, sizeof out, "%s/stepped", root);
    const hm_train_options o = options(out);
    OK(hm_trainer_new(&t, &o, count_line, &lines));
    assert_int_equal(hm_trainer_end_epoch(t, NULL), HM_ERR_ARG);
    for (int64_t step = 1; !hm_trainer_done(t); step++) {
        const hm_step_report *r = NULL;
        const hm_epoch_report *e;
        OK(hm_trainer_step(t, step == 3 ? NULL : &r));
        if (r != NULL)
            check_report(r, step);
        if (step % 5 != 0)
            continue;
        OK(hm_trainer_end_epoch(t, &e));
        assert_int_equal(e->epoch, step / 5 - 1);
        assert_true(e->validated && e->valid.masks && e->valid.box_ap >= 0 && e->valid.mask_ap75 <= 1);
        assert_true(step > 5 || e->best == (e->valid.mask_ap > 0)); /* averages are, once they find something */
    }
    assert_int_equal(hm_trainer_step(t, NULL), HM_ERR_ARG);
    assert_non_null(strstr(hm_error_message(), "all 2 epochs are done"));
    assert_int_equal(hm_trainer_end_epoch(t, NULL), HM_ERR_ARG);
    hm_trainer_free(t);
    assert_int_equal(lines, 1);
    same_runs(whole_run(), out);
}

static void another_handle_goes_on(void **state) {
    (void)state;
    char out[96];
    snprintf(out, sizeof out, "%s/broken", root);
    hm_train_options o = options(out);
    hm_trainer *t = open_trainer(&o);
    for (int i = 0; i < 3; i++)
        OK(hm_trainer_step(t, NULL));
    OK(hm_trainer_save_state(t));
    OK(hm_trainer_step(t, NULL)); /* lost */
    hm_trainer_free(t);
    o.resume = out;
    t = open_trainer(&o);
    while (!hm_trainer_done(t)) {
        const hm_step_report *r;
        OK(hm_trainer_step(t, &r));
        if (r->epoch_done)
            OK(hm_trainer_end_epoch(t, NULL));
    }
    hm_trainer_free(t);
    same_runs(whole_run(), out);
}

/* ---- the caller's images */

enum { MOST = 32 };
static hm_train_object objects[2][MOST];

/* An item of the data set as a caller would have it; free masks. */
static hm_train_image image_of(size_t item, hm_train_object *o) {
    const hm_coco_image *const image = &images_of.coco.images[images_of.items[item]];
    hm_train_image out = {.pixels = pixels[item], .objects = o};
    for (size_t k = 0; k < image->n; k++) {
        const hm_coco_ann *const a = &images_of.coco.anns[image->first + k];
        hm_rle rle;
        if (!hm_dataset_trains(a))
            continue;
        OK(hm_coco_mask(&images_of.coco, a, images[item].h, images[item].w, &rle));
        uint8_t *const mask = malloc((size_t)images[item].w * (size_t)images[item].h);
        hm_rle_to_mask(&rle, mask);
        hm_rle_free(&rle);
        const float x = (float)a->box[0], y = (float)a->box[1];
        assert_true(out.n_objects < MOST);
        o[out.n_objects++] = (hm_train_object){.label = images_of.label_of[a->category],
                                               .box = {x, y, x + (float)a->box[2], y + (float)a->box[3]},
                                               .mask = mask};
    }
    return out;
}

static void drop_masks(const hm_train_image *image) {
    for (size_t k = 0; k < image->n_objects; k++)
        free((uint8_t *)(uintptr_t)image->objects[k].mask);
}

/* The losses of a first step on items 0 and 1, not augmented, read from disk by the data set's own way. */
static double loss_of_items(void) {
    char out[96];
    hm_training *t;
    hm_batch b;
    snprintf(out, sizeof out, "%s/items", root);
    const hm_train_options o = options(out);
    OK(hm_training_open(&t, &o, NULL));
    OK(hm_batch_new(&b, 1, hm_loader_targets(t->train_loader), 48, 48, true));
    for (size_t i = 0; i < 2; i++) {
        hm_batch_clear(&b, 1);
        OK(hm_batch_fill(&b, 0, &t->train, i, (hm_augment){0}, 0));
        OK(hm_training_take(t, &b));
    }
    const double loss = t->losses.total;
    hm_batch_free(&b);
    hm_training_close(t);
    return loss;
}

static void trains_on_the_callers_images(void **state) {
    (void)state;
    char out[96];
    snprintf(out, sizeof out, "%s/caller", root);
    const hm_train_options o = options(out);
    hm_trainer *const t = open_trainer(&o);
    const hm_train_image two[] = {image_of(0, objects[0]), image_of(1, objects[1])};
    const hm_step_report *r;
    OK(hm_trainer_step_on(t, two, 2, &r));
    assert_true(fabs(r->loss - loss_of_items()) < 1e-5 * r->loss); /* boxes go through floats */
    assert_true(r->step == 1 && r->step_of_epoch == 0 && !r->epoch_done);
    const double first = r->loss;
    for (int i = 0; i < 30; i++)
        OK(hm_trainer_step_on(t, two, 2, &r));
    assert_true(r->loss < first); /* it learns them */
    OK(hm_trainer_step(t, &r));
    assert_true(r->step == 32 && r->step_of_epoch == 1);
    hm_trainer_free(t);
    drop_masks(&two[0]);
    drop_masks(&two[1]);
}

static void refuses(hm_trainer *t, const hm_train_image *two, const char *words) {
    assert_int_equal(hm_trainer_step_on(t, two, 2, NULL), HM_ERR_ARG);
    if (strstr(hm_error_message(), words) == NULL)
        fail_msg("\"%s\" is missing in: %s", words, hm_error_message());
}

static void bad_images_are_refused(void **state) {
    (void)state;
    char out[96];
    snprintf(out, sizeof out, "%s/refused", root);
    const hm_train_options o = options(out);
    hm_trainer *const t = open_trainer(&o);
    const hm_train_image good = image_of(0, objects[0]);
    hm_train_object *const one = objects[1], *const many = calloc(1000, sizeof *many);
    hm_train_image two[] = {good, {.pixels = pixels[1], .objects = one, .n_objects = 1}};
    assert_int_equal(hm_trainer_step_on(t, two, 1, NULL), HM_ERR_ARG);
    one[0] = good.objects[0];
    one[0].label = 3;
    refuses(t, two, "image 1: object 0: its label 3");
    one[0].label = 2;
    one[0].mask = NULL;
    refuses(t, two, "no mask");
    one[0] = good.objects[0];
    one[0].box[2] = one[0].box[0] - 1;
    refuses(t, two, "its box");
    one[0].box[2] = NAN;
    refuses(t, two, "its box");
    two[1].objects = many;
    two[1].n_objects = hm_trainer_most_objects(t) + 1;
    refuses(t, two, "more than");
    two[1].n_objects = 0;
    two[1].pixels.stride = 1;
    refuses(t, two, "image 1: its stride");
    two[1].pixels = pixels[1]; /* an image without objects is one like others, and nothing has gone wrong */
    const hm_step_report *r;
    OK(hm_trainer_step_on(t, two, 2, &r));
    assert_int_equal(r->step, 1);
    hm_trainer_free(t);
    drop_masks(&good);
    free(many);
}

/* ---- weights, faults */

static void weights_are_for_predictors(void **state) {
    (void)state;
    char out[96], path[128];
    const hm_scores *s;
    hm_objects *found;
    snprintf(out, sizeof out, "%s/saved", root);
    snprintf(path, sizeof path, "%s/mine.safetensors", root);
    const hm_train_options o = options(out);
    hm_trainer *const t = open_trainer(&o);
    OK(hm_trainer_step(t, NULL));
    OK(hm_trainer_validate(t, &s));
    assert_true(s->masks && s->box_ap >= 0 && s->box_ap <= 1);
    assert_int_equal(hm_trainer_save(t, "no/such/folder.safetensors"), HM_ERR_IO);
    OK(hm_trainer_save(t, path)); /* nothing was broken */
    OK(hm_trainer_step(t, NULL));
    assert_int_equal(hm_trainer_classes(t), 3);
    assert_string_equal(hm_trainer_class_name(t, 0), images_of.classes.names[0]);
    assert_null(hm_trainer_class_name(t, 3));
    hm_trainer_free(t);
    snprintf(weights, sizeof weights, "%s", path);
    hm_predictor *const p = open_predictor(HM_DEVICE_CHOICE_CPU, 1);
    OK(hm_predictor_run(p, pixels, 1, &found));
    hm_objects_free(found);
    hm_predictor_free(p);
}

static void bad_options_are_refused(void **state) {
    (void)state;
    hm_train_options o = options(output_dir);
    hm_trainer *t;
    o.batch_size = -1;
    assert_int_equal(hm_trainer_new(&t, &o, NULL, NULL), HM_ERR_ARG);
    assert_non_null(strstr(hm_error_message(), "\"batch_size\" cannot be \"-1\""));
    o.batch_size = 1;
    o.dataset_dir = NULL;
    assert_int_equal(hm_trainer_new(&t, &o, NULL, NULL), HM_ERR_ARG);
    o.dataset_dir = (char *)"no/such/data";
    assert_int_equal(hm_trainer_new(&t, &o, NULL, NULL), HM_ERR_IO);
    assert_non_null(strstr(hm_error_message(), "no/such/data"));
    assert_null(t);
    hm_trainer_free(NULL);
}

/* Runs last: the data set loses an image. */
static void a_failed_trainer_says_so(void **state) {
    (void)state;
    const hm_train_options o = options(output_dir);
    hm_trainer *const t = open_trainer(&o);
    char *path;
    for (size_t i = 0; i < IMAGES; i++) {
        OK(hm_dataset_path(&images_of, i, &path));
        assert_int_equal(unlink(path), 0);
        free(path);
    }
    assert_int_equal(hm_trainer_step(t, NULL), HM_ERR_IO);
    assert_non_null(strstr(hm_error_message(), "shapes_"));
    assert_int_equal(hm_trainer_step(t, NULL), HM_ERR_ARG);
    assert_non_null(strstr(hm_error_message(), "has failed before"));
    assert_int_equal(hm_trainer_save(t, "x"), HM_ERR_ARG);
    hm_trainer_free(t);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_make_the_bytes_of_a_run), cmocka_unit_test(another_handle_goes_on),
        cmocka_unit_test(trains_on_the_callers_images),  cmocka_unit_test(bad_images_are_refused),
        cmocka_unit_test(weights_are_for_predictors),    cmocka_unit_test(bad_options_are_refused),
        cmocka_unit_test(a_failed_trainer_says_so),
    };
    return cmocka_run_group_tests(tests, set_up, drop_images);
}
