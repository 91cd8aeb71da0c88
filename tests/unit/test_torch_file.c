/* test_torch_file.c: the golden checkpoints, number for number; the hostile ones; and checkpoints whose tensors,
 * storages and forms lie. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "io/atomic.h"
#include "io/pickle_write.h"
#include "io/zip_write.h"
#include "weights/tensor_file.h"
#include "weights/weights_number.h"

#define GOLDEN HM_GOLDEN_DIR "/checkpoint/"
#define PATH   "test_torch_file.tmp.pth"

static cJSON *expected;

static int set_up(void **state) {
    (void)state;
    char *text;
    size_t len;
    if (hm_file_read(GOLDEN "checkpoint.json", 1 << 20, &text, &len) != HM_OK)
        return 1;
    expected = cJSON_Parse(text);
    free(text);
    return expected == NULL;
}

static int tear_down(void **state) {
    (void)state;
    cJSON_Delete(expected);
    unlink(PATH);
    return 0;
}

static const char *path_of(const char *name) {
    static char path[512];
    snprintf(path, sizeof path, GOLDEN "%s", name);
    return path;
}

static void message_has(const char *word) {
    if (strstr(hm_error_message(), word) == NULL)
        fail_msg("\"%s\" lacks \"%s\"", hm_error_message(), word);
}

/* ---- the golden files ---- */

static double number_at(const hm_safetensor *t, size_t i) {
    const uint8_t *const p = (const uint8_t *)t->data + i * hm_st_dtype_size(t->dtype);
    double d;
    int64_t n;
    switch (t->dtype) {
    case HM_ST_F64: /* in full */
        memcpy(&d, p, sizeof d);
        return d;
    case HM_ST_I64:
        memcpy(&n, p, sizeof n);
        return (double)n;
    default:
        return (double)hm_weights_number(t, i);
    }
}

static void same_tensor(const cJSON *e, const hm_safetensor *t, double scale) {
    static const char *const types[HM_ST_DTYPES] = {
        [HM_ST_F64] = "float64",   [HM_ST_F32] = "float32", [HM_ST_F16] = "float16",
        [HM_ST_BF16] = "bfloat16", [HM_ST_I64] = "int64",   [HM_ST_BOOL] = "bool"};
    const cJSON *const shape = cJSON_GetObjectItem(e, "shape"), *const values = cJSON_GetObjectItem(e, "values");
    assert_string_equal(types[t->dtype], cJSON_GetObjectItem(e, "dtype")->valuestring);
    assert_int_equal(t->rank, cJSON_GetArraySize(shape));
    for (int i = 0; i < t->rank; i++)
        assert_int_equal(t->shape[i], cJSON_GetArrayItem(shape, i)->valueint);
    assert_int_equal(t->bytes / hm_st_dtype_size(t->dtype), cJSON_GetArraySize(values));
    for (int i = 0; i < cJSON_GetArraySize(values); i++)
        if (number_at(t, (size_t)i) != cJSON_GetArrayItem(values, i)->valuedouble * (t->dtype == HM_ST_I64 ? 1 : scale))
            fail_msg("%s[%d] is %.17g", t->name, i, number_at(t, (size_t)i));
}

static hm_tensor_file *open_golden(const char *name, bool averages) {
    hm_tensor_file *f;
    if (hm_tensor_file_open(&f, path_of(name), averages) != HM_OK)
        fail_msg("%s", hm_error_message());
    const cJSON *e;
    size_t n = 0;
    cJSON_ArrayForEach(e, cJSON_GetObjectItem(expected, "tensors")) {
        const hm_safetensor *const t = hm_tensor_file_find(f, e->string);
        if (t == NULL)
            fail_msg("%s lacks %s", name, e->string);
        same_tensor(e, t, averages ? 0.5 : 1);
        n++;
    }
    assert_int_equal(n, hm_tensor_file_count(f));
    assert_true(n > 15);
    return f;
}

static void good_files_are_read(void **state) {
    (void)state;
    static const struct {
        const char *name, *form, *layout, *epoch, *model;
    } files[] = {
        {"best_total.pth", "PyTorch, zip form", "model", "7", "seg-nano"},
        {"legacy_namespace_args.pth", "PyTorch, zip form", "model", "3", NULL},
        {"legacy_nonzip.pth", "PyTorch, old form", "model", "7", NULL},
        {"lightning.ckpt", "PyTorch, zip form", "state_dict", "2", NULL},
        {"lightning_compiled.ckpt", "PyTorch, zip form", "state_dict", "2", NULL},
        {"bare_state_dict.pth", "PyTorch, zip form", "bare state dict", NULL, NULL},
        {"model.safetensors", "safetensors", NULL, NULL, NULL},
    };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        hm_tensor_file *const f = open_golden(files[i].name, false);
        assert_string_equal(hm_tensor_file_form(f), files[i].form);
        const char *const found[] = {hm_tensor_file_layout(f),
                                     hm_tensor_file_metadata(f, "epoch"),
                                     hm_tensor_file_metadata(f, "model"),
                                     hm_tensor_file_metadata(f, "class_names"),
                                     hm_tensor_file_metadata(f, "category_ids"),
                                     hm_tensor_file_metadata(f, "resolution")};
        const bool named = files[i].epoch != NULL;
        const char *const right[] = {
            files[i].layout,          files[i].epoch,
            files[i].model,           named ? "[\"cat\",\"dog\",\"b\xc3\xa4r\",\"\xe7\x8c\xab\"]" : NULL,
            named ? "0,1,2,3" : NULL, named ? "312" : NULL};
        for (size_t k = 0; k < sizeof right / sizeof right[0]; k++)
            if ((found[k] == NULL) != (right[k] == NULL) || (found[k] != NULL && strcmp(found[k], right[k]) != 0))
                fail_msg("%s: fact %zu is %s", files[i].name, k, found[k]);
        hm_tensor_file_close(f);
    }
}

static void averages_are_found(void **state) {
    (void)state;
    hm_tensor_file *f = open_golden("legacy_namespace_args.pth", true);
    assert_string_equal(hm_tensor_file_layout(f), "ema_model");
    hm_tensor_file_close(f);
    assert_int_equal(hm_tensor_file_open(&f, path_of("best_total.pth"), true), HM_ERR_ARG);
    message_has("no moving averages");
    assert_int_equal(hm_tensor_file_open(&f, path_of("model.safetensors"), true), HM_ERR_ARG);
    message_has("one set of weights");
}

static void hostile_files_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *name, *word;
    } files[] = {{"hostile_reduce.pth", "posix.system"},
                 {"hostile_reduce_nonzip.pth", "posix.system"},
                 {"hostile_short_storage.pth", "needs a storage of 48 numbers"},
                 {"hostile_truncated.pth", "no directory at its end"},
                 {"hostile_header.safetensors", "header"},
                 {"hostile_offsets.safetensors", "data_offsets"}};
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        hm_tensor_file *f;
        assert_int_not_equal(hm_tensor_file_open(&f, path_of(files[i].name), false), HM_OK);
        assert_null(f);
        message_has(files[i].word);
        message_has(files[i].name);
    }
    assert_int_not_equal(access("/tmp/rfdetr_hostile_pickle_ran", F_OK), 0);
}

/* Opens an exact copy and reads all that it hands out. */
static hm_status open_copy(const void *data, size_t len) {
    hm_tensor_file *f;
    volatile uint8_t sum = 0;
    uint8_t *const copy = malloc(len ? len : 1);
    memcpy(copy, data, len);
    const hm_status st = hm_tensor_file_open_memory(&f, "lie.pth", copy, len, false);
    for (size_t i = 0; st == HM_OK && i < hm_tensor_file_count(f); i++) {
        const hm_safetensor *const t = hm_tensor_file_at(f, i);
        for (size_t k = 0; k < t->bytes; k++)
            sum = (uint8_t)(sum + ((const uint8_t *)t->data)[k]);
    }
    hm_tensor_file_close(f);
    free(copy);
    return st;
}

static void damaged_files(void **state) {
    (void)state;
    static const char *const names[] = {"bare_state_dict.pth", "legacy_nonzip.pth"};
    for (size_t n = 0; n < 2; n++) {
        char *data;
        size_t len;
        assert_int_equal(hm_file_read(path_of(names[n]), 1 << 20, &data, &len), HM_OK);
        for (size_t cut = 0; cut < len; cut += 7)
            assert_int_not_equal(open_copy(data, cut), HM_OK);
        for (size_t i = 0; i < len; i++) {
            data[i] = (char)~data[i]; /* numbers may change unseen */
            (void)open_copy(data, len);
            data[i] = (char)~data[i];
        }
        free(data);
    }
}

/* ---- tensors that lie ---- */

/* A checkpoint {"a": tensor} whose pickle is `p`, with one storage of 6 floats. */
static hm_status open_made(const void *p, size_t len, const char *order) {
    static const float numbers[6] = {0, 1, 2, 3, 4, 5};
    hm_zip_out *z;
    char *data;
    size_t n;
    assert_int_equal(hm_zip_create(&z, PATH), HM_OK);
    assert_int_equal(hm_zip_add(z, "any/data.pkl", p, len), HM_OK);
    assert_int_equal(hm_zip_add(z, "any/byteorder", order, strlen(order)), HM_OK);
    assert_int_equal(hm_zip_add(z, "any/data/0", numbers, sizeof numbers), HM_OK);
    assert_int_equal(hm_zip_commit(&z), HM_OK);
    assert_int_equal(hm_file_read(PATH, 1 << 24, &data, &n), HM_OK);
    const hm_status st = open_copy(data, n);
    free(data);
    return st;
}

#define STORAGE(type, key, count) "(X\7\0\0\0storagectorch\n" type "\nX\1\0\0\0" key "X\3\0\0\0cpuK" count "tQ"
#define TENSOR(storage, offset, shape, strides)                                                                        \
    "\x80\2}X\1\0\0\0actorch._utils\n_rebuild_tensor_v2\n(" storage offset "(" shape "t(" strides "t\x89"              \
    "ccollections\nOrderedDict\n)RtRs."
#define MADE(order, pickle) open_made("" pickle, sizeof(pickle) - 1, order)
#define SIX                 STORAGE("FloatStorage", "0", "\6")

static void tensors_that_lie(void **state) {
    (void)state;
    assert_int_equal(MADE("little", TENSOR(SIX, "K\0", "K\2K\3", "K\3K\1")), HM_OK);
    assert_int_equal(MADE("little", TENSOR(SIX, "K\1", "K\2K\2", "K\1K\3")), HM_OK);
    assert_int_equal(MADE("little", TENSOR(SIX, "K\6", "K\0", "K\1")), HM_OK);
#define LIES(status, word, order, ...)                                                                                 \
    assert_int_equal(MADE(order, __VA_ARGS__), status);                                                                \
    message_has(word)
    LIES(HM_ERR_FORMAT, "beyond its storage", "little", TENSOR(SIX, "K\1", "K\2K\3", "K\3K\1"));
    LIES(HM_ERR_FORMAT, "beyond its storage", "little", TENSOR(SIX, "K\7", "K\0", "K\1"));
    LIES(HM_ERR_FORMAT, "beyond its storage", "little", TENSOR(SIX, "K\0", "K\2K\3", "K\4K\1"));
    LIES(HM_ERR_FORMAT, "larger than any memory", "little",
         TENSOR(SIX, "K\0", "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f", "K\2"));
    LIES(HM_ERR_UNSUPPORTED, "repeat their storages", "little",
         TENSOR(SIX, "K\0", "\x8a\x08\0\0\0\0\0\1\0\0", "K\0")); /* stride 0: terabytes of one number */
    LIES(HM_ERR_FORMAT, "sound shape", "little", TENSOR(SIX, "K\0", "K\2", "K\3K\1"));
    LIES(HM_ERR_FORMAT, "sound shape", "little", TENSOR(SIX, "K\0", "J\xff\xff\xff\xff", "K\1"));
    LIES(HM_ERR_FORMAT, "sound shape", "little", TENSOR(SIX, "K\0", "K\2", "J\xff\xff\xff\xff"));
    LIES(HM_ERR_FORMAT, "sound shape", "little", TENSOR(SIX, "K\0", "K\1K\1K\1K\1K\1K\1K\1K\1K\1", "K\1"));
    LIES(HM_ERR_FORMAT, "no storage and offset", "little", TENSOR(SIX, "J\xff\xff\xff\xff", "K\1", "K\1"));
    LIES(HM_ERR_FORMAT, "no storage and offset", "little", TENSOR("N", "K\0", "K\1", "K\1"));
    LIES(HM_ERR_FORMAT, "file lacks", "little", TENSOR(STORAGE("FloatStorage", "1", "\6"), "K\0", "K\1", "K\1"));
    LIES(HM_ERR_FORMAT, "needs a storage of 7", "little",
         TENSOR(STORAGE("FloatStorage", "0", "\7"), "K\0", "K\1", "K\1"));
    LIES(HM_ERR_FORMAT, "needs a storage of 6 numbers of F64", "little",
         TENSOR(STORAGE("DoubleStorage", "0", "\6"), "K\0", "K\1", "K\1"));
    LIES(HM_ERR_UNSUPPORTED, "torch.ComplexFloatStorage", "little",
         TENSOR(STORAGE("ComplexFloatStorage", "0", "\6"), "K\0", "K\1", "K\1"));
    LIES(HM_ERR_UNSUPPORTED, "big-endian", "big", TENSOR(SIX, "K\0", "K\1", "K\1"));
    LIES(HM_ERR_FORMAT, "holds no weights", "little", "\x80\2}.");
    LIES(HM_ERR_FORMAT, "holds no weights", "little", "\x80\2K\1.");
}

static void other_files_are_named(void **state) {
    (void)state;
    static uint8_t tar[1024];
    memcpy(tar + 257, "ustar", 5);
    assert_int_equal(open_copy(tar, sizeof tar), HM_ERR_UNSUPPORTED);
    message_has("tar");
    hm_zip_out *z;
    char *data;
    size_t len;
    assert_int_equal(hm_zip_create(&z, PATH), HM_OK);
    assert_int_equal(hm_zip_add(z, "a/b", "c", 1), HM_OK);
    assert_int_equal(hm_zip_commit(&z), HM_OK);
    assert_int_equal(hm_file_read(PATH, 1 << 20, &data, &len), HM_OK);
    assert_int_equal(open_copy(data, len), HM_ERR_FORMAT);
    message_has("data.pkl");
    free(data);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_files_are_read),       cmocka_unit_test(averages_are_found),
        cmocka_unit_test(hostile_files_are_refused), cmocka_unit_test(damaged_files),
        cmocka_unit_test(tensors_that_lie),          cmocka_unit_test(other_files_are_named),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
