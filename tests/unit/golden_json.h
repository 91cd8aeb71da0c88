/* golden_json.h: the few cJSON helpers that tests of golden files share. Anything missing ends the test. */
#ifndef HM_TESTS_GOLDEN_JSON_H
#define HM_TESTS_GOLDEN_JSON_H

#include <cjson/cJSON.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

/* Parses HM_GOLDEN_DIR/<name>; free with cJSON_Delete. */
static inline cJSON *golden_read(const char *name) {
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", HM_GOLDEN_DIR, name);
    FILE *const f = fopen(path, "rb");
    if (!f)
        fail_msg("cannot open %s", path);
    fseek(f, 0, SEEK_END);
    const long n = ftell(f);
    rewind(f);
    char *const text = malloc((size_t)n + 1);
    assert_int_equal(fread(text, 1, (size_t)n, f), n);
    text[n] = '\0';
    fclose(f);
    cJSON *const root = cJSON_Parse(text);
    free(text);
    assert_non_null(root);
    return root;
}

static inline const cJSON *golden_get(const cJSON *object, const char *key) {
    const cJSON *const item = cJSON_GetObjectItemCaseSensitive(object, key);
    if (!item)
        fail_msg("no \"%s\" in the golden file", key);
    return item;
}

static inline double golden_number(const cJSON *object, const char *key) {
    return golden_get(object, key)->valuedouble;
}

/* *out = the array's numbers; returns how many. */
static inline size_t golden_doubles(const cJSON *array, double **out) {
    const size_t n = (size_t)cJSON_GetArraySize(array);
    *out = malloc((n + 1) * sizeof **out);
    size_t i = 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, array) {
        (*out)[i++] = item->valuedouble;
    }
    return n;
}

static inline size_t golden_counts(const cJSON *array, uint32_t **out) {
    double *values;
    const size_t n = golden_doubles(array, &values);
    *out = malloc((n + 1) * sizeof **out);
    for (size_t i = 0; i < n; i++)
        (*out)[i] = (uint32_t)values[i];
    free(values);
    return n;
}

#endif
