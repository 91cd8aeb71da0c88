/* predict.c: finds objects in one image: predict WEIGHTS IMAGE.ppm [THRESHOLD]
 * Prints a line for each: class, score, box, and how many pixels its mask has. */
#include "ppm.h"

static hm_status print_object(const hm_objects *found, size_t i, uint8_t *mask, size_t pixels) {
    const hm_object *const o = hm_objects_get(found, i);
    const hm_status st = hm_objects_mask(found, i, mask, pixels);
    size_t inside = 0;
    for (size_t k = 0; k < pixels && st == HM_OK; k++)
        inside += mask[k];
    printf("%s %.3f: %.1f,%.1f to %.1f,%.1f, %zu pixels\n", o->class_name, (double)o->score, (double)o->box[0],
           (double)o->box[1], (double)o->box[2], (double)o->box[3], inside);
    return st;
}

static hm_status predict(const char *weights, const char *threshold, const hm_pixels *image) {
    hm_predict_options *options = NULL;
    hm_predictor *predictor = NULL;
    hm_objects *found = NULL;
    const size_t pixels = (size_t)image->width * (size_t)image->height;
    uint8_t *const mask = malloc(pixels);
    hm_status st = hm_options_new(HM_COMMAND_PREDICT, &options);
    if (st == HM_OK)
        st = hm_options_set(HM_COMMAND_PREDICT, options, "weights", weights, NULL);
    if (st == HM_OK)
        st = hm_options_set(HM_COMMAND_PREDICT, options, "threshold", threshold, NULL);
    if (st == HM_OK)
        st = hm_predictor_new(&predictor, options, 1);
    if (st == HM_OK)
        st = hm_predictor_run(predictor, image, 1, &found);
    for (size_t i = 0; st == HM_OK && i < hm_objects_count(found); i++)
        st = print_object(found, i, mask, pixels);
    if (st == HM_OK)
        printf("%zu objects\n", hm_objects_count(found));
    hm_objects_free(found);
    hm_predictor_free(predictor);
    hm_options_free(HM_COMMAND_PREDICT, options);
    free(mask);
    return st;
}

int main(int argc, char **argv) {
    hm_pixels image;
    if (argc < 3 || argc > 4) {
        fprintf(stderr, "usage: predict WEIGHTS IMAGE.ppm [THRESHOLD]\n");
        return 2;
    }
    if (!ppm_read(argv[2], &image))
        return 1;
    const hm_status st = predict(argv[1], argc > 3 ? argv[3] : "0.5", &image);
    free((void *)(uintptr_t)image.rgb);
    if (st != HM_OK)
        fprintf(stderr, "predict: %s\n", hm_error_message());
    return st == HM_OK ? 0 : 1;
}
