/* cmd_train.c: halfmask train. The first SIGINT or SIGTERM makes the run save its state and end; a second one ends it
 * at once. A thread waits for them, and no handler runs: one would run on the stack of some thread that computes, and
 * oneDNN's products let the stack pointer stand in a buffer of the heap meanwhile, beside which a handler's frame then
 * destroys what lies there. */
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include "command.h"

static volatile int stop; /* the signal */

typedef struct watch {
    sigset_t set, before; /* signals that are waited for; those that were blocked before */
    pthread_t thread;
    bool running;
} watch;

static void *wait_for_signal(void *arg) {
    const watch *const w = arg;
    int which;
    if (sigwait(&w->set, &which) == 0)
        __atomic_store_n(&stop, which, __ATOMIC_RELAXED);
    pthread_sigmask(SIG_UNBLOCK, &w->set, NULL); /* the second one comes here, and does what it does by default */
    for (;;)
        pause();
    return NULL;
}

/* Threads that are made from now on inherit what is blocked. */
static void begin_watch(watch *w) {
    sigemptyset(&w->set);
    sigaddset(&w->set, SIGINT);
    sigaddset(&w->set, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &w->set, &w->before);
    w->running = pthread_create(&w->thread, NULL, wait_for_signal, w) == 0;
    if (!w->running) /* they end the run at once, then */
        pthread_sigmask(SIG_SETMASK, &w->before, NULL);
}

static void end_watch(const watch *w) {
    if (!w->running)
        return;
    pthread_cancel(w->thread);
    pthread_join(w->thread, NULL);
    pthread_sigmask(SIG_SETMASK, &w->before, NULL);
}

static void print_result(const hm_train_options *o, const hm_train_result *r) {
    printf("%lld optimizer steps in %.1f s", (long long)r->steps, r->seconds);
    if (!isnan(r->best))
        printf("; best on the validation split: AP %.3f", r->best);
    if (!isnan(r->test_ap))
        printf("; test split: AP %.3f, AP50 %.3f", r->test_ap, r->test_ap50);
    putchar('\n');
    if (r->stopped_early)
        printf("early stopping ended the run; a larger early_stopping_patience goes on with it\n");
    if (r->stopped)
        printf("stopped and saved; halfmask train --resume %s goes on\n", o->output_dir);
}

static hm_status run(const void *options, const char *const *rest, size_t n) {
    hm_train_options o = *(const hm_train_options *)options;
    hm_train_result result;
    watch w;
    (void)rest;
    (void)n;
    o.stop = &stop;
    begin_watch(&w);
    const hm_status st = hm_train(&o, stdout, &result);
    if (st == HM_OK)
        print_result(&o, &result);
    fflush(stdout);
    end_watch(&w);
    if (st == HM_OK && result.stopped)
        raise(stop); /* so that who sent it sees what it did */
    return st;
}

const cli_command cli_train = {
    .name = "train",
    .arguments = "DIR [settings]",
    .summary = "train a model on a data set",
    .details =
        "Trains on DIR/train and validates on DIR/valid (COCO layout). The folder given with --output-dir\n"
        "receives training_config.json, metrics.csv, pictures, weights (last.pth, checkpoint_best_total.pth and\n"
        "others), and the state of the run, from which --resume goes on. Settings have rfdetr's names.\n",
    .id = HM_COMMAND_TRAIN,
    .target = "dataset_dir",
    .run = run,
};
