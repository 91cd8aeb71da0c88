/* threads.c: two predictors in two threads: threads WEIGHTS IMAGE.ppm [THRESHOLD]
 * Each handle belongs to its thread; both find the same. */
#include <pthread.h>

#include "ppm.h"

typedef struct job {
    const char *weights;
    double threshold;
    const hm_pixels *image;
    hm_objects *found;
    char error[512]; /* messages are per thread, so it is copied there */
} job;

static hm_status find(job *j) {
    hm_predict_options *options = NULL;
    hm_predictor *predictor = NULL;
    hm_status st = hm_options_new(HM_COMMAND_PREDICT, &options);
    if (st == HM_OK)
        st = hm_options_set(HM_COMMAND_PREDICT, options, "weights", j->weights, NULL);
    if (st == HM_OK) {
        options->threshold = j->threshold; /* members that are no strings may be set directly */
        options->threads = 1;
        st = hm_predictor_new(&predictor, options, 1);
    }
    if (st == HM_OK)
        st = hm_predictor_run(predictor, j->image, 1, &j->found);
    hm_predictor_free(predictor);
    hm_options_free(HM_COMMAND_PREDICT, options);
    return st;
}

static void *run(void *arg) {
    job *const j = arg;
    if (find(j) != HM_OK)
        snprintf(j->error, sizeof j->error, "%s", hm_error_message());
    return NULL;
}

static int report(const job *jobs) {
    size_t n[2];
    for (int i = 0; i < 2; i++) {
        if (jobs[i].found == NULL) {
            fprintf(stderr, "threads: %s\n", jobs[i].error);
            return 1;
        }
        n[i] = hm_objects_count(jobs[i].found);
    }
    printf("%zu and %zu objects\n", n[0], n[1]);
    return n[0] == n[1] ? 0 : 1;
}

int main(int argc, char **argv) {
    hm_pixels image;
    pthread_t threads[2];
    if (argc < 3 || argc > 4) {
        fprintf(stderr, "usage: threads WEIGHTS IMAGE.ppm [THRESHOLD]\n");
        return 2;
    }
    if (!ppm_read(argv[2], &image))
        return 1;
    const job one = {.weights = argv[1], .threshold = argc > 3 ? strtod(argv[3], NULL) : 0.5, .image = &image};
    job jobs[2] = {one, one};
    for (int i = 0; i < 2; i++)
        if (pthread_create(&threads[i], NULL, run, &jobs[i]) != 0)
            return 1;
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    const int status = report(jobs);
    for (int i = 0; i < 2; i++)
        hm_objects_free(jobs[i].found);
    free((void *)(uintptr_t)image.rgb);
    return status;
}
