/* image_jpeg.c: JPEG to RGB through TurboJPEG with libjpeg's default (accurate) transform and smooth upsampling, which
 * are Pillow's. A file must have its end marker; TurboJPEG alone would fill what is missing with grey.
 * Marker structure: ITU-T T.81 annex B. CMYK to RGB: the formula of Pillow's Convert.c. */
#include <stdlib.h>
#include <string.h>
#include <turbojpeg.h>

#include "base/mem.h"
#include "data/image.h"

/* A coded 8x8 block takes at least one bit in Huffman coding, so a byte covers at most 512 pixels. */
#define MAX_PIXELS_PER_BYTE 512

typedef struct jpeg_layout {
    bool complete;   /* an end marker follows the first scan */
    bool arithmetic; /* a frame is arithmetic coded: no useful lower bound on its bytes */
} jpeg_layout;

/* Position of the next marker's code byte at or after `at`, or len: skips entropy-coded data, stuffed zeros, restart
 * markers and fill bytes. */
static size_t next_marker(const uint8_t *data, size_t len, size_t at) {
    while (at + 1 < len) {
        const uint8_t *const ff = memchr(data + at, 0xFF, len - at - 1);
        if (ff == NULL)
            break;
        at = (size_t)(ff - data) + 1;
        const uint8_t code = data[at];
        if (code != 0x00 && code != 0xFF && !(code >= 0xD0 && code <= 0xD7))
            return at;
    }
    return len;
}

static jpeg_layout scan_layout(const uint8_t *data, size_t len) {
    jpeg_layout l = {0};
    bool scanned = false;
    for (size_t at = next_marker(data, len, 2); at < len; at = next_marker(data, len, at)) {
        const uint8_t code = data[at++];
        if (code == 0xD9) {
            l.complete = scanned;
            return l;
        }
        if (code >= 0xC9 && code <= 0xCF && code != 0xCC)
            l.arithmetic = true;
        scanned = scanned || code == 0xDA;
        if (code == 0x01 || code == 0xD8)
            continue; /* markers without a length */
        if (len - at < 2)
            return l;
        const size_t length = (size_t)data[at] << 8 | data[at + 1];
        if (length > len - at)
            return l;
        at += length;
    }
    return l;
}

static uint8_t clip(int v) {
    return (uint8_t)(v < 0 ? 0 : v > 255 ? 255 : v);
}

/* a*b/255 rounded to nearest. */
static int mul255(int a, int b) {
    const int t = a * b + 128;
    return ((t >> 8) + t) >> 8;
}

/* Files store 255 - ink (Adobe's convention, which Pillow assumes of all). */
static void cmyk_to_rgb(const uint8_t *cmyk, uint8_t *rgb, size_t n) {
    for (size_t i = 0; i < n; i++) {
        const int white = cmyk[4 * i + 3];
        for (int c = 0; c < 3; c++)
            rgb[3 * i + (size_t)c] = clip(white - mul255(255 - cmyk[4 * i + (size_t)c], white));
    }
}

/* TurboJPEG reports damage that it could bridge as a warning. Pillow accepts those; missing data is none of them. */
static hm_status check_decoded(tjhandle tj, int rc, const char *name) {
    if (rc == 0)
        return HM_OK;
    const char *const text = tjGetErrorStr2(tj);
    if (tjGetErrorCode(tj) == TJERR_WARNING && strstr(text, "remature end") == NULL)
        return HM_OK;
    HM_FAIL(HM_ERR_FORMAT, "%s: the JPEG data is damaged or cut short (%s); replace the file", name, text);
}

static hm_status decode_pixels(hm_image *out, tjhandle tj, const uint8_t *data, size_t len, bool cmyk,
                               const char *name) {
    const size_t n = (size_t)out->w * (size_t)out->h;
    const int flags = TJFLAG_LIMITSCANS | TJFLAG_ACCURATEDCT;
    uint8_t *ink = NULL;
    hm_status st;
    HM_TRY(hm_alloc(&out->rgb, n, 3));
    if (!cmyk)
        return check_decoded(
            tj, tjDecompress2(tj, data, (unsigned long)len, out->rgb, out->w, 0, out->h, TJPF_RGB, flags), name);
    HM_TRY(hm_alloc(&ink, n, 4));
    st = check_decoded(tj, tjDecompress2(tj, data, (unsigned long)len, ink, out->w, 0, out->h, TJPF_CMYK, flags), name);
    if (st == HM_OK)
        cmyk_to_rgb(ink, out->rgb, n);
    free(ink);
    return st;
}

hm_status hm_image_decode_jpeg(hm_image *out, const uint8_t *data, size_t len, const char *name) {
    int w, h, chroma, space;
    hm_status st = HM_OK;
    memset(out, 0, sizeof *out);
    const jpeg_layout layout = scan_layout(data, len);
    if (!layout.complete)
        HM_FAIL(HM_ERR_FORMAT, "%s: the JPEG data is cut short after %zu bytes (no end marker); replace the file", name,
                len);
    const tjhandle tj = tjInitDecompress();
    if (tj == NULL)
        HM_FAIL(HM_ERR_MEMORY, "%s: cannot start the JPEG decoder: %s", name, tjGetErrorStr2(NULL));
    if (tjDecompressHeader3(tj, data, (unsigned long)len, &w, &h, &chroma, &space) != 0 &&
        tjGetErrorCode(tj) != TJERR_WARNING) {
        st = hm_fail(HM_ERR_FORMAT, "%s: not a readable JPEG header (%s); replace the file", name, tjGetErrorStr2(tj));
        goto done;
    }
    const size_t n = (size_t)w * (size_t)h;
    if (n > HM_IMAGE_MAX_PIXELS || (!layout.arithmetic && n / MAX_PIXELS_PER_BYTE > len)) {
        st = hm_fail(HM_ERR_FORMAT, "%s: claims %d x %d pixels in %zu bytes, which cannot be; replace the file", name,
                     w, h, len);
        goto done;
    }
    out->w = w;
    out->h = h;
    st = decode_pixels(out, tj, data, len, space == TJCS_CMYK || space == TJCS_YCCK, name);
done:
    tjDestroy(tj);
    if (st != HM_OK)
        hm_image_free(out);
    return st;
}
