/* predict.c: hm_predict: detections of single images as COCO results and as pictures. An image's picture and results
 * appear together; what was finished before a failure stays. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "base/plain_numbers.h"
#include "device/turn.h"
#include "eval/coco_results.h"
#include "eval/find_objects.h"
#include "eval/picture.h"
#include "io/atomic.h"

#define RESULTS "predictions.json"

typedef struct predictor {
    const hm_predict_options *o;
    const char *const *images; /* [n] paths */
    size_t n;
    hm_model_file model;
    hm_coco_writer *writer;
    FILE *log;
} predictor;

/* ---- names ---- */

static const char *file_of(const char *path) {
    const char *const slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

/* Bytes of the file's name without its ending. */
static int stem_length(const char *file) {
    const char *const dot = strrchr(file, '.');
    return (int)(dot != NULL && dot != file ? (size_t)(dot - file) : strlen(file));
}

static bool stem_taken(const predictor *p, size_t index) {
    const char *const mine = file_of(p->images[index]);
    const int n = stem_length(mine);
    for (size_t i = 0; i < index; i++) {
        const char *const other = file_of(p->images[i]);
        if (stem_length(other) == n && strncmp(mine, other, (size_t)n) == 0)
            return true;
    }
    return false;
}

/* Pictures must never replace an image that is to be read. */
static hm_status check_target(const predictor *p, const char *path) {
    struct stat target, image;
    if (stat(path, &target) != 0)
        return HM_OK;
    for (size_t i = 0; i < p->n; i++)
        if (stat(p->images[i], &image) == 0 && image.st_dev == target.st_dev && image.st_ino == target.st_ino)
            HM_FAIL(HM_ERR_ARG, "the picture %s would replace one of the images: choose another folder", path);
    return HM_OK;
}

/* *out = <out>/<stem>_predicted.png; a stem that came before gets the image's id. */
static hm_status picture_path(char **out, const predictor *p, size_t index) {
    const char *const file = file_of(p->images[index]);
    const int n = stem_length(file);
    const size_t room = strlen(p->o->out) + (size_t)n + 64;
    HM_TRY(hm_alloc(out, room, 1));
    if (stem_taken(p, index))
        snprintf(*out, room, "%s/%.*s_%zu_predicted.png", p->o->out, n, file, index + 1);
    else
        snprintf(*out, room, "%s/%.*s_predicted.png", p->o->out, n, file);
    return check_target(p, *out);
}

/* ---- one image ---- */

static hm_status draw(const predictor *p, const hm_image *image, const hm_detections *found, const char *path) {
    hm_picture picture = {0};
    hm_picture_object *objects = NULL;
    hm_status st;
    HM_TRY_TO(st, done, hm_alloc(&objects, found->n, sizeof *objects));
    for (size_t i = 0; i < found->n; i++) {
        const hm_detection *const d = &found->items[i];
        objects[i] = (hm_picture_object){.mask = d->mask.n ? &d->mask : NULL,
                                         .label = d->label,
                                         .name = p->model.classes.names[d->label],
                                         .score = d->score};
        hm_detection_box(d, objects[i].box);
    }
    HM_TRY_TO(st, done, hm_picture_draw(&picture, image->rgb, image->w, image->h, objects, found->n, 0));
    st = hm_picture_write_png(&picture, path);
done:
    hm_picture_free(&picture);
    free(objects);
    return st;
}

/* A failure may leave some of the image's results in the file, so the file is given up then. */
static hm_status write_results(predictor *p, const hm_detections *found, int64_t image_id) {
    hm_status st = HM_OK;
    for (size_t i = 0; i < found->n && st == HM_OK; i++) {
        const hm_detection *const d = &found->items[i];
        double box[4];
        hm_detection_box(d, box);
        st = hm_coco_writer_add(p->writer, image_id, p->model.classes.ids[d->label], d->score, box,
                                d->mask.n ? &d->mask : NULL);
    }
    if (st != HM_OK) {
        hm_coco_writer_abort(p->writer);
        p->writer = NULL;
    }
    return st;
}

static hm_status detect(predictor *p, const hm_image *image, hm_detections *found) {
    return hm_find_objects(&p->model, &image, 1, p->o->threshold, found, NULL);
}

static hm_status predict_image(predictor *p, size_t index) {
    hm_image image = {0};
    hm_detections found = {0};
    char *path = NULL;
    hm_status st;
    HM_TRY_TO(st, done, picture_path(&path, p, index));
    HM_TRY_TO(st, done, hm_image_read(&image, p->images[index]));
    st = detect(p, &image, &found);
    if (st != HM_OK) {
        hm_fail_in(st, "%s", p->images[index]);
        goto done;
    }
    HM_TRY_TO(st, done, draw(p, &image, &found, path));
    HM_TRY_TO(st, done, write_results(p, &found, (int64_t)index + 1));
    if (p->log != NULL)
        fprintf(p->log, "%s: %zu object%s, drawn in %s\n", p->images[index], found.n, found.n == 1 ? "" : "s", path);
done:
    hm_detections_free(&found);
    hm_image_free(&image);
    free(path);
    return st;
}

/* ---- all images ---- */

/* Commits what was finished even when an image fails; the image's failure is the one that is reported. */
static hm_status predict_images(predictor *p) {
    hm_status st = HM_OK;
    size_t done = 0;
    char *message = NULL;
    while (done < p->n && st == HM_OK) {
        st = predict_image(p, done);
        done += st == HM_OK;
    }
    if (st == HM_OK)
        return hm_coco_writer_commit(&p->writer);
    if (done == 0 || p->writer == NULL || hm_strdup(&message, hm_error_message()) != HM_OK)
        return st;
    (void)hm_coco_writer_commit(&p->writer);
    hm_fail(st, "%s", message);
    free(message);
    return st;
}

hm_status hm_predict(const hm_predict_options *options, const char *const *images, size_t n, FILE *log) {
    HM_PLAIN_NUMBERS;
    predictor p = {.o = options, .images = images, .n = n, .log = log};
    char *path = NULL;
    hm_status st;
    if (options->weights == NULL || options->out == NULL || n == 0)
        HM_FAIL(HM_ERR_ARG, "prediction needs images, weights and a folder for the results");
    HM_GPU_TURN(options->device);
    HM_TRY_TO(
        st, done,
        hm_model_file_open_on(&p.model, options->weights, options->device, options->precision, 1, options->threads));
    HM_TRY_TO(st, done, hm_make_dirs(options->out));
    const size_t room = strlen(options->out) + sizeof "/" RESULTS;
    HM_TRY_TO(st, done, hm_alloc(&path, room, 1));
    snprintf(path, room, "%s/" RESULTS, options->out);
    HM_TRY_TO(st, done, hm_coco_writer_open(path, &p.writer));
    st = predict_images(&p);
done:
    hm_coco_writer_abort(p.writer);
    hm_model_file_close(&p.model);
    free(path);
    return st;
}
