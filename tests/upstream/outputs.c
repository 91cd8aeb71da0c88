/* outputs.c: halfmask-outputs WEIGHTS OUT.safetensors IMAGE...: what the network makes of each image before anything is
 * chosen or rounded, for scripts/check_upstream. Tensors of image i, resized as in prediction and as in evaluation:
 * <i>.predict.input, .logits, .boxes, .masks and <i>.eval.*. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "data/transform.h"
#include "eval/model_file.h"
#include "io/safetensors.h"

enum { NAME_SIZE = 64 };

typedef struct list {
    hm_safetensor *items; /* [n] own copies of names and data */
    size_t n, cap;
} list;

static hm_status keep(list *l, size_t image, const char *way, const char *what, const float *data, int rank,
                      const int64_t *shape) {
    char name[NAME_SIZE];
    hm_safetensor t = {.dtype = HM_ST_F32, .rank = rank, .bytes = sizeof *data};
    for (int i = 0; i < rank; i++) {
        t.shape[i] = shape[i];
        t.bytes *= (size_t)shape[i];
    }
    void *copy;
    char *own;
    HM_TRY(hm_grow(&l->items, &l->cap, l->n + 1, sizeof *l->items));
    HM_TRY(hm_alloc(&copy, t.bytes, 1));
    memcpy(copy, data, t.bytes);
    snprintf(name, sizeof name, "%zu.%s.%s", image, way, what);
    HM_TRY(hm_strdup(&own, name));
    t.data = copy;
    t.name = own;
    l->items[l->n++] = t;
    return HM_OK;
}

static hm_status run(list *l, hm_detector *d, size_t image, const char *way) {
    const hm_detector_options *const o = hm_detector_settings(d);
    HM_TRY(keep(l, image, way, "input", hm_detector_input(d), 3, (int64_t[]){3, o->height, o->width}));
    HM_TRY(hm_detector_run(d));
    const hm_raw_outputs r = hm_detector_outputs(d, 0);
    HM_TRY(keep(l, image, way, "logits", r.logits, 2, (int64_t[]){r.queries, r.classes}));
    HM_TRY(keep(l, image, way, "boxes", r.boxes, 2, (int64_t[]){r.queries, 4}));
    return r.masks == NULL ? HM_OK
                           : keep(l, image, way, "masks", r.masks, 3, (int64_t[]){r.queries, r.mask_h, r.mask_w});
}

static hm_status run_image(list *l, hm_detector *d, size_t i, const char *path) {
    const hm_detector_options *const o = hm_detector_settings(d);
    hm_image image = {0}, resized = {0};
    hm_status st;
    HM_TRY_TO(st, done, hm_image_read(&image, path));
    HM_TRY_TO(st, done, hm_transform_predict(hm_detector_input(d), &image, o->width, o->height));
    HM_TRY_TO(st, done, run(l, d, i, "predict"));
    HM_TRY_TO(st, done, hm_transform_resize(&resized, &image, o->width, o->height));
    hm_transform_normalise(hm_detector_input(d), &resized, false);
    st = run(l, d, i, "eval");
done:
    hm_image_free(&image);
    hm_image_free(&resized);
    return st;
}

static hm_status run_all(const char *weights, const char *out, char **images, size_t n) {
    const hm_detector_options o = {.batch = 1};
    hm_model_file model;
    list l = {0};
    hm_status st = hm_model_file_open(&model, weights, &o);
    for (size_t i = 0; st == HM_OK && i < n; i++)
        st = run_image(&l, model.detector, i, images[i]);
    if (st == HM_OK)
        st = hm_safetensors_write(out, l.items, l.n, NULL, 0);
    for (size_t i = 0; i < l.n; i++) {
        free((char *)l.items[i].name);
        free((void *)l.items[i].data);
    }
    free(l.items);
    hm_model_file_close(&model);
    return st;
}

int main(int argc, char **argv) {
    if (argc < 4) {
        fprintf(stderr, "usage: halfmask-outputs WEIGHTS OUT.safetensors IMAGE...\n");
        return 2;
    }
    if (run_all(argv[1], argv[2], argv + 3, (size_t)argc - 3) == HM_OK)
        return 0;
    fprintf(stderr, "halfmask-outputs: %s\n", hm_error_message());
    return 1;
}
