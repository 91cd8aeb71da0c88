/* args.h: the command line: settings as --name VALUE or --name=VALUE, switches also as --name and --no-name, --config
 * FILE, --help, bare arguments, and -- before bare arguments that begin with '-'. Files given with --config are read
 * first, in order, so that the command line goes before them. */
#ifndef CLI_ARGS_H
#define CLI_ARGS_H

#include "command.h"

enum { EXIT_USAGE = 2 };

typedef struct cli_args {
    bool help;         /* asked for: nothing else was looked at */
    const char **rest; /* [n_rest] bare arguments of a command that takes many; free() */
    size_t n_rest;
} cli_args;

/* Sets the options, which hold their defaults. Returns an exit status, 0 when all is well; otherwise the message has
 * been printed. Changes argv's strings. */
int cli_parse(cli_args *out, const cli_command *c, void *options, int argc, char **argv);

/* Print "halfmask: ..." and return the exit status: EXIT_USAGE for wrong arguments, else EXIT_FAILURE. */
int cli_usage_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
int cli_failure(hm_status status);

/* Which of names[n] is a likely meaning of `word`, or NULL. */
const char *cli_nearest(const char *word, const char *const *names, size_t n);

#endif
