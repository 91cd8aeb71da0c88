/* test_pickle.c: every kind of value, what our writer writes, and pickles that lie, call, dig and grow. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "io/pickle.h"
#include "io/pickle_write.h"

#define START   "\x80\x02"
#define READ(s) read_bytes("" s, sizeof(s) - 1)

static uint8_t *memory; /* of the pickle last read: an exact copy, so that ASan sees a read past the end */
static hm_pickle *pickle;

static int forget(void **state) {
    (void)state;
    hm_pickle_free(pickle);
    free(memory);
    pickle = NULL;
    memory = NULL;
    return 0;
}

static hm_status read_bytes(const void *data, size_t len) {
    size_t used = 0;
    forget(NULL);
    memory = malloc(len ? len : 1);
    memcpy(memory, data, len);
    const hm_status st = hm_pickle_read(&pickle, "p.pth", memory, len, &used);
    if (st == HM_OK)
        assert_true(used > 0 && used <= len);
    else
        assert_null(pickle);
    return st;
}

static const hm_pickle_value *good(const void *data, size_t len) {
    if (read_bytes(data, len) != HM_OK)
        fail_msg("%s", hm_error_message());
    return hm_pickle_root(pickle);
}

#define GOOD(s) good("" START s, sizeof(START s) - 1)

static void bad(const void *data, size_t len, hm_status status, const char *word) {
    assert_int_equal(read_bytes(data, len), status);
    if (strstr(hm_error_message(), word) == NULL || strstr(hm_error_message(), "p.pth") == NULL)
        fail_msg("\"%s\" lacks \"%s\"", hm_error_message(), word);
}

#define BROKEN(s, word)  bad("" START s, sizeof(START s) - 1, HM_ERR_FORMAT, word)
#define REFUSED(s, word) bad("" START s, sizeof(START s) - 1, HM_ERR_UNSUPPORTED, word)

static void numbers_and_text(void **state) {
    (void)state;
    static const struct {
        const char *code;
        size_t len;
        int64_t x;
    } integers[] = {{START "K\xff.", 5, 255},
                    {START "M\x34\x12.", 6, 0x1234},
                    {START "J\xff\xff\xff\xff.", 8, -1},
                    {START "\x8a\x01\x80.", 6, -128},
                    {START "\x8a\x00.", 5, 0},
                    {START "\x8b\x02\0\0\0\x00\x80.", 10, -32768},
                    {START "\x8a\x08\0\0\0\0\0\0\0\x80.", 13, INT64_MIN}};
    for (size_t i = 0; i < sizeof integers / sizeof integers[0]; i++) {
        const hm_pickle_value *const v = good(integers[i].code, integers[i].len);
        assert_int_equal(v->kind, HM_PICKLE_INT);
        assert_true(v->integer == integers[i].x);
    }
    const hm_pickle_value *v = GOOD("\x8a\x09\1\0\0\0\0\0\0\0\1.");
    assert_int_equal(v->kind, HM_PICKLE_LONG);
    assert_int_equal(v->len, 9);
    v = GOOD("G\x3f\xf8\0\0\0\0\0\0.");
    assert_true(v->kind == HM_PICKLE_FLOAT && v->real == 1.5);
    assert_true(GOOD("\x88.")->truth);
    assert_false(GOOD("\x89.")->truth);
    assert_int_equal(GOOD("N.")->kind, HM_PICKLE_NONE);
    assert_true(hm_pickle_is(GOOD("X\3\0\0\0b\xc3\xa4."), "b\xc3\xa4"));
    assert_true(hm_pickle_is(GOOD("\x8c\1a."), "a"));
    assert_true(hm_pickle_is(GOOD("\x8d\1\0\0\0\0\0\0\0a."), "a"));
    assert_true(hm_pickle_is(GOOD("U\1a."), "a"));
    assert_false(hm_pickle_is(GOOD("C\1a."), "a"));
    assert_false(hm_pickle_is(NULL, "a"));
}

static void containers(void **state) {
    (void)state;
    assert_int_equal(GOOD("(K\1K\2t.")->n, 2);
    assert_int_equal(GOOD("K\1\x85.")->n, 1);
    assert_int_equal(GOOD("K\1K\2K\3\x87.")->items[2]->integer, 3);
    assert_int_equal(GOOD("]K\1a.")->items[0]->integer, 1);
    assert_int_equal(GOOD("](K\1K\2e.")->n, 2);
    assert_int_equal(GOOD("(K\1l.")->kind, HM_PICKLE_LIST);
    const hm_pickle_value *v = GOOD("}X\1\0\0\0aK\1s(X\1\0\0\0bK\2X\1\0\0\0aK\3u.");
    assert_int_equal(v->n, 6);
    assert_int_equal(hm_pickle_get(v, "a")->integer, 3); /* set again */
    assert_int_equal(hm_pickle_get(v, "b")->integer, 2);
    assert_null(hm_pickle_get(v, "c"));
    assert_null(hm_pickle_get(v->items[0], "c"));
    assert_null(hm_pickle_get(NULL, "c"));
    v = GOOD("]q\0h\0a."); /* a list that holds itself */
    assert_ptr_equal(v->items[0], v);
    v = GOOD("(K\1(K\2K\1"
             "0t."); /* pops what it does not need */
    assert_int_equal(v->n, 1);
    assert_int_equal(GOOD("K\7(K\1K\2"
                          "1.")
                         ->integer,
                     7);
    assert_int_equal(GOOD("K\7"
                          "2\x86.")
                         ->n,
                     2);
}

static void names_and_objects(void **state) {
    (void)state;
    const hm_pickle_value *v = GOOD("ccollections\nOrderedDict\n)R(X\1\0\0\0aK\1u}b.");
    assert_int_equal(hm_pickle_get(v, "a")->integer, 1);
    v = GOOD("cargparse\nNamespace\n)\x81}X\1\0\0\0aK\1sb.");
    assert_int_equal(hm_pickle_get(v, "a")->integer, 1);
    v = good("\x80\4\x95\0\0\0\0\0\0\0\0\x8c\x05torch\x94\x8c\x0c"
             "FloatStorage\x94\x93.",
             37);
    assert_int_equal(v->kind, HM_PICKLE_NAME);
    assert_int_equal(v->known->dtype, HM_ST_F32);
    v = GOOD("K\5Q.");
    assert_int_equal(v->kind, HM_PICKLE_OUTSIDE);
    assert_int_equal(v->inner->integer, 5);
    assert_ptr_equal(hm_pickle_outside(pickle, 0), v->inner);
    assert_null(hm_pickle_outside(pickle, 1));
}

static void calls_are_refused_by_name(void **state) {
    (void)state;
    REFUSED("cposix\nsystem\nX\4\0\0\0true\x85R.", "posix.system");
    REFUSED("cbuiltins\neval\n.", "builtins.eval");
    REFUSED("ctorch\nload\n.", "torch.load");
    REFUSED("ctorch.storage\n_load_from_bytes\n.", "torch.storage._load_from_bytes");
    REFUSED("ccollections\nOrderedDict \n.", "collections.OrderedDict ");
    REFUSED("cnumpy.core.multiarray\nscalar\n.", "numpy.core.multiarray.scalar");
    REFUSED("X\2\0\0\0osX\6\0\0\0system\x93.", "os.system");
    REFUSED("(iposix\nsystem\n.", "INST");
    REFUSED("(cargparse\nNamespace\no.", "OBJ");
    REFUSED("\x82\1.", "EXT1");
    REFUSED("cargparse\nNamespace\n)}\x92.", "NEWOBJ_EX");
    REFUSED("Pid\n.", "PERSID");
    REFUSED("\xff.", "0xff");
    REFUSED("ctorch\nFloatStorage\nK\5\x85R.", "FloatStorage");
    REFUSED("K\5)R.", "calls something");
    REFUSED("cx\x1b[2J\ny\n.", "x?[2J.y"); /* the terminal is not told */
    bad("\x80\1N.", 4, HM_ERR_UNSUPPORTED, "protocol 1");
    bad("\x80\6N.", 4, HM_ERR_UNSUPPORTED, "protocol 6");
}

static void broken_pickles(void **state) {
    (void)state;
    bad("", 0, HM_ERR_FORMAT, "protocol's number");
    bad("N.", 2, HM_ERR_FORMAT, "protocol's number");
    BROKEN("", "too early");
    BROKEN("N", "too early");
    BROKEN(".", "empty stack");
    BROKEN("0.", "empty stack");
    BROKEN("2.", "empty stack");
    BROKEN("q\0.", "empty stack");
    BROKEN("K\1(.", "empty stack"); /* below the mark */
    BROKEN("K\1(0"
           "0"
           "0.",
           "empty stack");
    BROKEN("t.", "mark is missing");
    BROKEN("]K\1e.", "mark is missing");
    BROKEN("1.", "mark is missing");
    BROKEN("K\1\x87.", "items are missing");
    BROKEN("K\1(K\2\x86.", "items are missing");
    BROKEN("K\1K\2a.", "no list");
    BROKEN("a.", "empty stack");
    BROKEN("K\1a.", "no list");
    BROKEN("](K\1a.", "no list");
    BROKEN("K\1K\2K\3s.", "no dict");
    BROKEN("}(K\1u.", "no value");
    BROKEN("(K\1d.", "no value");
    BROKEN("h\0.", "memo");
    BROKEN("K\1q\0h\5.", "memo");
    BROKEN("K\1q\1h\0.", "memo"); /* the gap before the first */
    BROKEN("K\1r\xff\xff\xff\x7f.", "gap");
    BROKEN("K\1q\2.", "gap");
    BROKEN("X\xff\xff\xff\x7f"
           "abc.",
           "too early");
    BROKEN("\x8d\xff\xff\xff\xff\xff\xff\xff\xff"
           "abc.",
           "too early");
    BROKEN("\x8b\xff\xff\xff\xff"
           "abc.",
           "too early");
    BROKEN("\x95\xff\0\0\0\0\0\0\0N.", "frame");
    BROKEN("X\1\0\0\0\xff.", "UTF-8");
    BROKEN("X\2\0\0\0\xc3(.", "UTF-8");
    BROKEN("X\1\0\0\0\xc3.", "UTF-8");
    BROKEN("ctorch", "does not end");
    BROKEN("K\1K\2\x93.", "not a string");
    BROKEN("ccollections\nOrderedDict\nK\1R.", "not a tuple");
    BROKEN("ccollections\nOrderedDict\n]\x85R.", "with arguments");
    BROKEN("K\1}b.", "has none");
}

/* A pickle of `n` times `part`. */
static hm_status repeated(const char *begin, const char *part, size_t n, const char *end) {
    const size_t a = strlen(begin), p = strlen(part), e = strlen(end);
    char *const text = malloc(2 + a + n * p + e);
    memcpy(text, START, 2);
    memcpy(text + 2, begin, a);
    for (size_t i = 0; i < n; i++)
        memcpy(text + 2 + a + i * p, part, p);
    memcpy(text + 2 + a + n * p, end, e);
    const hm_status st = read_bytes(text, 2 + a + n * p + e);
    free(text);
    return st;
}

static void depth_and_number_are_bounded(void **state) {
    (void)state;
    assert_int_equal(repeated(")", "\x85", 1000000, "."), HM_OK); /* a tuple in a tuple in ...: nothing recurses */
    assert_int_equal(repeated("", "(", 1000000, "N."), HM_OK);
    assert_int_equal(repeated("]", "2a", 1000000, "."), HM_OK); /* a list that holds itself a million times */
    assert_int_equal(repeated("", "N", HM_PICKLE_MOST, "."), HM_OK);
    assert_int_equal(repeated("", "N", HM_PICKLE_MOST + 1, "."), HM_ERR_UNSUPPORTED);
    assert_int_equal(repeated("N", "2", 64 << 20, "."), HM_ERR_FORMAT);
}

static void what_is_written_is_read(void **state) {
    (void)state;
    hm_pickle_out o;
    hm_pickle_begin(&o);
    hm_pickle_open_dict(&o, true);
    hm_pickle_put_text(&o, "none");
    hm_pickle_put_none(&o);
    hm_pickle_put_text(&o, "large");
    hm_pickle_put_int(&o, INT64_MIN);
    hm_pickle_put_text(&o, "list");
    hm_pickle_put_ints(&o, (int[]){-1, 2}, 2);
    hm_pickle_put_text(&o, "true");
    hm_pickle_put_bool(&o, true);
    hm_pickle_close_dict(&o);
    assert_int_equal(hm_pickle_end(&o), HM_OK);
    const hm_pickle_value *const v = good(o.data, o.len);
    assert_int_equal(hm_pickle_get(v, "none")->kind, HM_PICKLE_NONE);
    assert_true(hm_pickle_get(v, "large")->integer == INT64_MIN);
    assert_int_equal(hm_pickle_get(v, "list")->items[0]->integer, -1);
    assert_true(hm_pickle_get(v, "true")->truth);
    free(o.data);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(numbers_and_text, forget),
        cmocka_unit_test_teardown(containers, forget),
        cmocka_unit_test_teardown(names_and_objects, forget),
        cmocka_unit_test_teardown(calls_are_refused_by_name, forget),
        cmocka_unit_test_teardown(broken_pickles, forget),
        cmocka_unit_test_teardown(depth_and_number_are_bounded, forget),
        cmocka_unit_test_teardown(what_is_written_is_read, forget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
