/* cmd_train.c: halfmask train. */
#include <math.h>

#include "command.h"

static void print_result(const hm_train_result *r) {
    printf("%lld optimizer steps in %.1f s", (long long)r->steps, r->seconds);
    if (!isnan(r->best))
        printf("; best on the validation split: AP %.3f", r->best);
    if (!isnan(r->test_ap))
        printf("; test split: AP %.3f, AP50 %.3f", r->test_ap, r->test_ap50);
    putchar('\n');
}

static hm_status run(const void *options, const char *const *rest, size_t n) {
    hm_train_result result;
    (void)rest;
    (void)n;
    const hm_status st = hm_train(options, stdout, &result);
    if (st == HM_OK)
        print_result(&result);
    return st;
}

const cli_command cli_train = {
    .name = "train",
    .arguments = "DIR [settings]",
    .summary = "train a model on a data set",
    .details = "Trains on DIR/train and validates on DIR/valid (COCO layout). The folder given with --output-dir\n"
               "receives training_config.json, metrics.csv, last.safetensors, checkpoint_best_total.safetensors\n"
               "and pictures. Settings have rfdetr's names.\n",
    .id = HM_COMMAND_TRAIN,
    .options_size = sizeof(hm_train_options),
    .target = "dataset_dir",
    .run = run,
};
