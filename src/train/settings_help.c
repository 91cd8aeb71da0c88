/* settings_help.c: the list of settings that `--help` shows: "--name TYPE  text (default)", wrapped and aligned. */
#include <string.h>

#include "train/settings.h"

enum { LINE_WIDTH = 100, HEAD_MAX = 32 }; /* columns; a longer head gets its own line */

static void value_word(const hm_setting *s, char *out, size_t size) {
    static const char *const words[] = {"INT", "INT", "NUMBER", "BOOL", "TEXT"};
    if (s->type != HM_SETTING_ENUM) {
        snprintf(out, size, "%s", words[s->type]);
        return;
    }
    size_t at = 0;
    for (size_t i = 0; s->choices[i] != NULL && at < size; i++)
        at += (size_t)snprintf(out + at, size - at, "%s%s", i ? "|" : "", s->choices[i]);
}

/* "  --batch-size INT" */
static void head_of(const hm_setting *s, char *out, size_t size) {
    char word[160];
    value_word(s, word, sizeof word);
    snprintf(out, size, "  --%s %s", s->name, word);
    for (char *p = out; *p && p < out + 4 + strlen(s->name); p++)
        if (*p == '_')
            *p = '-';
}

/* Writes words from column `at` on, breaking lines before LINE_WIDTH. */
static void wrap(const char *text, size_t indent, FILE *to) {
    size_t at = indent;
    for (const char *p = text; *p;) {
        const size_t len = strcspn(p, " ");
        if (at > indent && at + 1 + len > LINE_WIDTH) {
            fprintf(to, "\n%*s", (int)indent, "");
            at = indent;
        } else if (at > indent) {
            fputc(' ', to);
            at++;
        }
        fwrite(p, 1, len, to);
        at += len;
        p += len + strspn(p + len, " ");
    }
    fputc('\n', to);
}

void hm_settings_help(const hm_setting *table, size_t n, FILE *to) {
    char head[256], text[1024];
    size_t indent = 0;
    for (size_t i = 0; i < n; i++) {
        head_of(&table[i], head, sizeof head);
        if (strlen(head) > indent && strlen(head) <= HEAD_MAX)
            indent = strlen(head);
    }
    indent += 2;
    for (size_t i = 0; i < n; i++) {
        const char *const initial = table[i].initial;
        head_of(&table[i], head, sizeof head);
        const bool own_line = strlen(head) + 2 > indent;
        snprintf(text, sizeof text, "%s%s%s%s", table[i].help, initial ? " (default " : "", initial ? initial : "",
                 initial ? ")" : "");
        fprintf(to, "%-*s%s", (int)indent, head, own_line ? "\n" : "");
        if (own_line)
            fprintf(to, "%*s", (int)indent, "");
        wrap(text, indent, to);
    }
}
