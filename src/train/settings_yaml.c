/* settings_yaml.c: settings from a YAML file: one document, one mapping of scalar keys to scalar values. Everything
 * else that YAML offers (nesting, lists, anchors, several documents) is refused with its line. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/mem.h"
#include "train/settings.h"

typedef struct reader {
    const hm_setting *table;
    size_t n;
    void *object;
    const char *path;
    FILE *file;
    yaml_parser_t parser;
    size_t *line_of; /* [n] line on which each setting stood, 0: not yet */
} reader;

static hm_status syntax_error(const reader *r) {
    const yaml_parser_t *const p = &r->parser;
    if (p->error == YAML_MEMORY_ERROR)
        HM_FAIL(HM_ERR_MEMORY, "out of memory while reading %s", r->path);
    if (ferror(r->file))
        HM_FAIL(HM_ERR_IO, "cannot read %s: %s", r->path, strerror(errno));
    if (p->error == YAML_READER_ERROR)
        HM_FAIL(HM_ERR_FORMAT, "%s, byte %zu: %s; settings are UTF-8 text", r->path, p->problem_offset,
                p->problem ? p->problem : "unreadable text");
    HM_FAIL(HM_ERR_FORMAT, "%s, line %zu: %s; write one \"name: value\" a line", r->path, p->problem_mark.line + 1,
            p->problem ? p->problem : "not YAML");
}

/* The next event, which the caller deletes when this returns HM_OK. */
static hm_status next(reader *r, yaml_event_t *e) {
    errno = 0;
    if (!yaml_parser_parse(&r->parser, e))
        return syntax_error(r);
    return HM_OK;
}

static size_t line_of(const yaml_event_t *e) {
    return e->start_mark.line + 1;
}

/* HM_OK when the event is a scalar without NUL bytes; `what` and `of` describe it otherwise. */
static hm_status want_scalar(const reader *r, const yaml_event_t *e, const char *what) {
    if (e->type != YAML_SCALAR_EVENT)
        HM_FAIL(HM_ERR_FORMAT, "%s, line %zu: %s is a list, a mapping or an alias; give a single value", r->path,
                line_of(e), what);
    if (strlen((const char *)e->data.scalar.value) != e->data.scalar.length)
        HM_FAIL(HM_ERR_FORMAT, "%s, line %zu: %s contains a zero byte; remove it", r->path, line_of(e), what);
    return HM_OK;
}

static bool is_null(const yaml_event_t *e) {
    static const char *const words[] = {"", "~", "null", "Null", "NULL"};
    if (e->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        return false;
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++)
        if (strcmp((const char *)e->data.scalar.value, words[i]) == 0)
            return true;
    return false;
}

static hm_status check_key(reader *r, const yaml_event_t *key) {
    HM_TRY(want_scalar(r, key, "a setting's name"));
    const char *const name = (const char *)key->data.scalar.value;
    const hm_setting *const s = hm_settings_find(r->table, r->n, name);
    if (s == NULL)
        return HM_OK; /* hm_settings_set refuses it with a suggestion */
    size_t *const seen = &r->line_of[s - r->table];
    if (*seen != 0)
        HM_FAIL(HM_ERR_FORMAT, "%s, line %zu: \"%s\" is given twice (first on line %zu); remove one", r->path,
                line_of(key), s->name, *seen);
    *seen = line_of(key);
    return HM_OK;
}

static hm_status apply(reader *r, const yaml_event_t *key, const yaml_event_t *value) {
    const char *const name = (const char *)key->data.scalar.value;
    const hm_setting *const s = hm_settings_find(r->table, r->n, name);
    char where[400], what[100];
    snprintf(where, sizeof where, "%.300s, line %zu", r->path, line_of(key));
    snprintf(what, sizeof what, "the value of \"%.60s\"", name);
    if (s != NULL)
        HM_TRY(want_scalar(r, value, what));
    if (s != NULL && is_null(value))
        return hm_settings_defaults(s, 1, r->object);
    const char *const text = s != NULL ? (const char *)value->data.scalar.value : "";
    return hm_settings_set(r->table, r->n, r->object, name, text, where);
}

/* One "name: value"; *more is false at the mapping's end. */
static hm_status read_pair(reader *r, bool *more) {
    yaml_event_t key, value;
    HM_TRY(next(r, &key));
    *more = key.type != YAML_MAPPING_END_EVENT;
    hm_status st = HM_OK;
    if (!*more)
        goto done;
    HM_TRY_TO(st, done, check_key(r, &key));
    HM_TRY_TO(st, done, next(r, &value));
    st = apply(r, &key, &value);
    yaml_event_delete(&value);
done:
    yaml_event_delete(&key);
    return st;
}

/* Checks the type of an event that opens the document; *type receives it. */
static hm_status skip_to_content(reader *r, yaml_event_type_t *type) {
    size_t line = 0;
    do {
        yaml_event_t e;
        HM_TRY(next(r, &e));
        *type = e.type;
        line = line_of(&e);
        const bool empty_scalar = e.type == YAML_SCALAR_EVENT && is_null(&e);
        yaml_event_delete(&e);
        if (empty_scalar)
            *type = YAML_STREAM_END_EVENT;
    } while (*type == YAML_STREAM_START_EVENT || *type == YAML_DOCUMENT_START_EVENT);
    if (*type != YAML_MAPPING_START_EVENT && *type != YAML_STREAM_END_EVENT)
        HM_FAIL(HM_ERR_FORMAT, "%s, line %zu: not a list of settings; write one \"name: value\" a line", r->path, line);
    return HM_OK;
}

static hm_status read_end(reader *r) {
    yaml_event_type_t type = YAML_NO_EVENT;
    while (type != YAML_STREAM_END_EVENT) {
        yaml_event_t e;
        HM_TRY(next(r, &e));
        type = e.type;
        const size_t line = line_of(&e);
        yaml_event_delete(&e);
        if (type == YAML_DOCUMENT_START_EVENT)
            HM_FAIL(HM_ERR_FORMAT, "%s, line %zu: a second document begins; keep one in a file", r->path, line);
    }
    return HM_OK;
}

static hm_status read_all(reader *r) {
    yaml_event_type_t type;
    HM_TRY(skip_to_content(r, &type));
    if (type == YAML_STREAM_END_EVENT)
        return HM_OK;
    for (bool more = true; more;)
        HM_TRY(read_pair(r, &more));
    return read_end(r);
}

hm_status hm_settings_load_yaml(const hm_setting *table, size_t n, void *object, const char *path) {
    reader r = {.table = table, .n = n, .object = object, .path = path};
    r.file = fopen(path, "rb");
    if (r.file == NULL)
        HM_FAIL(HM_ERR_IO, "cannot open %s: %s", path, strerror(errno));
    hm_status st;
    bool parsing = false;
    HM_TRY_TO(st, done, hm_alloc(&r.line_of, n, sizeof *r.line_of));
    parsing = yaml_parser_initialize(&r.parser) != 0;
    if (!parsing) {
        st = hm_fail(HM_ERR_MEMORY, "out of memory while reading %s", path);
        goto done;
    }
    yaml_parser_set_input_file(&r.parser, r.file);
    st = read_all(&r);
done:
    if (parsing)
        yaml_parser_delete(&r.parser);
    free(r.line_of);
    fclose(r.file);
    return st;
}
