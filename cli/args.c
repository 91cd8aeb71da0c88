/* args.c: reads the command line into options. What a setting accepts is the library's to say. */
#include "args.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

typedef struct setting {
    const char *name, *value; /* value NULL: the command line ended before it */
} setting;

typedef struct reader {
    const cli_command *c;
    int argc, at;
    char **argv;
    setting *settings; /* [n_settings] in order, "config" among them */
    size_t n_settings;
    const char **bare; /* [n_bare] */
    size_t n_bare;
    bool help;
} reader;

/* ---- messages ---- */

int cli_usage_error(const char *fmt, ...) {
    va_list ap;
    fputs("halfmask: ", stderr);
    va_start(ap, fmt);
    vfprintf(stderr, fmt, ap);
    va_end(ap);
    fputc('\n', stderr);
    return EXIT_USAGE;
}

int cli_failure(hm_status status) {
    fprintf(stderr, "halfmask: %s\n", hm_error_message());
    return status == HM_ERR_ARG ? EXIT_USAGE : EXIT_FAILURE;
}

/* Edits (insert, delete, replace) that turn a into b; b has at most 15 letters. */
static size_t distance(const char *a, const char *b) {
    size_t row[16], n = strlen(b);
    for (size_t j = 0; j <= n; j++)
        row[j] = j;
    for (size_t i = 0; a[i]; i++) {
        size_t diagonal = row[0];
        row[0] = i + 1;
        for (size_t j = 0; j < n; j++) {
            const size_t replace = diagonal + (a[i] != b[j]), shift = (row[j] < row[j + 1] ? row[j] : row[j + 1]) + 1;
            diagonal = row[j + 1];
            row[j + 1] = replace < shift ? replace : shift;
        }
    }
    return row[n];
}

const char *cli_nearest(const char *word, const char *const *names, size_t n) {
    const char *best = NULL;
    size_t least = 3; /* more than two slips are no slip */
    for (size_t i = 0; i < n; i++) {
        const size_t d = distance(word, names[i]);
        if (d < least && d < strlen(names[i])) {
            least = d;
            best = names[i];
        }
    }
    return best;
}

/* ---- words ---- */

static bool is_truth(const char *word) {
    static const char *const words[] = {"true", "false", "yes", "no", "on", "off", "1", "0"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcasecmp(word, words[i]) == 0)
            return true;
    return false;
}

/* The next word, if it can be a value; a lone '-' or a negative number can. */
static const char *peek(const reader *r) {
    if (r->at >= r->argc || strncmp(r->argv[r->at], "--", 2) == 0)
        return NULL;
    return r->argv[r->at];
}

/* The switch that "no-use-ema" turns off, or NULL. */
static const char *turned_off(const reader *r, const char *name) {
    const bool no = strncmp(name, "no-", 3) == 0 || strncmp(name, "no_", 3) == 0;
    return no && hm_options_is_switch(r->c->id, name + 3) ? name + 3 : NULL;
}

static int read_setting(reader *r, char *name) {
    char *const equals = strchr(name, '=');
    if (equals != NULL)
        *equals = '\0';
    const char *const off = turned_off(r, name);
    setting s = {.name = name, .value = equals != NULL ? equals + 1 : NULL};
    if (off != NULL && equals != NULL)
        return cli_usage_error("--%s takes no value: write --%s=%s", name, off, equals + 1);
    if (off != NULL) {
        s = (setting){.name = off, .value = "false"};
    } else if (equals == NULL) {
        const bool is_switch = hm_options_is_switch(r->c->id, name);
        const char *const next = peek(r);
        const bool take = next != NULL && (!is_switch || is_truth(next));
        s.value = take ? next : is_switch ? "true" : NULL;
        r->at += take;
    }
    r->settings[r->n_settings++] = s;
    return EXIT_SUCCESS;
}

static int read_words(reader *r) {
    bool only_bare = false;
    while (r->at < r->argc && !r->help) {
        char *const word = r->argv[r->at++];
        int status = EXIT_SUCCESS;
        if (only_bare || word[0] != '-' || word[1] == '\0')
            r->bare[r->n_bare++] = word;
        else if (strcmp(word, "--") == 0)
            only_bare = true;
        else if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0)
            r->help = true;
        else if (word[1] != '-')
            status = cli_usage_error("unknown option \"%s\": settings are written --name value", word);
        else
            status = read_setting(r, word + 2);
        if (status != EXIT_SUCCESS)
            return status;
    }
    return EXIT_SUCCESS;
}

/* ---- options ---- */

static bool is_config(const setting *s) {
    return strcmp(s->name, "config") == 0;
}

static int set(const reader *r, void *options, const setting *s) {
    const hm_status st = hm_options_set(r->c->id, options, s->name, s->value != NULL ? s->value : "", NULL);
    if (st != HM_OK)
        return cli_failure(st);
    return s->value != NULL ? EXIT_SUCCESS : cli_usage_error("--%s needs a value", s->name);
}

/* The run that is gone on with gives the settings that neither a file nor the command line does. */
static int set_run(const reader *r, void *options) {
    for (size_t i = 0; r->c->id == HM_COMMAND_TRAIN && i < r->n_settings; i++) {
        const setting *const s = &r->settings[i];
        if (strcmp(s->name, "resume") != 0 || s->value == NULL)
            continue;
        const hm_status st = hm_options_load_run(options, s->value);
        if (st != HM_OK)
            return cli_failure(st);
    }
    return EXIT_SUCCESS;
}

static int set_all(const reader *r, void *options) {
    int status = set_run(r, options);
    if (status != EXIT_SUCCESS)
        return status;
    for (size_t i = 0; i < r->n_settings; i++) {
        const setting *const s = &r->settings[i];
        if (!is_config(s))
            continue;
        if (s->value == NULL)
            return cli_usage_error("--config needs the path of a YAML file");
        const hm_status st = hm_options_load_yaml(r->c->id, options, s->value);
        if (st != HM_OK)
            return cli_failure(st);
    }
    for (size_t i = 0; status == EXIT_SUCCESS && i < r->n_settings; i++)
        if (!is_config(&r->settings[i]))
            status = set(r, options, &r->settings[i]);
    return status;
}

static int set_bare(const reader *r, void *options) {
    const size_t most = r->c->target != NULL ? 1 : 0;
    if (r->c->many || r->n_bare == 0)
        return EXIT_SUCCESS;
    if (r->n_bare > most)
        return cli_usage_error("unexpected argument \"%s\": see halfmask %s --help", r->bare[most], r->c->name);
    return set(r, options, &(setting){.name = r->c->target, .value = r->bare[0]});
}

int cli_parse(cli_args *out, const cli_command *c, void *options, int argc, char **argv) {
    reader r = {.c = c, .argc = argc, .argv = argv};
    int status = EXIT_FAILURE;
    *out = (cli_args){0};
    r.settings = calloc((size_t)argc + 1, sizeof *r.settings);
    r.bare = calloc((size_t)argc + 1, sizeof *r.bare);
    if (r.settings == NULL || r.bare == NULL) {
        fprintf(stderr, "halfmask: out of memory while reading the command line\n");
        goto done;
    }
    status = read_words(&r);
    if (status == EXIT_SUCCESS && !r.help)
        status = set_all(&r, options);
    if (status == EXIT_SUCCESS && !r.help)
        status = set_bare(&r, options);
    if (status == EXIT_SUCCESS) {
        *out = (cli_args){.help = r.help, .rest = r.bare, .n_rest = r.n_bare};
        r.bare = NULL;
    }
done:
    free(r.settings);
    free(r.bare);
    return status;
}
