/* cmd_predict.c: halfmask predict. */
#include "command.h"

static hm_status run(const void *options, const char *const *rest, size_t n) {
    return hm_predict(options, rest, n, stdout);
}

const cli_command cli_predict = {
    .name = "predict",
    .arguments = "IMAGE... --weights FILE --out DIR",
    .summary = "find objects in images",
    .details = "Writes DIR/predictions.json (COCO results; image ids count the images from 1) and one picture for\n"
               "each image with the masks, boxes and names of what was found.\n",
    .id = HM_COMMAND_PREDICT,
    .many = true,
    .run = run,
};
