/* command.h: what the program knows of a command: its words for the help, and the library function behind it. The table
 * of commands is in main.c, each command in cmd_<name>.c. */
#ifndef CLI_COMMAND_H
#define CLI_COMMAND_H

#include "halfmask.h"

typedef struct cli_command {
    const char *name;
    const char *arguments; /* "DIR [settings]" */
    const char *summary;   /* one line */
    const char *details;   /* more lines for its own help, each ended */
    hm_command id;         /* whose options it takes */
    const char *target;    /* the option that its one bare argument sets; NULL: none, or `many` */
    bool many;             /* takes any number of bare arguments */
    /* `rest` [n]: the bare arguments of a command that takes many. */
    hm_status (*run)(const void *options, const char *const *rest, size_t n);
} cli_command;

extern const cli_command cli_train, cli_eval, cli_predict, cli_info, cli_audit, cli_bench, cli_convert, cli_shapes;

#endif
