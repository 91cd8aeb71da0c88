/* settings.h: settings from a table: one row gives a setting's name, type, default, range, help text and the member of
 * the caller's struct that holds it. Values come from text: a command line, or a flat YAML mapping. '-' and '_' are the
 * same in names; an unknown name is refused with the nearest known one. No setting of halfmask itself is named here. */
#ifndef HM_TRAIN_SETTINGS_H
#define HM_TRAIN_SETTINGS_H

#include <stdio.h>

#include "base/status.h"

typedef enum hm_setting_type {
    HM_SETTING_INT32,  /* int32_t */
    HM_SETTING_INT64,  /* int64_t */
    HM_SETTING_FLOAT,  /* double, finite */
    HM_SETTING_BOOL,   /* bool */
    HM_SETTING_STRING, /* char *, owned by the struct; NULL when the default is NULL */
    HM_SETTING_ENUM,   /* int or an enum of its size: index into choices */
} hm_setting_type;

typedef struct hm_setting {
    const char *name; /* words joined by '_' */
    hm_setting_type type;
    size_t offset;              /* bytes, of the member in the struct */
    const char *initial;        /* default, as a user would write it; NULL: only for strings */
    double min, max;            /* numbers: the range, both ends allowed; min DBL_MIN reads "greater than 0" */
    const char *const *choices; /* enums: NULL-terminated */
    const char *help;           /* one sentence without a full stop */
} hm_setting;

/* A row for member `m` of struct type T; the type follows from the member's. */
#define HM_SETTING(T, m, default_text, lowest, highest, text)                                                            \
    {                                                                                                                    \
        .name = #m,                                                                                                    \
        .type = _Generic(((T *)0)->m,                                                                                  \
            int32_t: HM_SETTING_INT32,                                                                                 \
            int64_t: HM_SETTING_INT64,                                                                                 \
            double: HM_SETTING_FLOAT,                                                                                  \
            bool: HM_SETTING_BOOL,                                                                                     \
            char *: HM_SETTING_STRING),                                                                                \
        .offset = offsetof(T, m), .initial = (default_text), .min = (lowest), .max = (highest), .help = (text) \
    }

/* A row for an enum member whose value is an index into the NULL-terminated `names`. */
#define HM_SETTING_OF(T, m, default_text, names, text)                                                                 \
    {                                                                                                                  \
        .name = #m, .type = HM_SETTING_ENUM, .offset = offsetof(T, m), .initial = (default_text), .choices = (names),  \
        .help = (text)                                                                                                 \
    }

/* Sets every member to its default. `object` must be zeroed or hold values that were set through this table. */
hm_status hm_settings_defaults(const hm_setting *table, size_t n, void *object);

/* Sets one member from text. `where` says where the text stands ("run.yaml, line 3"); NULL when it goes without saying.
 * HM_ERR_ARG for an unknown name or a bad value; the member then keeps its value. */
hm_status hm_settings_set(const hm_setting *table, size_t n, void *object, const char *name, const char *value,
                          const char *where);

/* Sets members from a YAML file that is one flat mapping of scalars; a plain null or empty value means the default.
 * HM_ERR_IO, HM_ERR_FORMAT (syntax, nesting, a key given twice) or HM_ERR_ARG, each with file and line; settings on
 * earlier lines are then set already. */
hm_status hm_settings_load_yaml(const hm_setting *table, size_t n, void *object, const char *path);

/* Calls `put` with every setting's name and its value as a user would write it; strings that are NULL are left out. */
void hm_settings_each(const hm_setting *table, size_t n, const void *object,
                      void (*put)(void *user, const hm_setting *s, const char *value), void *user);

/* Sets every member of `to`, which must be zeroed or hold settings, to what `from` has. Values that hm_settings_set
 * would refuse, as a caller may have put them there himself, are refused with the same words; a string that is NULL
 * becomes its default. */
hm_status hm_settings_copy(const hm_setting *table, size_t n, void *to, const void *from);

/* Frees the strings and sets them to NULL. */
void hm_settings_free(const hm_setting *table, size_t n, void *object);

/* Writes one aligned, wrapped entry per setting. */
void hm_settings_help(const hm_setting *table, size_t n, FILE *to);

/* For other readers of names: the row called `name` ('-' equals '_'), or NULL. */
const hm_setting *hm_settings_find(const hm_setting *table, size_t n, const char *name);

#endif
