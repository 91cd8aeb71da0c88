/* cmd_audit.c: halfmask audit. */
#include "command.h"

static hm_status run(const void *options, const char *const *rest, size_t n) {
    (void)rest;
    (void)n;
    return hm_audit(options, stdout);
}

const cli_command cli_audit = {
    .name = "audit",
    .arguments = "RUN [settings]",
    .summary = "show where a run's numbers come close to the limits of fp16",
    .details = "RUN is the output folder of a run that was trained with --audit N. Prints the layers with the largest\n"
               "numbers and those that lose most to underflow, says what to do about it, and draws RUN/audit.png:\n"
               "layers from top to bottom, time from left to right.\n",
    .id = HM_COMMAND_AUDIT,
    .target = "dir",
    .run = run,
};
