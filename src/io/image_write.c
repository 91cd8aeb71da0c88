/* image_write.c: PNG through libpng and JPEG through TurboJPEG, encoded in memory and written atomically. */
#include "io/image_write.h"

#include <png.h>
#include <stdlib.h>
#include <string.h>
#include <turbojpeg.h>

#include "base/mem.h"
#include "io/atomic.h"

#define MAX_SIDE 65500 /* JPEG's own limit; PNG keeps to it so that both accept the same pictures */

typedef struct png_sink {
    uint8_t *data;
    size_t len, cap;
    char message[160]; /* of the first failure */
} png_sink;

static hm_status check_picture(const uint8_t *pixels, int32_t w, int32_t h, int channels) {
    if (pixels == NULL || w < 1 || h < 1 || w > MAX_SIDE || h > MAX_SIDE)
        HM_FAIL(HM_ERR_ARG, "cannot write a picture of %d x %d pixels; sides must be 1 to %d", (int)w, (int)h,
                MAX_SIDE);
    if (channels != 1 && channels != 3)
        HM_FAIL(HM_ERR_ARG, "cannot write a picture of %d channels; use 1 (grey) or 3 (RGB)", channels);
    return HM_OK;
}

static void on_png_error(png_structp png, png_const_charp text) {
    png_sink *const sink = png_get_error_ptr(png);
    strncpy(sink->message, text, sizeof sink->message - 1);
    png_longjmp(png, 1);
}

static void on_png_warning(png_structp png, png_const_charp text) {
    (void)png;
    (void)text;
}

static void on_png_bytes(png_structp png, png_bytep bytes, size_t n) {
    png_sink *const sink = png_get_io_ptr(png);
    if (n > SIZE_MAX - sink->len || hm_grow(&sink->data, &sink->cap, sink->len + n, 1) != HM_OK)
        png_error(png, "out of memory");
    memcpy(sink->data + sink->len, bytes, n);
    sink->len += n;
}

static void on_png_flush(png_structp png) {
    (void)png;
}

/* False when libpng gave up; the sink then holds its message. */
static bool png_encode(png_structp png, png_infop info, png_sink *sink, const uint8_t *pixels, int32_t w, int32_t h,
                       int channels) {
    if (setjmp(png_jmpbuf(png)))
        return false;
    png_set_write_fn(png, sink, on_png_bytes, on_png_flush);
    png_set_IHDR(png, info, (png_uint_32)w, (png_uint_32)h, 8, channels == 1 ? PNG_COLOR_TYPE_GRAY : PNG_COLOR_TYPE_RGB,
                 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, info);
    for (int32_t y = 0; y < h; y++)
        png_write_row(png, pixels + (size_t)y * (size_t)w * (size_t)channels);
    png_write_end(png, info);
    return true;
}

hm_status hm_image_encode_png(uint8_t **data, size_t *len, const uint8_t *pixels, int32_t w, int32_t h, int channels) {
    png_sink sink = {0};
    png_infop info = NULL;
    hm_status st = HM_OK;
    *data = NULL;
    *len = 0;
    HM_TRY(check_picture(pixels, w, h, channels));
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &sink, on_png_error, on_png_warning);
    if (png != NULL)
        info = png_create_info_struct(png);
    if (info == NULL)
        st = hm_fail(HM_ERR_MEMORY, "cannot start a PNG picture: out of memory");
    else if (!png_encode(png, info, &sink, pixels, w, h, channels))
        st = hm_fail(HM_ERR_MEMORY, "cannot encode a PNG picture of %d x %d pixels: %s", (int)w, (int)h, sink.message);
    png_destroy_write_struct(&png, &info);
    if (st != HM_OK) {
        free(sink.data);
        return st;
    }
    *data = sink.data;
    *len = sink.len;
    return HM_OK;
}

hm_status hm_image_encode_jpeg(uint8_t **data, size_t *len, const uint8_t *pixels, int32_t w, int32_t h, int channels,
                               int quality) {
    unsigned char *bytes = NULL;
    unsigned long n = 0;
    hm_status st = HM_OK;
    *data = NULL;
    *len = 0;
    HM_TRY(check_picture(pixels, w, h, channels));
    if (quality < 1 || quality > 100)
        HM_FAIL(HM_ERR_ARG, "JPEG quality %d is out of range; use 1 to 100", quality);
    const tjhandle tj = tjInitCompress();
    if (tj == NULL)
        HM_FAIL(HM_ERR_MEMORY, "cannot start a JPEG picture: %s", tjGetErrorStr2(NULL));
    const int chroma = channels == 1 ? TJSAMP_GRAY : quality >= 90 ? TJSAMP_444 : TJSAMP_420;
    if (tjCompress2(tj, pixels, w, 0, h, channels == 1 ? TJPF_GRAY : TJPF_RGB, &bytes, &n, chroma, quality,
                    TJFLAG_ACCURATEDCT) != 0) {
        st = hm_fail(HM_ERR_MEMORY, "cannot encode a JPEG picture of %d x %d pixels: %s", (int)w, (int)h,
                     tjGetErrorStr2(tj));
        goto done;
    }
    HM_TRY_TO(st, done, hm_alloc(data, n, 1));
    memcpy(*data, bytes, n);
    *len = n;
done:
    tjFree(bytes);
    tjDestroy(tj);
    return st;
}

hm_status hm_image_write_png(const char *path, const uint8_t *pixels, int32_t w, int32_t h, int channels) {
    uint8_t *data;
    size_t len;
    const hm_status encoded = hm_image_encode_png(&data, &len, pixels, w, h, channels);
    if (encoded != HM_OK)
        return hm_fail_in(encoded, "%s", path);
    const hm_status st = hm_file_write(path, data, len);
    free(data);
    return st;
}

hm_status hm_image_write_jpeg(const char *path, const uint8_t *pixels, int32_t w, int32_t h, int channels,
                              int quality) {
    uint8_t *data;
    size_t len;
    const hm_status encoded = hm_image_encode_jpeg(&data, &len, pixels, w, h, channels, quality);
    if (encoded != HM_OK)
        return hm_fail_in(encoded, "%s", path);
    const hm_status st = hm_file_write(path, data, len);
    free(data);
    return st;
}
