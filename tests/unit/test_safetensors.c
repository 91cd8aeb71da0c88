/* test_safetensors.c: round trips, the golden files, and headers that lie: each refused with its reason. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "io/atomic.h"
#include "io/safetensors.h"

#define FILE_NAME "test_safetensors.tmp.safetensors"

static void assert_message_has(const char *part) {
    if (strstr(hm_error_message(), part) == NULL)
        fail_msg("\"%s\" lacks \"%s\"", hm_error_message(), part);
}

/* Opens 8 bytes of length, the header, and `data` zero bytes. */
static hm_status open_header(const char *json, size_t data, hm_safetensors **out) {
    const size_t n = strlen(json), len = 8 + n + data;
    uint8_t *const file = calloc(1, len); /* exact, so that ASan sees a read past the end */
    assert_non_null(file);
    for (int i = 0; i < 8; i++)
        file[i] = (uint8_t)(n >> 8 * i);
    memcpy(file + 8, json, n);
    const hm_status st = hm_safetensors_open_memory("lie", file, len, out);
    if (st == HM_OK) {
        hm_safetensors_close(*out);
        *out = NULL;
    }
    free(file);
    return st;
}

static void what_is_written_is_read(void **state) {
    (void)state;
    static const float f32[2][3] = {{1, 2, 3}, {4, 5, 6}};
    static const int64_t i64[1] = {INT64_MIN};
    static const uint8_t u8[3] = {7, 8, 9};
    static const hm_safetensor in[] = {
        {.name = "z.weight", .dtype = HM_ST_F32, .rank = 2, .shape = {2, 3}, .data = f32, .bytes = sizeof f32},
        {.name = "a \"quoted\" \\ \xc3\xa9", .dtype = HM_ST_I64, .rank = 0, .data = i64, .bytes = sizeof i64},
        {.name = "m", .dtype = HM_ST_BOOL, .rank = 3, .shape = {1, 3, 1}, .data = u8, .bytes = sizeof u8},
        {.name = "empty", .dtype = HM_ST_BF16, .rank = 2, .shape = {0, 5}, .data = NULL, .bytes = 0},
    };
    static const hm_st_pair metadata[] = {{"format", "pt"}, {"note", "line\nbreak"}};
    hm_safetensors *s;
    for (size_t n_metadata = 0; n_metadata <= 2; n_metadata += 2) {
        assert_int_equal(hm_safetensors_write(FILE_NAME, in, 4, metadata, n_metadata), HM_OK);
        assert_int_equal(hm_safetensors_open(FILE_NAME, &s), HM_OK);
        assert_int_equal(hm_safetensors_count(s), 4);
        for (size_t i = 0; i < 4; i++) {
            const hm_safetensor *const t = hm_safetensors_at(s, i);
            assert_string_equal(t->name, in[i].name);
            assert_int_equal(t->dtype, in[i].dtype);
            assert_int_equal(t->rank, in[i].rank);
            assert_memory_equal(t->shape, in[i].shape, sizeof t->shape);
            assert_int_equal(t->bytes, in[i].bytes);
            if (t->bytes > 0)
                assert_memory_equal(t->data, in[i].data, t->bytes);
            assert_ptr_equal(hm_safetensors_find(s, in[i].name), t);
        }
        assert_int_equal((uintptr_t)hm_safetensors_at(s, 0)->data % 8, 0);
        assert_null(hm_safetensors_find(s, "b"));
        if (n_metadata == 2) {
            assert_string_equal(hm_safetensors_metadata(s, "format"), "pt");
            assert_string_equal(hm_safetensors_metadata(s, "note"), "line\nbreak");
        }
        assert_null(hm_safetensors_metadata(s, "other"));
        hm_safetensors_close(s);
    }
    unlink(FILE_NAME);
}

static void a_file_of_no_tensors_is_fine(void **state) {
    (void)state;
    hm_safetensors *s;
    assert_int_equal(hm_safetensors_write(FILE_NAME, NULL, 0, NULL, 0), HM_OK);
    assert_int_equal(hm_safetensors_open(FILE_NAME, &s), HM_OK);
    assert_int_equal(hm_safetensors_count(s), 0);
    assert_null(hm_safetensors_find(s, "a"));
    hm_safetensors_close(s);
    unlink(FILE_NAME);
}

static void the_writer_refuses_nonsense(void **state) {
    (void)state;
    static const uint8_t bytes[8];
    hm_safetensor t[2] = {
        {.name = "a", .dtype = HM_ST_F32, .rank = 1, .shape = {2}, .data = bytes, .bytes = 8},
        {.name = "a", .dtype = HM_ST_F32, .rank = 1, .shape = {2}, .data = bytes, .bytes = 8},
    };
    const hm_st_pair twice[] = {{"k", "1"}, {"k", "2"}}, latin1[] = {{"k", "\xe9"}};
    assert_int_equal(hm_safetensors_write(FILE_NAME, t, 2, NULL, 0), HM_ERR_ARG);
    assert_message_has("the tensor \"a\" is given twice");
    assert_int_equal(hm_safetensors_write(FILE_NAME, t, 1, twice, 2), HM_ERR_ARG);
    assert_message_has("metadata key \"k\" is given twice");
    assert_int_equal(hm_safetensors_write(FILE_NAME, t, 1, latin1, 1), HM_ERR_ARG);
    assert_message_has("UTF-8");
    t[0].bytes = 4;
    assert_int_equal(hm_safetensors_write(FILE_NAME, t, 1, NULL, 0), HM_ERR_ARG);
    assert_message_has("tensor \"a\" has 4 bytes");
    t[0].name = "\xff";
    t[0].bytes = 8;
    assert_int_equal(hm_safetensors_write(FILE_NAME, t, 1, NULL, 0), HM_ERR_ARG);
    t[0].name = "__metadata__";
    assert_int_equal(hm_safetensors_write(FILE_NAME, t, 1, NULL, 0), HM_ERR_ARG);
    t[0].name = "a";
    t[0].rank = 9;
    assert_int_equal(hm_safetensors_write(FILE_NAME, t, 1, NULL, 0), HM_ERR_ARG);
    t[0].rank = 1;
    assert_int_equal(hm_safetensors_write("/dev/null/x", t, 1, NULL, 0), HM_ERR_IO);
    assert_int_not_equal(access(FILE_NAME, F_OK), 0);
}

/* A limit on the file's size stands for the full disk: write(2) fails part-way just so. */
static void a_full_disk_leaves_the_old_file(void **state) {
    (void)state;
    enum { BIG = 4 << 20 };
    static uint8_t bytes[BIG];
    const hm_safetensor small = {.name = "old", .dtype = HM_ST_U8, .rank = 1, .shape = {4}, .data = bytes, .bytes = 4};
    const hm_safetensor big = {
        .name = "new", .dtype = HM_ST_U8, .rank = 1, .shape = {BIG}, .data = bytes, .bytes = BIG};
    struct rlimit before, tight;
    hm_safetensors *s;
    assert_int_equal(hm_safetensors_write(FILE_NAME, &small, 1, NULL, 0), HM_OK);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    tight = before;
    tight.rlim_cur = BIG / 2;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
    const hm_status st = hm_safetensors_write(FILE_NAME, &big, 1, NULL, 0);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(st, HM_ERR_IO);
    assert_message_has("cannot write " FILE_NAME);
    assert_int_equal(hm_safetensors_open(FILE_NAME, &s), HM_OK);
    assert_non_null(hm_safetensors_find(s, "old"));
    hm_safetensors_close(s);
    unlink(FILE_NAME);
    assert_int_equal(hm_safetensors_write("no/such/folder/x.safetensors", &small, 1, NULL, 0), HM_ERR_IO);
    assert_message_has("no/such/folder/x.safetensors");
}

static size_t golden_files;

static int open_golden(const char *path, const struct stat *info, int kind, struct FTW *where) {
    (void)info;
    (void)where;
    const size_t len = strlen(path);
    hm_safetensors *s;
    if (kind != FTW_F || len < 12 || strcmp(path + len - 12, ".safetensors") != 0)
        return 0;
    if (strstr(path, "/hostile_") != NULL) {
        assert_int_equal(hm_safetensors_open(path, &s), HM_ERR_FORMAT);
        return 0;
    }
    if (hm_safetensors_open(path, &s) != HM_OK)
        fail_msg("%s", hm_error_message());
    assert_true(hm_safetensors_count(s) > 0);
    hm_safetensors_close(s);
    golden_files++;
    return 0;
}

static void golden_files_open(void **state) {
    (void)state;
    assert_int_equal(nftw(HM_GOLDEN_DIR, open_golden, 16, FTW_PHYS), 0);
    assert_true(golden_files >= 10);
}

static void lying_headers_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *json, *message;
    } lies[] = {
        {"", "not JSON"},
        {"{", "not JSON at its byte"},
        {"nonsense", "not JSON"},
        {"[]", "the header is not a JSON object"},
        {"1", "the header is not a JSON object"},
        {"{}x", "not JSON"},
        {"{\"a\":1}", "wrong type"},
        {"{\"a\":[]}", "wrong type"},
        {"{\"a\":null}", "wrong type"},
        {"{\"a\":{}}", "tensor \"a\" lacks dtype"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", "tensor \"a\" lacks"},
        {"{\"a\":{\"dtype\":\"F33\",\"shape\":[1],\"data_offsets\":[0,4]}}", "tensor \"a\" has a dtype other than"},
        {"{\"a\":{\"dtype\":5,\"shape\":[1],\"data_offsets\":[0,4]}}", "wrong type"},
        {"{\"a\":{\"dtype\":[1],\"shape\":[1],\"data_offsets\":[0,4]}}", "wrong type"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":{},\"data_offsets\":[0,4]}}", "wrong type"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[[1]],\"data_offsets\":[0,4]}}", "wrong type"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[true],\"data_offsets\":[0,4]}}", "wrong type"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1.0],\"data_offsets\":[0,4]}}", "not a whole number"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", "not a whole number"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]}}", "not two numbers"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4,8]}}", "more than two"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", "run backwards"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", "do not span its shape"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,5]}}", "do not span its shape"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[3],\"data_offsets\":[0,12]}}", "tensor \"a\" ends at data byte 12"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[9223372036854775803,9223372036854775807]}}",
         "ends at data byte 9223372036854775807"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[18446744073709551612,0]}}", "not a whole number"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,99999999999999999999999999]}}",
         "not a whole number"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,4],\"data_offsets\":[0,0]}}", "too large"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387905],\"data_offsets\":[0,4]}}", "too large"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,1]}}", "more than 8 dimensions"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"shape\":[1],\"data_offsets\":[0,1]}}", "a key twice"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1],\"x\":1}}", "a key other than"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
         "\"a\":{\"dtype\":\"U8\",\"shape\":[7],\"data_offsets\":[1,8]}}",
         "the tensor \"a\" twice"},
        {"{\"a\":{\"dtype\":\"I64\",\"shape\":[1],\"data_offsets\":[0,8]},"
         "\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
         "tensor \"b\" overlaps tensor \"a\""},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}",
         "4 data bytes before tensor \"a\" belong to none"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", "last 4 bytes belong to no tensor"},
        {"{}", "last 8 bytes belong to no tensor"},
        {"{\"a\\u0000b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", "NUL character"},
        {"{\"__metadata__\":{\"a\":1}}", "wrong type"},
        {"{\"__metadata__\":{\"a\":{}}}", "wrong type"},
        {"{\"__metadata__\":\"a\"}", "wrong type"},
        {"{\"__metadata__\":{},\"__metadata__\":{}}", "__metadata__ twice"},
    };
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; i++) {
        hm_safetensors *s = NULL;
        if (open_header(lies[i].json, 8, &s) != HM_ERR_FORMAT)
            fail_msg("not refused: %s", lies[i].json);
        assert_null(s);
        assert_message_has("lie");
        assert_message_has(lies[i].message);
    }
}

static void lying_lengths_are_refused(void **state) {
    (void)state;
    hm_safetensors *s;
    uint8_t file[10] = {2, 0, 0, 0, 0, 0, 0, 0, '{', '}'};
    assert_int_equal(hm_safetensors_open_memory("f", file, 10, &s), HM_OK);
    hm_safetensors_close(s);
    hm_safetensors_close(NULL);
    assert_int_equal(hm_safetensors_open_memory("f", NULL, 0, &s), HM_ERR_FORMAT);
    assert_message_has("f is empty (0 bytes)");
    for (size_t n = 1; n < 10; n++)
        assert_int_equal(hm_safetensors_open_memory("f", file, n, &s), HM_ERR_FORMAT);
    assert_message_has("claims a header of 2 bytes but has only 9 in all");
    memset(file, 0xff, 8);
    assert_int_equal(hm_safetensors_open_memory("f", file, 10, &s), HM_ERR_FORMAT);
    assert_message_has("more than the format allows");
    assert_int_equal(hm_file_write(FILE_NAME, "", 0), HM_OK);
    assert_int_equal(hm_safetensors_open(FILE_NAME, &s), HM_ERR_FORMAT);
    assert_message_has(FILE_NAME " is empty (0 bytes)");
    unlink(FILE_NAME);
    assert_int_equal(hm_safetensors_open(FILE_NAME, &s), HM_ERR_IO);
    assert_message_has("No such file");
    assert_int_equal(hm_safetensors_open("/", &s), HM_ERR_IO);
    assert_message_has("not a regular file");
}

/* A sound file cut at every byte must be refused: its one tensor ends at the last byte. */
static void files_cut_anywhere_are_refused(void **state) {
    (void)state;
    static const char json[] = "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}";
    const size_t n = sizeof json - 1, whole = 8 + n + 4;
    for (size_t len = 0; len < whole; len++) {
        hm_safetensors *s;
        uint8_t *const file = calloc(1, whole), *const cut = malloc(len + 1);
        assert_true(file != NULL && cut != NULL);
        file[0] = (uint8_t)n;
        memcpy(file + 8, json, n);
        memcpy(cut, file, len);
        assert_int_equal(hm_safetensors_open_memory("cut", cut, len, &s), HM_ERR_FORMAT);
        free(file);
        free(cut);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read),        cmocka_unit_test(a_file_of_no_tensors_is_fine),
        cmocka_unit_test(the_writer_refuses_nonsense),    cmocka_unit_test(golden_files_open),
        cmocka_unit_test(lying_headers_are_refused),      cmocka_unit_test(lying_lengths_are_refused),
        cmocka_unit_test(files_cut_anywhere_are_refused), cmocka_unit_test(a_full_disk_leaves_the_old_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
