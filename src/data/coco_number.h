/* coco_number.h: a JSON number as an integer, for COCO's ids and sizes. */
#ifndef HM_DATA_COCO_NUMBER_H
#define HM_DATA_COCO_NUMBER_H

#include <errno.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

/* `text` is the number as written and x its value; whole numbers that some tools write as 12.0 are taken. */
static inline bool hm_coco_integer(const char *text, double x, int64_t *out) {
    char *end;
    errno = 0;
    const long long exact = strtoll(text, &end, 10);
    if (errno == 0 && *end == '\0') {
        *out = exact;
        return true;
    }
    if (!(fabs(x) <= 9007199254740992.) || x != floor(x))
        return false;
    *out = (int64_t)x;
    return true;
}

#endif
