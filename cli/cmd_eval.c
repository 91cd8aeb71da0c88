/* cmd_eval.c: halfmask eval. */
#include "command.h"

static hm_status run(const void *options, const char *const *rest, size_t n) {
    (void)rest;
    (void)n;
    return hm_eval(options, stdout, stderr);
}

const cli_command cli_eval = {
    .name = "eval",
    .arguments = "DIR --weights FILE | --gt FILE --dt FILE",
    .summary = "judge a model, or a COCO results file, with COCO's twelve figures",
    .details = "Judges the model on the test split of the data set in DIR (or the one named with --split),\n"
               "or the detections in a COCO results file against an annotation file. Figures are pycocotools',\n"
               "to the last digit with --json.\n",
    .id = HM_COMMAND_EVAL,
    .target = "dataset_dir",
    .run = run,
};
