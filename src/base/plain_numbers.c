/* plain_numbers.c: the C locale, made once, in place of the calling thread's. */
#include "base/plain_numbers.h"

#include <pthread.h>

static locale_t plain; /* 0 when there was no memory: the thread's own stays */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make(void) {
    plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
}

locale_t hm_plain_begin(void) {
    pthread_once(&once, make);
    return uselocale(plain);
}

void hm_plain_end(const locale_t *before) {
    uselocale(*before);
}
