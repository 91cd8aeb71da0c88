/* background.c: a thread for each piece of work; messages are per thread, so the worker's is carried over. */
#include "base/background.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/plain_numbers.h"

struct hm_background {
    pthread_t thread;
    bool running;
    hm_status (*work)(void *);
    void *arg;
    hm_status status; /* of the last work, not yet told */
    char message[1024];
};

hm_status hm_background_new(hm_background **out) {
    return hm_alloc(out, 1, sizeof **out);
}

static void *thread_main(void *arg) {
    HM_PLAIN_NUMBERS;
    hm_background *const b = arg;
    b->status = b->work(b->arg);
    if (b->status != HM_OK)
        snprintf(b->message, sizeof b->message, "%s", hm_error_message());
    return NULL;
}

hm_status hm_background_wait(hm_background *b) {
    if (b->running)
        pthread_join(b->thread, NULL);
    b->running = false;
    const hm_status st = b->status;
    b->status = HM_OK;
    return st != HM_OK ? hm_fail(st, "%s", b->message) : HM_OK;
}

hm_status hm_background_run(hm_background *b, hm_status (*work)(void *arg), void *arg) {
    HM_TRY(hm_background_wait(b));
    b->work = work;
    b->arg = arg;
    const int error = pthread_create(&b->thread, NULL, thread_main, b);
    if (error != 0)
        HM_FAIL(HM_ERR_MEMORY, "cannot start a thread: %s", strerror(error));
    b->running = true;
    return HM_OK;
}

void hm_background_free(hm_background *b) {
    if (b == NULL)
        return;
    if (b->running)
        pthread_join(b->thread, NULL);
    free(b);
}
