/* cmd_train.c: halfmask train. The first SIGINT or SIGTERM makes the run save its state and end; a second one ends it
 * at once. */
#include <math.h>
#include <signal.h>

#include "command.h"

static volatile int stop; /* the signal */

static void on_signal(int which) {
    stop = which;
    signal(which, SIG_DFL);
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
    (void)rest;
    (void)n;
    o.stop = &stop;
    signal(SIGINT, on_signal);
    signal(SIGTERM, on_signal);
    const hm_status st = hm_train(&o, stdout, &result);
    if (st == HM_OK)
        print_result(&o, &result);
    fflush(stdout);
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
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
