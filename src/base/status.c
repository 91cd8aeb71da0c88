/* status.c: the per-thread error message behind hm_status. */
#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static _Thread_local char message[1024];

const char *hm_version(void) {
    return HM_VERSION;
}

const char *hm_error_message(void) {
    return message;
}

void hm_error_clear(void) {
    message[0] = '\0';
}

/* Names in a message may come from any file: one line it stays, and the terminal is told nothing. */
static void flatten(char *text) {
    for (unsigned char *p = (unsigned char *)text; *p != '\0'; p++)
        if (*p < ' ' || *p == 0x7f)
            *p = '?';
}

hm_status hm_fail(hm_status code, const char *fmt, ...) {
    char fresh[sizeof message]; /* arguments may point into the old message */
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(fresh, sizeof fresh, fmt, ap);
    va_end(ap);
    flatten(fresh);
    memcpy(message, fresh, sizeof message);
    return code;
}

hm_status hm_fail_in(hm_status code, const char *fmt, ...) {
    char fresh[sizeof message];
    va_list ap;
    va_start(ap, fmt);
    const int n = vsnprintf(fresh, sizeof fresh, fmt, ap);
    va_end(ap);
    if (n >= 0 && (size_t)n < sizeof fresh - 3)
        snprintf(fresh + n, sizeof fresh - (size_t)n, ": %.*s", (int)(sizeof fresh - (size_t)n - 3), message);
    memcpy(message, fresh, sizeof message);
    return code;
}
