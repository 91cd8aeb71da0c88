/* cmd_bench.c: halfmask bench. */
#include "command.h"

static hm_status run(const void *options, const char *const *rest, size_t n) {
    (void)rest;
    (void)n;
    return hm_bench(options, stdout);
}

const cli_command cli_bench = {
    .name = "bench",
    .arguments = "[settings]",
    .summary = "time training steps, and every operation of a step",
    .details = "Trains on a made-up batch and prints milliseconds of a step, images a second, memory as planned and\n"
               "as taken, and a line for each kind of operation. The last line is for scripts.\n",
    .id = HM_COMMAND_BENCH,
    .run = run,
};
