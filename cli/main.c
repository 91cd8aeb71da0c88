/* main.c: the program: finds the command, reads its options, runs it and turns the outcome into an exit status:
 * 0, 1 when something failed, 2 when the arguments are wrong. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "args.h"

static const cli_command *const commands[] = {&cli_train, &cli_eval,  &cli_predict, &cli_info,
                                              &cli_audit, &cli_bench, &cli_convert, &cli_shapes};
enum { N_COMMANDS = sizeof commands / sizeof commands[0] };

static void print_help(FILE *to) {
    fprintf(to, "halfmask %s: trains, judges and runs RF-DETR models\n\n", HM_VERSION);
    fprintf(to, "usage: halfmask COMMAND [arguments]\n\ncommands:\n");
    for (size_t i = 0; i < N_COMMANDS; i++)
        fprintf(to, "  %-8s %s\n", commands[i]->name, commands[i]->summary);
    fprintf(to,
            "\nhalfmask COMMAND --help describes a command and its settings; halfmask --version prints the version.\n");
}

static void print_command_help(const cli_command *c, FILE *to) {
    fprintf(to, "usage: halfmask %s %s\n\n%s\nsettings:\n", c->name, c->arguments, c->details);
    hm_options_help(c->id, to);
    fprintf(to, "\n--config FILE reads settings from a YAML file (name: value); the command line goes before it.\n"
                "A switch is turned on by its name alone and off by --no-name.\n");
}

static const cli_command *find(const char *name) {
    for (size_t i = 0; i < N_COMMANDS; i++)
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    return NULL;
}

static int unknown_command(const char *name) {
    const char *names[N_COMMANDS];
    for (size_t i = 0; i < N_COMMANDS; i++)
        names[i] = commands[i]->name;
    const char *const meant = cli_nearest(name, names, N_COMMANDS);
    if (meant != NULL)
        return cli_usage_error("unknown command \"%s\": did you mean \"%s\"?", name, meant);
    return cli_usage_error("unknown command \"%s\": see halfmask --help", name);
}

static int run_with(const cli_command *c, void *options, int argc, char **argv) {
    cli_args args;
    int status = cli_parse(&args, c, options, argc, argv);
    if (status != EXIT_SUCCESS)
        return status;
    if (args.help) {
        print_command_help(c, stdout);
    } else {
        const hm_status ran = c->run(options, args.rest, args.n_rest);
        status = ran == HM_OK ? EXIT_SUCCESS : cli_failure(ran);
    }
    free(args.rest);
    return status;
}

static int run(const cli_command *c, int argc, char **argv) {
    void *options;
    const hm_status st = hm_options_new(c->id, &options);
    if (st != HM_OK)
        return cli_failure(st);
    const int status = run_with(c, options, argc, argv);
    hm_options_free(c->id, options);
    return status;
}

/* What was printed must have arrived: a full disk is a failure. */
static int flushed(int status) {
    errno = 0;
    if ((fflush(stdout) == 0 && !ferror(stdout)) || status != EXIT_SUCCESS)
        return status;
    fprintf(stderr, "halfmask: cannot write the output: %s\n", errno != 0 ? strerror(errno) : "a write failed");
    return EXIT_FAILURE;
}

int main(int argc, char **argv) {
    const char *const word = argc > 1 ? argv[1] : NULL;
    if (word == NULL) {
        print_help(stderr);
        return EXIT_USAGE;
    }
    if (strcmp(word, "--version") == 0) {
        printf("halfmask %s\n", HM_VERSION);
        return flushed(EXIT_SUCCESS);
    }
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || (strcmp(word, "help") == 0 && argc == 2)) {
        print_help(stdout);
        return flushed(EXIT_SUCCESS);
    }
    const cli_command *const c = find(word);
    return c != NULL ? flushed(run(c, argc - 2, argv + 2)) : unknown_command(word);
}
