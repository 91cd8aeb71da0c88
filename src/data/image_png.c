/* image_png.c: PNG to RGB through libpng. Palettes are looked up here, because libpng and Pillow differ on indices that
 * the palette lacks (Pillow: black). Text, colour profiles and transparency chunks are skipped unread. */
#include <png.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "data/image.h"

#define MAX_INFLATE 1032 /* bytes that one byte of deflate data can become, at most */

typedef struct png_source {
    const uint8_t *data;
    size_t len, at;
    const char *name;
    hm_status status;
    char message[160]; /* libpng's, of the first failure */
    png_bytep raw;     /* [h, stride] rows as libpng gives them, when they are not RGB already */
    png_bytep *rows;   /* [h] */
} png_source;

static void on_error(png_structp png, png_const_charp text) {
    png_source *const s = png_get_error_ptr(png);
    strncpy(s->message, text, sizeof s->message - 1);
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp text) {
    (void)png;
    (void)text;
}

static void on_read(png_structp png, png_bytep bytes, size_t n) {
    png_source *const s = png_get_io_ptr(png);
    if (n > s->len - s->at)
        png_error(png, "the file ends early");
    memcpy(bytes, s->data + s->at, n);
    s->at += n;
}

/* Leaves libpng's error path with a status of our own. */
static void check(png_structp png, png_source *s, hm_status st) {
    if (st == HM_OK)
        return;
    s->status = st;
    png_longjmp(png, 1);
}

static void skip_ancillary(png_structp png) {
    static const png_byte names[] = "iCCP\0zTXt\0iTXt\0tEXt\0tRNS\0eXIf\0sPLT\0gAMA\0cHRM\0hIST\0bKGD";
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, NULL, 0);
    png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, names, (int)(sizeof names / 5));
}

static hm_status check_size(const png_source *s, png_structp png, png_infop info) {
    const size_t w = png_get_image_width(png, info), h = png_get_image_height(png, info);
    const size_t packed = png_get_rowbytes(png, info);
    if (w * h > HM_IMAGE_MAX_PIXELS || (packed + 1) * h / MAX_INFLATE > s->len)
        HM_FAIL(HM_ERR_FORMAT, "%s: claims %zu x %zu pixels in %zu bytes, which cannot be; replace the file", s->name,
                w, h, s->len);
    return HM_OK;
}

/* Asks libpng for one of: 8-bit RGB, 8-bit grey, 16-bit grey, 8-bit palette indices. */
static void set_transforms(png_structp png, png_infop info) {
    const int type = png_get_color_type(png, info), depth = png_get_bit_depth(png, info);
    if (type == PNG_COLOR_TYPE_GRAY && depth < 8)
        png_set_expand_gray_1_2_4_to_8(png);
    if (type == PNG_COLOR_TYPE_PALETTE && depth < 8)
        png_set_packing(png);
    if (type != PNG_COLOR_TYPE_GRAY && depth == 16)
        png_set_strip_16(png);
    if (type & PNG_COLOR_MASK_ALPHA)
        png_set_strip_alpha(png);
    png_set_interlace_handling(png);
    png_read_update_info(png, info);
}

static void grey_to_rgb(const uint8_t *grey, int step, uint8_t *rgb, size_t n) {
    for (size_t i = 0; i < n; i++) {
        const uint8_t *const g = grey + i * (size_t)step;
        const uint8_t v = step == 2 ? (g[0] ? 255 : g[1]) : g[0];
        memset(rgb + 3 * i, v, 3);
    }
}

static void palette_to_rgb(png_structp png, png_infop info, const uint8_t *index, uint8_t *rgb, size_t n) {
    png_colorp colours = NULL;
    int n_colours = 0;
    uint8_t table[256][3] = {{0}};
    png_get_PLTE(png, info, &colours, &n_colours);
    for (int i = 0; i < n_colours && i < 256; i++) {
        table[i][0] = colours[i].red;
        table[i][1] = colours[i].green;
        table[i][2] = colours[i].blue;
    }
    for (size_t i = 0; i < n; i++)
        memcpy(rgb + 3 * i, table[index[i]], 3);
}

/* False when libpng or a check gave up. */
static bool decode(png_structp png, png_infop info, png_source *s, hm_image *out) {
    if (setjmp(png_jmpbuf(png)))
        return false;
    png_set_read_fn(png, s, on_read);
    png_set_benign_errors(png, 1);
    png_set_check_for_invalid_index(png, 0);
    skip_ancillary(png);
    png_read_info(png, info);
    check(png, s, check_size(s, png, info));
    set_transforms(png, info);
    out->w = (int32_t)png_get_image_width(png, info);
    out->h = (int32_t)png_get_image_height(png, info);
    const size_t n = (size_t)out->w * (size_t)out->h, stride = png_get_rowbytes(png, info);
    const bool rgb = png_get_channels(png, info) == 3;
    check(png, s, hm_alloc(&out->rgb, n, 3));
    if (!rgb)
        check(png, s, hm_alloc(&s->raw, stride, (size_t)out->h));
    check(png, s, hm_alloc(&s->rows, (size_t)out->h, sizeof *s->rows));
    for (int32_t y = 0; y < out->h; y++)
        s->rows[y] = (rgb ? out->rgb : s->raw) + (size_t)y * stride;
    png_read_image(png, s->rows);
    if (png_get_color_type(png, info) == PNG_COLOR_TYPE_PALETTE)
        palette_to_rgb(png, info, s->raw, out->rgb, n);
    else if (!rgb)
        grey_to_rgb(s->raw, png_get_bit_depth(png, info) == 16 ? 2 : 1, out->rgb, n);
    return true;
}

hm_status hm_image_decode_png(hm_image *out, const uint8_t *data, size_t len, const char *name) {
    png_source s = {.data = data, .len = len, .name = name};
    png_infop info = NULL;
    hm_status st = HM_OK;
    memset(out, 0, sizeof *out);
    png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &s, on_error, on_warning);
    if (png != NULL)
        info = png_create_info_struct(png);
    if (info == NULL)
        st = hm_fail(HM_ERR_MEMORY, "%s: cannot start the PNG decoder: out of memory", name);
    else if (!decode(png, info, &s, out))
        st = s.status != HM_OK
                 ? s.status
                 : hm_fail(HM_ERR_FORMAT, "%s: the PNG data is damaged or cut short (%s); replace the file", name,
                           s.message);
    png_destroy_read_struct(&png, &info, NULL);
    free(s.raw);
    free(s.rows);
    if (st != HM_OK)
        hm_image_free(out);
    return st;
}
