/* cmd_convert.c: halfmask convert. */
#include "command.h"

static hm_status run(const void *options, const char *const *rest, size_t n) {
    return hm_convert_weights(options, rest, n, stdout);
}

const cli_command cli_convert = {
    .name = "convert",
    .arguments = "IN OUT [settings]",
    .summary = "turn weights of rfdetr into safetensors, or the other way",
    .details =
        "Reads IN, a PyTorch checkpoint (.pth, .pt, .ckpt) or a safetensors file, and writes OUT by its ending:\n"
        ".safetensors, or .pth as rfdetr loads it. Names, types and numbers stay. No code in a file is run.\n",
    .id = HM_COMMAND_CONVERT,
    .many = true,
    .run = run,
};
