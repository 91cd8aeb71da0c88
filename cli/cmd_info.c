/* cmd_info.c: halfmask info. */
#include "command.h"

static hm_status run(const void *options, const char *const *rest, size_t n) {
    (void)rest;
    (void)n;
    return hm_info(options, stdout);
}

const cli_command cli_info = {
    .name = "info",
    .arguments = "[--model NAME | --weights FILE] [settings]",
    .summary = "describe the variants and the machine, a variant, or a weights file",
    .details = "Prints sizes and parameters, with --plan also the memory that training and evaluation will take.\n"
               "Without a model or weights it lists the variants, and says what CPU and GPU there are.\n",
    .id = HM_COMMAND_INFO,
    .run = run,
};
