/* test_zip.c: archives that we write, archives made byte by byte (zip64 among them), and archives that lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "io/atomic.h"
#include "io/zip.h"
#include "io/zip_write.h"

#define PATH "test_zip.tmp.zip"

/* ---- making archives ---- */

typedef struct spec {
    const char *name, *local_name, *data; /* local_name NULL: the same */
    unsigned method, flags;
    uint32_t size;      /* 0: the true one */
    int32_t header_off; /* added to the true place of the header */
    bool wide;          /* sizes and place stand in a zip64 field */
} spec;

typedef struct bytes {
    uint8_t data[8192];
    size_t len;
} bytes;

static void put(bytes *b, uint64_t x, int n) {
    for (int i = 0; i < n; i++)
        b->data[b->len++] = i < 8 ? (uint8_t)(x >> 8 * i) : 0;
}

static void put_text(bytes *b, const char *text) {
    const size_t n = strlen(text);
    memcpy(b->data + b->len, text, n);
    b->len += n;
}

static void put_common(bytes *b, const spec *s, uint32_t size, size_t name, size_t extra) {
    put(b, 20, 2);
    put(b, s->flags, 2);
    put(b, s->method, 2);
    put(b, 0, 8); /* time, date, crc */
    put(b, size, 4);
    put(b, size, 4);
    put(b, name, 2);
    put(b, extra, 2);
}

static uint32_t put_local(bytes *b, const spec *s) {
    const char *const name = s->local_name != NULL ? s->local_name : s->name;
    const uint32_t at = (uint32_t)b->len;
    put(b, 0x04034b50, 4);
    put_common(b, s, (uint32_t)strlen(s->data), strlen(name), 0);
    put_text(b, name);
    put_text(b, s->data);
    return at;
}

static void put_central(bytes *b, const spec *s, uint32_t at) {
    const uint32_t size = s->size ? s->size : (uint32_t)strlen(s->data), place = at + (uint32_t)s->header_off;
    put(b, 0x02014b50, 4);
    put(b, 20, 2);
    put_common(b, s, s->wide ? UINT32_MAX : size, strlen(s->name), s->wide ? 28 : 0);
    put(b, 0, 10); /* comment, disk, attributes */
    put(b, s->wide ? UINT32_MAX : place, 4);
    put_text(b, s->name);
    if (s->wide) {
        put(b, 1, 2);
        put(b, 24, 2);
        put(b, size, 8);
        put(b, size, 8);
        put(b, place, 8);
    }
}

static void put_end(bytes *b, uint64_t n, uint64_t size, uint64_t at, bool wide) {
    if (wide) {
        const uint64_t record = b->len;
        put(b, 0x06064b50, 4);
        put(b, 44, 8);
        put(b, 0, 12); /* versions, disks */
        put(b, n, 8);
        put(b, n, 8);
        put(b, size, 8);
        put(b, at, 8);
        put(b, 0x07064b50, 4);
        put(b, 0, 4);
        put(b, record, 8);
        put(b, 1, 4);
    }
    put(b, 0x06054b50, 4);
    put(b, 0, 4);
    put(b, wide ? 0xffff : n, 2);
    put(b, wide ? 0xffff : n, 2);
    put(b, wide ? UINT32_MAX : size, 4);
    put(b, wide ? UINT32_MAX : at, 4);
    put(b, 0, 2);
}

static void make(bytes *b, const spec *specs, size_t n) {
    uint32_t at[8];
    b->len = 0;
    for (size_t i = 0; i < n; i++)
        at[i] = put_local(b, &specs[i]);
    const size_t directory = b->len;
    for (size_t i = 0; i < n; i++)
        put_central(b, &specs[i], at[i]);
    put_end(b, n, b->len - directory, directory, specs[0].wide);
}

/* Opens an exact copy, so that ASan sees a read past the end, and reads every byte of every entry. */
static hm_status open_bytes(const uint8_t *data, size_t len) {
    hm_zip z;
    uint8_t *const copy = malloc(len ? len : 1);
    volatile uint8_t sum = 0;
    memcpy(copy, data, len);
    const hm_status st = hm_zip_open(&z, "lie.pth", copy, len);
    for (size_t i = 0; st == HM_OK && i < z.n; i++)
        for (size_t k = 0; k < z.entries[i].len; k++)
            sum = (uint8_t)(sum + z.entries[i].data[k]);
    if (st == HM_OK)
        hm_zip_close(&z);
    free(copy);
    return st;
}

static void refused(const spec *specs, size_t n, hm_status status, const char *word) {
    bytes b;
    make(&b, specs, n);
    assert_int_equal(open_bytes(b.data, b.len), status);
    if (strstr(hm_error_message(), word) == NULL)
        fail_msg("\"%s\" lacks \"%s\"", hm_error_message(), word);
}

/* ---- tests ---- */

static void expect(const hm_zip *z, const char *name, const void *data, size_t len) {
    const hm_zip_entry *const e = hm_zip_find(z, "", 0, name);
    assert_non_null(e);
    assert_int_equal(e->len, len);
    assert_memory_equal(e->data, data, len);
}

static void what_is_written_is_read(void **state) {
    (void)state;
    hm_zip_out *out;
    hm_zip z;
    char *file;
    size_t len;
    assert_int_equal(hm_zip_create(&out, PATH), HM_OK);
    assert_int_equal(hm_zip_add(out, "a/long.name", "twelve bytes", 12), HM_OK);
    assert_int_equal(hm_zip_add(out, "a/empty", NULL, 0), HM_OK);
    assert_int_equal(hm_zip_add(out, "b", "x", 1), HM_OK);
    assert_int_equal(hm_zip_commit(&out), HM_OK);
    assert_null(out);
    assert_int_equal(hm_file_read(PATH, 1 << 20, &file, &len), HM_OK);
    assert_int_equal(hm_zip_open(&z, PATH, file, len), HM_OK);
    assert_int_equal(z.n, 3);
    expect(&z, "a/long.name", "twelve bytes", 12);
    expect(&z, "a/empty", "", 0);
    expect(&z, "b", "x", 1);
    assert_null(hm_zip_find(&z, "", 0, "a/long"));
    assert_null(hm_zip_find(&z, "", 0, "c"));
    for (size_t i = 0; i < z.n; i++) /* where torch's readers expect data */
        assert_int_equal((size_t)(z.entries[i].data - (uint8_t *)file) % 64, 0);
    hm_zip_close(&z);
    free(file);
    unlink(PATH);
    assert_int_equal(hm_zip_create(&out, "no/such/folder/x.pth"), HM_ERR_IO);
}

static void zip64_is_read(void **state) {
    (void)state;
    const spec wide[] = {{.name = "d/data.pkl", .data = "pickle", .wide = true},
                         {.name = "d/data/0", .data = "numbers", .wide = true}};
    bytes b;
    hm_zip z;
    make(&b, wide, 2);
    assert_int_equal(hm_zip_open(&z, "wide", b.data, b.len), HM_OK);
    expect(&z, "d/data.pkl", "pickle", 6);
    expect(&z, "d/data/0", "numbers", 7);
    hm_zip_close(&z);
}

static void lies_are_refused(void **state) {
    (void)state;
    const spec good = {.name = "a", .data = "0123456789"};
    spec s[2] = {good, {.name = "b", .data = "9876543210"}};
    bytes b;
    make(&b, s, 2);
    assert_int_equal(open_bytes(b.data, b.len), HM_OK);
    s[0].method = 8;
    refused(s, 2, HM_ERR_UNSUPPORTED, "zip -0");
    s[0] = good;
    s[0].flags = 1;
    refused(s, 2, HM_ERR_UNSUPPORTED, "encrypted");
    s[0] = good;
    s[0].size = 5000;
    refused(s, 2, HM_ERR_FORMAT, "claims 5000 bytes");
    s[0].size = 40; /* reaches into the next entry */
    refused(s, 2, HM_ERR_FORMAT, "overlap");
    s[0] = good;
    s[0].local_name = "x";
    refused(s, 2, HM_ERR_FORMAT, "another name");
    s[0] = good;
    s[0].header_off = 3;
    refused(s, 2, HM_ERR_FORMAT, "no header");
    s[0].header_off = -5; /* as unsigned: far beyond the file */
    refused(s, 2, HM_ERR_FORMAT, "no header");
    s[0] = good;
    s[1].name = "a";
    refused(s, 2, HM_ERR_FORMAT, "two entries");
    s[1] = good; /* two names for the same bytes */
    s[1].header_off = -41;
    refused(s, 2, HM_ERR_FORMAT, "overlap");
}

static void the_end_record_lies(void **state) {
    (void)state;
    const spec s[2] = {{.name = "a", .data = "0123456789"}, {.name = "b", .data = "9876543210"}};
    bytes good, b;
    make(&good, s, 2);
    const size_t end = good.len - 22;
    const struct {
        size_t at;
        int n;
        uint64_t x;
        const char *word;
    } lies[] = {{end + 10, 2, 3, "too short for the number"},  {end + 10, 2, 65535, "too short for the number"},
                {end + 12, 4, UINT32_MAX, "outside the file"}, {end + 16, 4, UINT32_MAX, "outside the file"},
                {end + 16, 4, 7, "directory is broken"},       {end + 20, 2, 9, "no directory at its end"},
                {end, 4, 0, "no directory at its end"}};
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        b = good;
        b.len = lies[i].at;
        put(&b, lies[i].x, lies[i].n);
        assert_int_equal(open_bytes(b.data, good.len), HM_ERR_FORMAT);
        if (strstr(hm_error_message(), lies[i].word) == NULL)
            fail_msg("\"%s\" lacks \"%s\"", hm_error_message(), lies[i].word);
    }
    b = good;
    b.data[end + 4] = 1;
    assert_int_equal(open_bytes(b.data, b.len), HM_ERR_UNSUPPORTED);
}

/* Every cut is refused; every changed byte either leaves a sound archive or is refused. */
static void damage(void **state) {
    (void)state;
    for (int wide = 0; wide < 2; wide++) {
        const spec s[2] = {{.name = "a", .data = "0123456789", .wide = wide},
                           {.name = "b", .data = "98", .wide = wide}};
        bytes b;
        make(&b, s, 2);
        for (size_t len = 0; len < b.len; len++)
            assert_int_not_equal(open_bytes(b.data, len), HM_OK);
        for (size_t i = 0; i < b.len; i++)
            for (int bit = 0; bit < 8; bit++) {
                b.data[i] ^= (uint8_t)(1 << bit);
                (void)open_bytes(b.data, b.len);
                b.data[i] ^= (uint8_t)(1 << bit);
            }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read), cmocka_unit_test(zip64_is_read), cmocka_unit_test(lies_are_refused),
        cmocka_unit_test(the_end_record_lies),     cmocka_unit_test(damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
