/* cmd_shapes.c: halfmask shapes. */
#include "command.h"

static hm_status run(const void *options, const char *const *rest, size_t n) {
    (void)rest;
    (void)n;
    return hm_shapes(options, stdout);
}

const cli_command cli_shapes = {
    .name = "shapes",
    .arguments = "DIR [settings]",
    .summary = "write the built-in data set: circles, triangles and squares with exact masks",
    .details = "Makes DIR with train/, valid/ and test/, each with JPEG and PNG images and _annotations.coco.json\n"
               "(polygons, RLE and crowds). The same settings make the same images.\n",
    .id = HM_COMMAND_SHAPES,
    .target = "dir",
    .run = run,
};
