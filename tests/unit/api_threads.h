/* api_threads.h: handles in threads of their own give what each gives alone; on either device. */
#ifndef HM_TEST_API_THREADS_H
#define HM_TEST_API_THREADS_H

#include <pthread.h>

#include "api_images.h"

enum { ROUNDS = 2, STEPS = 3, ERRORS = 200 };

static hm_device_choice device;
static size_t shown = IMAGES; /* pictures that are predicted, */
static int steps = STEPS;     /* steps that are made */
static hm_objects *alone[IMAGES];
static double losses_alone[STEPS];
static pthread_barrier_t meeting; /* of the two that predict, when they are two */
static bool meet;

/* Its own message, whatever the other thread does meanwhile. */
static hm_status fail_often(hm_predict_options *o, const char *name) {
    if (meet)
        pthread_barrier_wait(&meeting);
    for (int i = 0; i < ERRORS; i++)
        if (hm_options_set(HM_COMMAND_PREDICT, o, name, "1", NULL) == HM_OK || strstr(hm_error_message(), name) == NULL)
            return HM_ERR_INTERNAL;
    return HM_OK;
}

/* Threads may not end a test: what went wrong is told by what they return. */
static void *predict(void *name) {
    hm_predict_options *o;
    hm_predictor *p = NULL;
    hm_objects **const found = calloc(IMAGES, sizeof(hm_objects *));
    if (hm_options_new(HM_COMMAND_PREDICT, &o) != HM_OK ||
        hm_options_set(HM_COMMAND_PREDICT, o, "weights", weights, NULL) != HM_OK)
        return NULL;
    o->device = device;
    o->threads = 2;
    hm_status st = hm_predictor_new(&p, o, 2);
    for (int i = 0; i < ROUNDS && st == HM_OK; i++) {
        for (size_t k = 0; k < shown; k++)
            hm_objects_free(found[k]);
        st = hm_predictor_run(p, pixels, shown, found);
    }
    const hm_status messages = fail_often(o, name);
    hm_predictor_free(p);
    hm_options_free(HM_COMMAND_PREDICT, o);
    return st == HM_OK && messages == HM_OK ? found : NULL;
}

static void count_line(void *user, const char *line) {
    *(size_t *)user += strlen(line);
}

static void *train(void *folder) {
    hm_train_options o = small_options(device, HM_PRECISION_FP32);
    hm_trainer *t;
    size_t letters = 0;
    double *const losses = calloc(STEPS, sizeof *losses);
    o.output_dir = folder;
    o.resolution = 48;
    o.multi_scale = false;
    o.batch_size = 1;
    o.grad_accum_steps = 1;
    o.threads = 2;
    o.num_workers = 2;
    o.deterministic = true;
    hm_status st = hm_trainer_new(&t, &o, count_line, &letters);
    for (int i = 0; i < steps && st == HM_OK; i++) {
        const hm_step_report *r;
        st = hm_trainer_step(t, &r);
        if (st == HM_OK)
            losses[i] = r->loss;
    }
    if (st == HM_OK)
        st = hm_trainer_save_state(t);
    hm_trainer_free(t);
    if (st == HM_OK && letters > 0)
        return losses;
    free(losses);
    return NULL;
}

static void check_found(hm_objects **found) {
    assert_non_null(found);
    for (size_t i = 0; i < shown; i++) {
        same_objects(alone[i], found[i]);
        hm_objects_free(found[i]);
    }
    free(found);
}

static void check_losses(double *losses) {
    assert_non_null(losses);
    assert_memory_equal(losses, losses_alone, sizeof losses_alone);
    free(losses);
}

/* What handles give alone. */
static void make_alone(void) {
    char folder[96];
    hm_objects **const found = predict((void *)(uintptr_t) "alone");
    assert_non_null(found);
    memcpy(alone, found, sizeof alone);
    free(found);
    assert_true(hm_objects_count(alone[0]) > 0);
    snprintf(folder, sizeof folder, "%s/alone", root);
    double *const losses = train(folder);
    assert_non_null(losses);
    memcpy(losses_alone, losses, sizeof losses_alone);
    free(losses);
    assert_true(losses_alone[0] != losses_alone[1]);
}

static void handles_work_at_once(void **state) {
    (void)state;
    char folders[2][96];
    pthread_t threads[4];
    void *came[4];
    make_alone();
    meet = true;
    assert_int_equal(pthread_barrier_init(&meeting, NULL, 2), 0);
    for (int i = 0; i < 2; i++)
        snprintf(folders[i], sizeof folders[i], "%s/beside_%d", root, i);
    assert_int_equal(pthread_create(&threads[0], NULL, predict, (void *)(uintptr_t) "first"), 0);
    assert_int_equal(pthread_create(&threads[1], NULL, train, folders[0]), 0);
    assert_int_equal(pthread_create(&threads[2], NULL, predict, (void *)(uintptr_t) "second"), 0);
    assert_int_equal(pthread_create(&threads[3], NULL, train, folders[1]), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], &came[i]);
    pthread_barrier_destroy(&meeting);
    check_found(came[0]);
    check_losses(came[1]);
    check_found(came[2]);
    check_losses(came[3]);
    for (size_t i = 0; i < shown; i++)
        hm_objects_free(alone[i]);
}

#endif
