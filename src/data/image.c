/* image.c: chooses the decoder by a file's first bytes (its name is not looked at). */
#include "data/image.h"

#include <stdlib.h>
#include <string.h>

#include "io/atomic.h"

#define MAX_FILE_BYTES ((size_t)1 << 30)

void hm_image_free(hm_image *m) {
    if (m == NULL)
        return;
    free(m->rgb);
    memset(m, 0, sizeof *m);
}

hm_status hm_image_decode(hm_image *out, const uint8_t *data, size_t len, const char *name) {
    static const uint8_t jpeg[2] = {0xFF, 0xD8}, png[8] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1A, '\n'};
    memset(out, 0, sizeof *out);
    if (len == 0)
        HM_FAIL(HM_ERR_FORMAT, "%s: the file is empty; replace it or remove it from the data set", name);
    if (len >= sizeof jpeg && memcmp(data, jpeg, sizeof jpeg) == 0)
        return hm_image_decode_jpeg(out, data, len, name);
    if (len >= sizeof png && memcmp(data, png, sizeof png) == 0)
        return hm_image_decode_png(out, data, len, name);
    HM_FAIL(HM_ERR_FORMAT, "%s: neither a JPEG nor a PNG picture; convert it to one of them", name);
}

hm_status hm_image_read(hm_image *out, const char *path) {
    char *data;
    size_t len;
    memset(out, 0, sizeof *out);
    HM_TRY(hm_file_read(path, MAX_FILE_BYTES, &data, &len));
    const hm_status st = hm_image_decode(out, (const uint8_t *)data, len, path);
    free(data);
    return st;
}
