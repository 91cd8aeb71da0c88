/* log_stream.c: glibc's streams with functions of one's own behind them. */
#include "api/log_stream.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

typedef struct sink {
    hm_log *log;
    void *user;
    size_t n;
    char line[1024]; /* [n] of one that has no end yet; longer ones are cut */
} sink;

static ssize_t take(void *cookie, const char *text, size_t size) {
    sink *const s = cookie;
    for (size_t i = 0; i < size; i++) {
        if (text[i] != '\n') {
            if (s->n < sizeof s->line - 1)
                s->line[s->n++] = text[i];
            continue;
        }
        s->line[s->n] = '\0';
        s->log(s->user, s->line);
        s->n = 0;
    }
    return (ssize_t)size;
}

static int end(void *cookie) {
    free(cookie);
    return 0;
}

hm_status hm_log_stream(FILE **out, hm_log *log, void *user) {
    sink *s = NULL;
    *out = NULL;
    if (log == NULL)
        return HM_OK;
    HM_TRY(hm_alloc(&s, 1, sizeof *s));
    s->log = log;
    s->user = user;
    *out = fopencookie(s, "w", (cookie_io_functions_t){.write = take, .close = end});
    if (*out == NULL) {
        free(s);
        HM_FAIL(HM_ERR_MEMORY, "no memory for a stream of log lines");
    }
    return HM_OK;
}
