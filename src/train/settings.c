/* settings.c: names, values and defaults of table-driven settings. The help text is in settings_help.c, YAML in
 * settings_yaml.c. Spelling distance: Levenshtein's with swapped neighbours (optimal string alignment). */
#include "train/settings.h"

#include <errno.h>
#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"

enum {
    NAME_MAX_BYTES = 64, /* longest name that suggestions consider, with its NUL */
    VALUE_BYTES = 40     /* of any number as text */
};

static char plain(char c) {
    return c == '-' ? '_' : c;
}

static bool same_name(const char *a, const char *b) {
    while (*a && plain(*a) == plain(*b)) {
        a++;
        b++;
    }
    return plain(*a) == plain(*b);
}

const hm_setting *hm_settings_find(const hm_setting *table, size_t n, const char *name) {
    for (size_t i = 0; i < n; i++)
        if (same_name(table[i].name, name))
            return &table[i];
    return NULL;
}

static size_t least(size_t a, size_t b) {
    return a < b ? a : b;
}

/* Edits that turn a into b; both shorter than NAME_MAX_BYTES. */
static size_t distance(const char *a, const char *b) {
    const size_t la = strlen(a), lb = strlen(b);
    size_t d[NAME_MAX_BYTES][NAME_MAX_BYTES];
    for (size_t i = 0; i <= la; i++)
        for (size_t j = 0; j <= lb; j++) {
            if (i == 0 || j == 0) {
                d[i][j] = i + j;
                continue;
            }
            const char x = plain(a[i - 1]), y = plain(b[j - 1]);
            d[i][j] = least(d[i - 1][j - 1] + (x != y), least(d[i - 1][j], d[i][j - 1]) + 1);
            if (i > 1 && j > 1 && x == plain(b[j - 2]) && plain(a[i - 2]) == y)
                d[i][j] = least(d[i][j], d[i - 2][j - 2] + 1);
        }
    return d[la][lb];
}

/* The known name that is a likely meaning of `name`, or NULL. */
static const char *nearest(const hm_setting *table, size_t n, const char *name) {
    const size_t len = strlen(name);
    const char *best = NULL;
    size_t best_d = 1 + len / 4;
    if (len >= NAME_MAX_BYTES)
        return NULL;
    for (size_t i = 0; i < n; i++) {
        if (strlen(table[i].name) >= NAME_MAX_BYTES)
            continue;
        const size_t d = distance(name, table[i].name);
        if (d < best_d || (d == best_d && best == NULL)) {
            best_d = d;
            best = table[i].name;
        }
    }
    return best;
}

/* " (where)" or "". */
typedef struct place {
    char text[512];
} place;

static place place_of(const char *where) {
    place p = {""};
    if (where != NULL)
        snprintf(p.text, sizeof p.text, " (%s)", where);
    return p;
}

static hm_status unknown(const hm_setting *table, size_t n, const char *name, const char *where) {
    const char *const meant = nearest(table, n, name);
    if (meant != NULL)
        HM_FAIL(HM_ERR_ARG, "unknown setting \"%.80s\"%s: did you mean \"%s\"?", name, place_of(where).text, meant);
    HM_FAIL(HM_ERR_ARG, "unknown setting \"%.80s\"%s: no setting has a name like it, see the list in the help", name,
            place_of(where).text);
}

static void describe_number(const hm_setting *s, char *out, size_t size) {
    const char *const what = s->type == HM_SETTING_FLOAT ? "a number" : "a whole number";
    char top[40] = "";
    if (s->max < (s->type == HM_SETTING_FLOAT ? DBL_MAX : 0x1p63))
        snprintf(top, sizeof top, "%.10g", s->max);
    if (s->min == DBL_MIN)
        snprintf(out, size, "%s greater than 0%s%s", what, *top ? " and at most " : "", top);
    else if (s->min > (s->type == HM_SETTING_FLOAT ? -DBL_MAX : -0x1p63))
        snprintf(out, size, *top ? "%s from %.10g to %s" : "%s of at least %.10g%s", what, s->min, top);
    else
        snprintf(out, size, "%s%s%s", what, *top ? " of at most " : "", top);
}

static void describe_choices(const hm_setting *s, char *out, size_t size) {
    size_t at = 0;
    for (size_t i = 0; s->choices[i] != NULL && at < size; i++)
        at += (size_t)snprintf(out + at, size - at, "%s%s",
                               i == 0              ? ""
                               : s->choices[i + 1] ? ", "
                                                   : " or ",
                               s->choices[i]);
}

static hm_status bad_value(const hm_setting *s, const char *value, const char *where) {
    char accepts[512] = "true or false";
    if (s->type == HM_SETTING_ENUM)
        describe_choices(s, accepts, sizeof accepts);
    else if (s->type != HM_SETTING_BOOL)
        describe_number(s, accepts, sizeof accepts);
    HM_FAIL(HM_ERR_ARG, "setting \"%s\" cannot be \"%.80s\"%s: give %s", s->name, value, place_of(where).text, accepts);
}

static bool parse_int(const hm_setting *s, const char *text, int64_t *out) {
    char *end;
    errno = 0;
    const long long v = strtoll(text, &end, 10);
    *out = v;
    if (end == text || *end != '\0' || errno != 0)
        return false;
    if (s->type == HM_SETTING_INT32 && (v < INT32_MIN || v > INT32_MAX))
        return false;
    return (double)v >= s->min && (double)v <= s->max;
}

static bool parse_float(const hm_setting *s, const char *text, double *out) {
    char *end;
    *out = strtod(text, &end);
    return end != text && *end == '\0' && isfinite(*out) && *out >= s->min && *out <= s->max;
}

static bool parse_bool(const char *text, bool *out) {
    static const char *const words[][2] = {{"false", "true"}, {"no", "yes"}, {"off", "on"}, {"0", "1"}};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        for (int v = 0; v < 2; v++)
            if (strcasecmp(text, words[i][v]) == 0) {
                *out = v != 0;
                return true;
            }
    return false;
}

static bool parse_choice(const hm_setting *s, const char *text, int *out) {
    for (int i = 0; s->choices[i] != NULL; i++)
        if (same_name(s->choices[i], text)) {
            *out = i;
            return true;
        }
    return false;
}

static hm_status set_string(char **target, const char *text) {
    char *copy = NULL;
    if (text != NULL)
        HM_TRY(hm_strdup(&copy, text));
    free(*target);
    *target = copy;
    return HM_OK;
}

static hm_status store(const hm_setting *s, void *object, const char *text, const char *where) {
    void *const target = (char *)object + s->offset;
    int64_t whole;
    double real;
    bool flag;
    int choice;
    if (s->type == HM_SETTING_STRING)
        return set_string(target, text);
    if (s->type == HM_SETTING_INT32 && parse_int(s, text, &whole))
        *(int32_t *)target = (int32_t)whole;
    else if (s->type == HM_SETTING_INT64 && parse_int(s, text, &whole))
        *(int64_t *)target = whole;
    else if (s->type == HM_SETTING_FLOAT && parse_float(s, text, &real))
        *(double *)target = real;
    else if (s->type == HM_SETTING_BOOL && parse_bool(text, &flag))
        *(bool *)target = flag;
    else if (s->type == HM_SETTING_ENUM && parse_choice(s, text, &choice))
        *(int *)target = choice;
    else
        return bad_value(s, text, where);
    return HM_OK;
}

hm_status hm_settings_set(const hm_setting *table, size_t n, void *object, const char *name, const char *value,
                          const char *where) {
    const hm_setting *const s = hm_settings_find(table, n, name);
    if (s == NULL)
        return unknown(table, n, name, where);
    return store(s, object, value, where);
}

hm_status hm_settings_defaults(const hm_setting *table, size_t n, void *object) {
    for (size_t i = 0; i < n; i++)
        HM_TRY(store(&table[i], object, table[i].initial, "default"));
    return HM_OK;
}

void hm_settings_free(const hm_setting *table, size_t n, void *object) {
    for (size_t i = 0; i < n; i++)
        if (table[i].type == HM_SETTING_STRING)
            (void)set_string((char **)(void *)((char *)object + table[i].offset), NULL);
}

/* A setting's value as a user would write it, in `text` or where it is; NULL: a string that is not there, or an enum
 * that is none of its choices. */
static const char *value_of(const hm_setting *s, const void *object, char text[static VALUE_BYTES]) {
    const char *const at = (const char *)object + s->offset;
    switch (s->type) {
    case HM_SETTING_INT32:
        snprintf(text, VALUE_BYTES, "%lld", (long long)*(const int32_t *)(const void *)at);
        return text;
    case HM_SETTING_INT64:
        snprintf(text, VALUE_BYTES, "%lld", (long long)*(const int64_t *)(const void *)at);
        return text;
    case HM_SETTING_FLOAT:
        snprintf(text, VALUE_BYTES, "%.17g", *(const double *)(const void *)at);
        return text;
    case HM_SETTING_BOOL:
        return *(const bool *)(const void *)at ? "true" : "false";
    case HM_SETTING_ENUM:
        for (int i = 0; s->choices[i] != NULL; i++)
            if (i == *(const int *)(const void *)at)
                return s->choices[i];
        return NULL;
    case HM_SETTING_STRING:
        return *(char *const *)(const void *)at;
    }
    return NULL;
}

void hm_settings_each(const hm_setting *table, size_t n, const void *object,
                      void (*put)(void *user, const hm_setting *s, const char *value), void *user) {
    char text[VALUE_BYTES];
    for (size_t i = 0; i < n; i++) {
        const char *const value = value_of(&table[i], object, text);
        if (value != NULL)
            put(user, &table[i], value);
    }
}

hm_status hm_settings_copy(const hm_setting *table, size_t n, void *to, const void *from) {
    char text[VALUE_BYTES];
    for (size_t i = 0; i < n; i++) {
        const hm_setting *const s = &table[i];
        const char *value = value_of(s, from, text);
        if (value == NULL && s->type == HM_SETTING_ENUM) {
            snprintf(text, sizeof text, "%d", *(const int *)(const void *)((const char *)from + s->offset));
            return bad_value(s, text, NULL);
        }
        HM_TRY(store(s, to, value != NULL ? value : s->initial, NULL));
    }
    return HM_OK;
}
