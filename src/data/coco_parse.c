/* coco_parse.c: yajl's events of a COCO annotation file: where in the grammar the parser is, and nothing more; values
 * go to coco_item.h as they come. Keys that COCO does not define are passed over. */
#include "data/coco_item.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/json_stream.h"

enum { NUMBER_CHARS = 128, LABEL_CHARS = 64 };

/* SKIP is inside a value that nobody reads. */
typedef enum place { TOP, ROOT, LIST, ITEM, BOX, POLYGONS, POLYGON, RLE, SIZE, COUNTS, SKIP, END } place;

typedef struct parser {
    hm_coco_build *b;
    hm_json_stream in;
    place place, back; /* back: where SKIP returns to */
    size_t depth;      /* open brackets in SKIP */
    unsigned lists;    /* bit per list that the file has */
} parser;

/* ---- failing ---- */

static hm_status add_place(const void *ctx, hm_status code, uint64_t byte) {
    const parser *const p = ctx;
    char label[LABEL_CHARS];
    hm_coco_item_label(p->b, label, sizeof label);
    if (p->place == TOP || p->place == ROOT || p->place == LIST || p->place == END || p->b->list == HM_COCO_OTHER_LIST)
        return hm_fail_in(code, "%s (byte %" PRIu64 ")", p->in.name, byte);
    return hm_fail_in(code, "%s, %s (byte %" PRIu64 ")", p->in.name, label, byte);
}

static int pass(parser *p, hm_status st) {
    return hm_json_stream_check(&p->in, st);
}

#define STOP(p, ...) return pass((p), hm_fail(HM_ERR_FORMAT, __VA_ARGS__))

static int unexpected(parser *p, const char *what) {
    const hm_coco_key key = p->place == POLYGONS || p->place == POLYGON ? HM_COCO_SEGMENTATION : p->b->key;
    switch (p->place) {
    case TOP:
        STOP(p,
             "%s stands where the object {\"images\": [...], \"annotations\": [...], \"categories\": [...]} is due; "
             "give a COCO annotation file",
             what);
    case ROOT:
        STOP(p, "\"%s\" is %s; it must be a list", hm_coco_list_name(p->b->list), what);
    case LIST:
        STOP(p, "the list \"%s\" holds %s; it must hold objects {...}", hm_coco_list_name(p->b->list), what);
    case ITEM:
    case RLE:
        STOP(p, "\"%s\" is %s; write %s", hm_coco_key_name(key), what, hm_coco_key_form(key));
    default:
        STOP(p, "\"%s\" holds %s; write %s", hm_coco_key_name(key), what, hm_coco_key_form(key));
    }
}

/* ---- yajl's events ---- */

static bool unread(const parser *p) {
    return (p->place == ROOT && p->b->list == HM_COCO_OTHER_LIST) ||
           ((p->place == ITEM || p->place == RLE) && p->b->key == HM_COCO_OTHER_KEY);
}

/* A value that is not read begins (open: with a bracket). */
static int skip(parser *p, bool open, const char *what) {
    if (p->place == SKIP) {
        p->depth += open;
        return 1;
    }
    if (!unread(p))
        return unexpected(p, what);
    if (open) {
        p->back = p->place;
        p->place = SKIP;
        p->depth = 1;
    }
    return 1;
}

static int close_skipped(parser *p) {
    if (--p->depth == 0)
        p->place = p->back;
    return 1;
}

static int on_null(void *ctx) {
    parser *const p = ctx;
    if (p->place != ITEM)
        return skip(p, false, "null");
    hm_coco_item_null(p->b);
    return 1;
}

static int on_boolean(void *ctx, int value) {
    parser *const p = ctx;
    bool taken;
    if (p->place == ITEM && p->b->key == HM_COCO_ISCROWD)
        return pass(p, hm_coco_item_number(p->b, value ? "1" : "0", value, &taken));
    return skip(p, false, value ? "true" : "false");
}

static int put_field(parser *p, const char *text, double x) {
    bool taken;
    const hm_status st = hm_coco_item_number(p->b, text, x, &taken);
    return taken ? pass(p, st) : skip(p, false, "a number");
}

static int on_number(void *ctx, const char *digits, size_t len) {
    parser *const p = ctx;
    char text[NUMBER_CHARS];
    if (p->place == SKIP || unread(p))
        return 1;
    if (len >= sizeof text)
        STOP(p, "a number has %zu digits; write fewer than %d", len, NUMBER_CHARS);
    memcpy(text, digits, len);
    text[len] = '\0';
    const double x = strtod(text, NULL);
    if (!isfinite(x))
        STOP(p, "the number %s is infinite; correct it", text);
    switch (p->place) {
    case BOX:
        return pass(p, hm_coco_add_box(p->b, x));
    case POLYGON:
        return pass(p, hm_coco_add_coordinate(p->b, x));
    case SIZE:
        return pass(p, hm_coco_add_size(p->b, text, x));
    case COUNTS:
        return pass(p, hm_coco_add_count(p->b, text, x));
    case ITEM:
        return put_field(p, text, x);
    default:
        return skip(p, false, "a number");
    }
}

static int on_string(void *ctx, const unsigned char *s, size_t len) {
    parser *const p = ctx;
    bool taken = false;
    hm_status st = HM_OK;
    if (p->place == ITEM || p->place == RLE)
        st = hm_coco_item_string(p->b, (const char *)s, len, &taken);
    return taken ? pass(p, st) : skip(p, false, "a string");
}

static int root_key(parser *p, const char *key, size_t len) {
    p->b->list = HM_COCO_OTHER_LIST;
    for (hm_coco_list list = HM_COCO_IMAGES; list <= HM_COCO_CATEGORIES; list++)
        if (strlen(hm_coco_list_name(list)) == len && memcmp(hm_coco_list_name(list), key, len) == 0) {
            if (p->lists & 1u << list)
                STOP(p, "the file has \"%s\" twice; join the two lists", hm_coco_list_name(list));
            p->lists |= 1u << list;
            p->b->list = list;
        }
    return 1;
}

static int on_key(void *ctx, const unsigned char *s, size_t len) {
    parser *const p = ctx;
    if (p->place == ROOT)
        return root_key(p, (const char *)s, len);
    if (p->place == ITEM || p->place == RLE)
        return pass(p, hm_coco_item_key(p->b, p->place == RLE, (const char *)s, len));
    return 1;
}

static int on_map(void *ctx) {
    parser *const p = ctx;
    if (p->place == TOP) {
        p->place = ROOT;
        return 1;
    }
    if (p->place == LIST) {
        hm_coco_item_begin(p->b);
        p->place = ITEM;
        return 1;
    }
    if (p->place == ITEM && p->b->key == HM_COCO_SEGMENTATION) {
        hm_coco_rle_begin(p->b);
        p->place = RLE;
        return 1;
    }
    return skip(p, true, "an object");
}

static int on_map_end(void *ctx) {
    parser *const p = ctx;
    hm_status st = HM_OK;
    if (p->place == SKIP)
        return close_skipped(p);
    if (p->place == RLE)
        st = hm_coco_rle_end(p->b);
    else if (p->place == ITEM)
        st = hm_coco_item_end(p->b, hm_json_stream_byte(&p->in));
    if (st != HM_OK)
        return pass(p, st);
    p->place = p->place == RLE ? ITEM : p->place == ITEM ? LIST : END;
    return 1;
}

/* A list begins as the value of the present key of an item or of RLE. */
static int field_array(parser *p) {
    switch (p->b->key) {
    case HM_COCO_BBOX:
    case HM_COCO_SIZE:
        p->place = p->b->key == HM_COCO_BBOX ? BOX : SIZE;
        p->b->numbers = 0;
        return 1;
    case HM_COCO_SEGMENTATION:
        p->place = POLYGONS;
        return 1;
    case HM_COCO_COUNTS:
        p->place = COUNTS;
        hm_coco_counts_begin(p->b);
        return 1;
    default:
        return skip(p, true, "a list");
    }
}

static int on_array(void *ctx) {
    parser *const p = ctx;
    if (p->place == ITEM || p->place == RLE)
        return field_array(p);
    if (p->place == POLYGONS) {
        p->place = POLYGON;
        return pass(p, hm_coco_part_begin(p->b));
    }
    if (p->place == ROOT && !unread(p)) {
        p->place = LIST;
        return 1;
    }
    return skip(p, true, "a list");
}

static int on_array_end(void *ctx) {
    static const place outer[] = {
        [LIST] = ROOT, [BOX] = ITEM, [POLYGONS] = ITEM, [POLYGON] = POLYGONS, [SIZE] = RLE, [COUNTS] = RLE};
    parser *const p = ctx;
    hm_status st = HM_OK;
    if (p->place == SKIP)
        return close_skipped(p);
    if (p->place == BOX)
        st = hm_coco_box_end(p->b);
    else if (p->place == POLYGON)
        st = hm_coco_part_end(p->b);
    else if (p->place == POLYGONS)
        st = hm_coco_polygons_end(p->b);
    if (st != HM_OK)
        return pass(p, st);
    p->place = outer[p->place];
    return 1;
}

static const yajl_callbacks callbacks = {.yajl_null = on_null,
                                         .yajl_boolean = on_boolean,
                                         .yajl_number = on_number,
                                         .yajl_string = on_string,
                                         .yajl_start_map = on_map,
                                         .yajl_map_key = on_key,
                                         .yajl_end_map = on_map_end,
                                         .yajl_start_array = on_array,
                                         .yajl_end_array = on_array_end};

/* ---- driving ---- */

static hm_status parse(hm_coco_build *b, const char *name, const void *json, size_t len, FILE *file) {
    parser p = {.b = b};
    HM_TRY(hm_json_stream_open(&p.in, &callbacks, add_place, &p, name));
    const hm_status st = file != NULL ? hm_json_stream_file(&p.in, file) : hm_json_stream_memory(&p.in, json, len);
    hm_json_stream_close(&p.in);
    if (st != HM_OK)
        return st;
    for (hm_coco_list list = HM_COCO_IMAGES; list <= HM_COCO_CATEGORIES; list++)
        if (!(p.lists & 1u << list))
            HM_FAIL(HM_ERR_FORMAT, "%s has no list \"%s\"; add it, or give a COCO annotation file", name,
                    hm_coco_list_name(list));
    return HM_OK;
}

hm_status hm_coco_parse_memory(hm_coco_build *b, const char *name, const void *json, size_t len) {
    return parse(b, name, json, len, NULL);
}

hm_status hm_coco_parse_file(hm_coco_build *b, const char *path, FILE *file) {
    return parse(b, path, NULL, 0, file);
}
