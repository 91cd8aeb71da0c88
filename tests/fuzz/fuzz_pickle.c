/* fuzz_pickle.c: libFuzzer target: any bytes either are a pickle or are refused; the values of one can be walked. */
#include "io/pickle.h"

enum { DEEP = 40, MANY = 100000 };

static volatile uint8_t sink;

/* Values may hold themselves, so both depth and number are limited. */
static void walk(const hm_pickle_value *v, int depth, int *left) {
    if (v == NULL || depth > DEEP || --*left < 0)
        return;
    switch (v->kind) {
    case HM_PICKLE_LONG:
    case HM_PICKLE_STRING:
    case HM_PICKLE_BYTES:
        for (size_t i = 0; i < v->len; i++)
            sink ^= (uint8_t)v->text[i];
        return;
    case HM_PICKLE_TUPLE:
    case HM_PICKLE_LIST:
    case HM_PICKLE_DICT:
        for (size_t i = 0; i < v->n; i++)
            walk(v->items[i], depth + 1, left);
        hm_pickle_get(v, "model");
        return;
    case HM_PICKLE_OBJECT:
        walk(v->object.arguments, depth + 1, left);
        walk(v->object.state, depth + 1, left);
        return;
    case HM_PICKLE_OUTSIDE:
        walk(v->inner, depth + 1, left);
        return;
    default:
        return;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    hm_pickle *p;
    size_t used = 0;
    int left = MANY;
    if (hm_pickle_read(&p, "fuzz", data, len, &used) != HM_OK)
        return 0;
    if (used > len)
        __builtin_trap();
    walk(hm_pickle_root(p), 0, &left);
    for (size_t i = 0; hm_pickle_outside(p, i) != NULL; i++)
        walk(hm_pickle_outside(p, i), 0, &left);
    hm_pickle_free(p);
    return 0;
}
