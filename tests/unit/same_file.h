/* same_file.h: two files, byte by byte. */
#ifndef HM_TEST_SAME_FILE_H
#define HM_TEST_SAME_FILE_H

#include <stdio.h>
#include <stdlib.h>

#include "ok.h"

#include "io/atomic.h"

/* <a>/<name> and <b>/<name>. */
static inline void same_file(const char *a, const char *b, const char *name) {
    char path[160], *text[2];
    size_t len[2];
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", i == 0 ? a : b, name);
        OK(hm_file_read(path, 1 << 28, &text[i], &len[i]));
    }
    assert_int_equal(len[0], len[1]);
    assert_memory_equal(text[0], text[1], len[0]);
    free(text[0]);
    free(text[1]);
}

#endif
