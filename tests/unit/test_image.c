/* test_image.c: decoded pixels against Pillow's (golden/image), odd PNG kinds built here, writers' round trip, and
 * files that are cut short, damaged or lie about their size. */
#include "golden_json.h"

#include <string.h>
#include <turbojpeg.h>

#include "data/image.h"
#include "io/atomic.h"
#include "io/image_write.h"
#include "io/safetensors.h"

#define IMAGES HM_GOLDEN_DIR "/image/"

static hm_safetensors *golden;

static int open_golden(void **state) {
    (void)state;
    return hm_safetensors_open(IMAGES "image.safetensors", &golden) != HM_OK;
}

static int close_golden(void **state) {
    (void)state;
    hm_safetensors_close(golden);
    return 0;
}

static void check_file(const cJSON *entry) {
    char path[512], key[128];
    const char *const file = golden_get(entry, "file")->valuestring;
    hm_image m;
    snprintf(path, sizeof path, IMAGES "%s", file);
    if (hm_image_read(&m, path) != HM_OK)
        fail_msg("%s", hm_error_message());
    assert_int_equal(m.h, cJSON_GetArrayItem(golden_get(entry, "decoded_shape_hwc"), 0)->valueint);
    assert_int_equal(m.w, cJSON_GetArrayItem(golden_get(entry, "decoded_shape_hwc"), 1)->valueint);
    const size_t n = (size_t)m.w * (size_t)m.h * 3;
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += m.rgb[i];
    if (sum != golden_number(entry, "decoded_rgb_sum"))
        fail_msg("%s: sum %.0f instead of %.0f", file, sum, golden_number(entry, "decoded_rgb_sum"));
    snprintf(key, sizeof key, "rgb.%.*s", (int)(strrchr(file, '.') - file), file);
    const hm_safetensor *const whole = hm_safetensors_find(golden, key);
    if (whole) {
        assert_int_equal(whole->bytes, n);
        assert_memory_equal(whole->data, m.rgb, n);
    }
    hm_image_free(&m);
}

static void files_match_pillow(void **state) {
    (void)state;
    cJSON *const root = golden_read("image/image.json");
    const cJSON *entry;
    int n = 0;
    cJSON_ArrayForEach(entry, golden_get(root, "preprocess")) {
        check_file(entry);
        n++;
    }
    assert_true(n >= 20);
    cJSON_Delete(root);
}

/* A PNG under construction; data is stored, not compressed. */
typedef struct png_bytes {
    uint8_t b[4096];
    size_t n;
} png_bytes;

static void put32(png_bytes *p, uint32_t v) {
    for (int s = 24; s >= 0; s -= 8)
        p->b[p->n++] = (uint8_t)(v >> s);
}

static void put_chunk(png_bytes *p, const char *type, const uint8_t *data, size_t len) {
    put32(p, (uint32_t)len);
    const size_t from = p->n;
    memcpy(p->b + p->n, type, 4);
    if (len)
        memcpy(p->b + p->n + 4, data, len);
    p->n += 4 + len;
    uint32_t crc = 0xFFFFFFFFu;
    for (size_t i = from; i < p->n; i++) {
        crc ^= p->b[i];
        for (int k = 0; k < 8; k++)
            crc = crc & 1 ? 0xEDB88320u ^ (crc >> 1) : crc >> 1;
    }
    put32(p, ~crc);
}

static void put_header(png_bytes *p, uint32_t w, uint32_t h, uint8_t depth, uint8_t type) {
    png_bytes head = {.n = 0};
    memcpy(p->b, "\x89PNG\r\n\x1a\n", 8);
    p->n = 8;
    put32(&head, w);
    put32(&head, h);
    memcpy(head.b + 8, (uint8_t[]){depth, type, 0, 0, 0}, 5);
    put_chunk(p, "IHDR", head.b, 13);
}

static void put_pixels(png_bytes *p, const uint8_t *rows, size_t len) {
    png_bytes z = {.b = {0x78, 0x01, 0x01, (uint8_t)len, (uint8_t)(len >> 8), (uint8_t)~len, (uint8_t)(~len >> 8)},
                   .n = 7};
    uint32_t a = 1, b = 0;
    for (size_t i = 0; i < len; i++) {
        z.b[z.n++] = rows[i];
        a = (a + rows[i]) % 65521;
        b = (b + a) % 65521;
    }
    put32(&z, b << 16 | a);
    put_chunk(p, "IDAT", z.b, z.n);
}

/* One-row PNG; palette of n_plte bytes unless 0. */
static void expect_row(uint32_t w, uint8_t depth, uint8_t type, const char *row, size_t row_bytes, const char *palette,
                       size_t n_plte, const char *rgb) {
    png_bytes p;
    uint8_t line[64] = {0};
    hm_image m;
    memcpy(line + 1, row, row_bytes);
    put_header(&p, w, 1, depth, type);
    if (n_plte) {
        put_chunk(&p, "PLTE", (const uint8_t *)palette, n_plte);
        put_chunk(&p, "tRNS", (const uint8_t *)"\0\x80", 2);
    }
    put_pixels(&p, line, row_bytes + 1);
    put_chunk(&p, "IEND", NULL, 0);
    if (hm_image_decode(&m, p.b, p.n, "row.png") != HM_OK)
        fail_msg("depth %d type %d: %s", depth, type, hm_error_message());
    assert_memory_equal(m.rgb, rgb, w * 3);
    hm_image_free(&m);
}

/* Expected values: what Pillow 13 gives for the same bytes. */
static void odd_png_kinds_match_pillow(void **state) {
    (void)state;
    const char *const plte = "\x0a\x14\x1e\x28\x32\x3c";
    expect_row(4, 16, 0, "\0\5\0\377\1\0\377\377", 8, NULL, 0, "\5\5\5\377\377\377\377\377\377\377\377\377");
    expect_row(4, 2, 0, "\x1b", 1, NULL, 0, "\0\0\0UUU\xaa\xaa\xaa\xff\xff\xff");
    expect_row(2, 4, 0, "\x1f", 1, NULL, 0, "\x11\x11\x11\xff\xff\xff");
    expect_row(4, 8, 3, "\0\1\2\377", 4, plte, 6, "\x0a\x14\x1e\x28\x32\x3c\0\0\0\0\0\0");
    expect_row(4, 4, 3, "\x01\x2f", 2, plte, 6, "\x0a\x14\x1e\x28\x32\x3c\0\0\0\0\0\0");
    expect_row(2, 16, 4, "\x12\xff\0\5\xfe\x80\0\x09", 8, NULL, 0, "\x12\x12\x12\xfe\xfe\xfe");
    expect_row(1, 16, 2, "\x12\xff\xab\xcd\xfe\x80", 6, NULL, 0, "\x12\xab\xfe");
}

static void cmyk_is_converted_as_pillow_does(void **state) {
    (void)state;
    uint8_t ink[16 * 16 * 4];
    unsigned char *bytes = NULL;
    unsigned long n = 0;
    for (size_t i = 0; i < sizeof ink; i++)
        ink[i] = ((const uint8_t[]){200, 100, 50, 180})[i % 4];
    const tjhandle tj = tjInitCompress();
    assert_int_equal(tjCompress2(tj, ink, 16, 0, 16, TJPF_CMYK, &bytes, &n, TJSAMP_444, 100, 0), 0);
    hm_image m;
    assert_int_equal(hm_image_decode(&m, bytes, n, "cmyk.jpg"), HM_OK);
    const int expected[3] = {141, 71, 35}; /* 180 - (255-ink)*180/255 */
    for (int i = 0; i < 16 * 16 * 3; i++)
        assert_in_range(m.rgb[i] + 2, expected[i % 3], expected[i % 3] + 4);
    hm_image_free(&m);
    tjFree(bytes);
    tjDestroy(tj);
}

static void pictures_survive_a_round_trip(void **state) {
    (void)state;
    enum { W = 37, H = 23 };
    uint8_t rgb[W * H * 3], *data;
    size_t len;
    hm_image m;
    for (int i = 0; i < W * H * 3; i++)
        rgb[i] = (uint8_t)(i * 7 + i / W);
    assert_int_equal(hm_image_write_png("round.png", rgb, W, H, 3), HM_OK);
    assert_int_equal(hm_image_read(&m, "round.png"), HM_OK);
    assert_memory_equal(m.rgb, rgb, sizeof rgb);
    hm_image_free(&m);
    assert_int_equal(hm_image_encode_png(&data, &len, rgb, W, H, 1), HM_OK);
    assert_int_equal(hm_image_decode(&m, data, len, "grey"), HM_OK);
    assert_int_equal(m.rgb[3 * 100 + 1], rgb[100]);
    hm_image_free(&m);
    free(data);
    memset(rgb, 77, sizeof rgb);
    for (int quality = 60; quality <= 95; quality += 35) {
        assert_int_equal(hm_image_write_jpeg("round.jpg", rgb, W, H, 3, quality), HM_OK);
        assert_int_equal(hm_image_read(&m, "round.jpg"), HM_OK);
        assert_int_equal(m.w * m.h, W * H);
        assert_in_range(m.rgb[W * 3 * 5], 75, 79);
        hm_image_free(&m);
    }
    assert_int_equal(hm_image_write_jpeg("round.jpg", rgb, W, H, 3, 0), HM_ERR_ARG);
    assert_int_equal(hm_image_write_png("round.png", rgb, 0, H, 3), HM_ERR_ARG);
    assert_int_equal(hm_image_write_png("no/such/folder.png", rgb, W, H, 3), HM_ERR_IO);
}

static void expect_refused(const uint8_t *data, size_t len, const char *words) {
    hm_image m;
    assert_int_equal(hm_image_decode(&m, data, len, "bad.file"), HM_ERR_FORMAT);
    if (!strstr(hm_error_message(), words) || !strstr(hm_error_message(), "bad.file"))
        fail_msg("unexpected message: %s", hm_error_message());
    assert_null(m.rgb);
}

/* Every proper prefix is refused; a PNG may lack the bytes after its pixels, which Pillow does not miss either. */
static void expect_prefixes_refused(const char *path, size_t spare) {
    char *data;
    size_t len;
    assert_int_equal(hm_file_read(path, 1 << 20, &data, &len), HM_OK);
    for (size_t n = 0; n + spare < len; n += n < 700 ? 1 : 97) {
        uint8_t *const part = malloc(n + 1); /* exact size, so that AddressSanitizer sees the end */
        memcpy(part, data, n);
        expect_refused(part, n, n == 0 ? "empty" : "");
        free(part);
    }
    free(data);
}

static void truncated_files_are_refused(void **state) {
    (void)state;
    expect_prefixes_refused(IMAGES "jpeg_q75_420.jpg", 0);
    expect_prefixes_refused(IMAGES "jpeg_progressive.jpg", 0);
    expect_prefixes_refused(IMAGES "palette_64x48.png", 24);
    expect_prefixes_refused(IMAGES "interlaced_55x37.png", 24);
}

static void lying_files_are_refused(void **state) {
    (void)state;
    png_bytes p;
    char *data;
    size_t len;
    put_header(&p, 100000, 100000, 8, 2);
    put_pixels(&p, (const uint8_t *)"\0abc", 4);
    expect_refused(p.b, p.n, "claims 100000 x 100000 pixels");
    put_header(&p, 13000, 13000, 8, 0);
    put_pixels(&p, (const uint8_t *)"\0abc", 4);
    expect_refused(p.b, p.n, "which cannot be");
    put_header(&p, 4, 4, 8, 0);
    put_pixels(&p, (const uint8_t *)"\0abcd", 5);
    put_chunk(&p, "IEND", NULL, 0);
    expect_refused(p.b, p.n, "damaged or cut short");
    expect_refused((const uint8_t *)"GIF89a..", 8, "neither a JPEG nor a PNG");
    assert_int_equal(hm_file_read(IMAGES "jpeg_gray.jpg", 1 << 20, &data, &len), HM_OK);
    for (size_t i = 0; i + 9 < len; i++)
        if ((uint8_t)data[i] == 0xFF && (uint8_t)data[i + 1] == 0xC0) {
            data[i + 5] = data[i + 7] = 100; /* high bytes of height and width */
            break;
        }
    expect_refused((const uint8_t *)data, len, "which cannot be");
    free(data);
    hm_image m;
    assert_int_equal(hm_image_read(&m, "no/such.png"), HM_ERR_IO);
    assert_non_null(strstr(hm_error_message(), "no/such.png"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_match_pillow),
        cmocka_unit_test(odd_png_kinds_match_pillow),
        cmocka_unit_test(cmyk_is_converted_as_pillow_does),
        cmocka_unit_test(pictures_survive_a_round_trip),
        cmocka_unit_test(truncated_files_are_refused),
        cmocka_unit_test(lying_files_are_refused),
    };
    return cmocka_run_group_tests(tests, open_golden, close_golden);
}
