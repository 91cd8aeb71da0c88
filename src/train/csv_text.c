/* csv_text.c: splitting and quoting of CSV lines. */
#include "train/csv_text.h"

#include <string.h>

bool hm_csv_cell(const char *line, size_t len, size_t *at, char *cell) {
    bool quoted = false;
    size_t n = 0, i = *at;
    for (; i < len && (quoted || line[i] != ','); i++) {
        if (line[i] != '"')
            cell[n++] = line[i];
        else if (quoted && i + 1 < len && line[i + 1] == '"')
            cell[n++] = line[i++];
        else
            quoted = !quoted;
    }
    cell[n] = '\0';
    const bool more = i < len;
    *at = more ? i + 1 : len;
    return more;
}

size_t hm_csv_count(const char *line, size_t len) {
    size_t n = 1;
    bool quoted = false;
    for (size_t i = 0; i < len; i++) {
        quoted ^= line[i] == '"';
        n += !quoted && line[i] == ',';
    }
    return n;
}

size_t hm_csv_quote(char *to, const char *name) {
    const bool quote = strpbrk(name, ",\"\r\n") != NULL;
    size_t n = 0;
    if (quote)
        to[n++] = '"';
    for (; *name; name++) {
        if (*name == '"')
            to[n++] = '"';
        to[n++] = *name == '\n' || *name == '\r' ? ' ' : *name;
    }
    if (quote)
        to[n++] = '"';
    return n;
}

size_t hm_csv_line(const char *text, size_t len, size_t at, size_t *next) {
    const char *const end = at < len ? memchr(text + at, '\n', len - at) : NULL;
    const size_t stop = end ? (size_t)(end - text) : len;
    *next = end ? stop + 1 : len;
    return stop - at - (stop > at && text[stop - 1] == '\r');
}
