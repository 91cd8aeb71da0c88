/* coco_results.c: the streaming reader of COCO results files: a state machine under yajl that fills one draft
 * (coco_result_draft.c) at a time. The writer is coco_results_write.c. */
#include "eval/coco_results.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "data/coco_number.h"
#include "eval/coco_result_draft.h"
#include "io/json_stream.h"

/* Where in the file the parser is; SKIP is inside a value that nobody reads. */
typedef enum place { TOP, LIST, RESULT, BOX, POLYGONS, POLYGON, RLE, SIZE, COUNTS, SKIP, END } place;

typedef struct reader {
    hm_coco_result_fn fn;
    void *user;
    hm_result_draft d;
    hm_json_stream in;
    place place, back; /* back: where SKIP returns to */
    size_t depth;      /* open brackets in SKIP */
    hm_result_key key;
} reader;

/* ---- failing ---- */

static hm_status add_place(const void *ctx, hm_status code, uint64_t byte) {
    const reader *const r = ctx;
    if (r->place == TOP || r->place == END)
        return hm_fail_in(code, "%s, byte %" PRIu64, r->in.name, byte);
    return hm_fail_in(code, "%s, result %zu (byte %" PRIu64 ")", r->in.name, r->d.index, byte);
}

static int pass(reader *r, hm_status st) {
    return hm_json_stream_check(&r->in, st);
}

#define STOP(r, ...) return pass((r), hm_fail(HM_ERR_FORMAT, __VA_ARGS__))

static int unexpected(reader *r, const char *what) {
    switch (r->place) {
    case TOP:
    case END:
        STOP(r, "%s stands where the list of results is due; a results file is [{...}, ...]", what);
    case LIST:
        STOP(r, "%s stands where a result {...} is due", what);
    case RESULT:
    case RLE:
        STOP(r, "\"%s\" cannot be %s", hm_result_key_names[r->key], what);
    case BOX:
        STOP(r, "\"bbox\" holds %s; it must be four numbers x,y,width,height", what);
    case SIZE:
        STOP(r, "\"size\" holds %s; it must be two numbers height,width", what);
    default:
        STOP(r, "\"segmentation\" holds %s; it must be RLE {size, counts} or a list of polygons [x,y,...]", what);
    }
}

/* ---- yajl's events ---- */

static int result_end(reader *r) {
    const hm_status st = hm_result_deliver(&r->d, r->fn, r->user);
    if (st != HM_OK)
        return pass(r, st);
    r->d.index++;
    r->place = LIST;
    return 1;
}

/* A value that is not read begins (open: with a bracket); only values of unknown keys are passed over. */
static int skip(reader *r, bool open, const char *what) {
    if (r->place == SKIP) {
        r->depth += open;
        return 1;
    }
    if ((r->place != RESULT && r->place != RLE) || r->key != HM_RESULT_OTHER)
        return unexpected(r, what);
    if (open) {
        r->back = r->place;
        r->place = SKIP;
        r->depth = 1;
    }
    return 1;
}

static int close_skipped(reader *r) {
    if (--r->depth == 0)
        r->place = r->back;
    return 1;
}

static int on_null(void *ctx) {
    return skip(ctx, false, "null");
}

static int on_boolean(void *ctx, int value) {
    return skip(ctx, false, value ? "true" : "false");
}

static int push_double(reader *r, double *values, size_t *n, size_t max, double x) {
    if (*n == max)
        return unexpected(r, "too many numbers");
    values[(*n)++] = x;
    return 1;
}

static int put_id(reader *r, const char *text, double x, int64_t *out) {
    if (!hm_coco_integer(text, x, out))
        STOP(r, "\"%s\" is %s; it must be a whole number", hm_result_key_names[r->key], text);
    r->d.seen |= 1u << r->key;
    return 1;
}

static int put_count(reader *r, const char *text, double x) {
    int64_t run;
    if (!hm_coco_integer(text, x, &run) || run < 0 || run > UINT32_MAX)
        STOP(r, "\"counts\" holds %s; runs must be whole numbers from 0 to 2^32-1", text);
    return pass(r, hm_result_add_count(&r->d, (uint32_t)run));
}

static int put_coordinate(reader *r, double x) {
    return pass(r, hm_result_add_coordinate(&r->d, x));
}

static int put_size(reader *r, const char *text, double x) {
    if (r->d.n_size == 2)
        return unexpected(r, "more than two numbers");
    if (!hm_coco_integer(text, x, &r->d.size[r->d.n_size]))
        STOP(r, "\"size\" holds %s; it must be whole numbers", text);
    r->d.n_size++;
    return 1;
}

static int put_field(reader *r, const char *text, double x) {
    switch (r->key) {
    case HM_RESULT_IMAGE:
        return put_id(r, text, x, &r->d.image_id);
    case HM_RESULT_CATEGORY:
        return put_id(r, text, x, &r->d.category_id);
    case HM_RESULT_SCORE:
        r->d.score = x;
        r->d.seen |= 1u << HM_RESULT_SCORE;
        return 1;
    default:
        return skip(r, false, "a number");
    }
}

static int on_number(void *ctx, const char *digits, size_t len) {
    reader *const r = ctx;
    char text[64];
    if (r->place == SKIP)
        return 1;
    if (len >= sizeof text)
        STOP(r, "a number of %zu digits is too long", len);
    memcpy(text, digits, len);
    text[len] = '\0';
    const double x = strtod(text, NULL);
    if (!isfinite(x))
        STOP(r, "the number %s is too large", text);
    switch (r->place) {
    case BOX:
        return push_double(r, r->d.box, &r->d.n_box, 4, x);
    case SIZE:
        return put_size(r, text, x);
    case COUNTS:
        return put_count(r, text, x);
    case POLYGON:
        return put_coordinate(r, x);
    case RESULT:
        return put_field(r, text, x);
    default:
        return skip(r, false, "a number");
    }
}

static int on_string(void *ctx, const unsigned char *s, size_t len) {
    reader *const r = ctx;
    if (r->place != RLE || r->key != HM_RESULT_COUNTS)
        return skip(r, false, "a string");
    return pass(r, hm_result_set_text(&r->d, s, len));
}

static int on_key(void *ctx, const unsigned char *s, size_t len) {
    reader *const r = ctx;
    const hm_result_key first = r->place == RESULT ? HM_RESULT_IMAGE : HM_RESULT_SIZE,
                        last = r->place == RESULT ? HM_RESULT_SEG : HM_RESULT_COUNTS;
    if (r->place != RESULT && r->place != RLE)
        return 1;
    r->key = HM_RESULT_OTHER;
    for (hm_result_key k = first; k <= last; k++)
        if (strlen(hm_result_key_names[k]) == len && memcmp(hm_result_key_names[k], s, len) == 0)
            r->key = k;
    return 1;
}

static int on_map(void *ctx) {
    reader *const r = ctx;
    if (r->place == LIST) {
        hm_result_begin(&r->d);
        r->place = RESULT;
        return 1;
    }
    if (r->place != RESULT || r->key != HM_RESULT_SEG)
        return skip(r, true, "an object");
    r->d.seen = (r->d.seen | 1u << HM_RESULT_SEG) & ~(1u << HM_RESULT_SIZE | 1u << HM_RESULT_COUNTS);
    r->d.polygons = false;
    r->place = RLE;
    return 1;
}

static int on_map_end(void *ctx) {
    reader *const r = ctx;
    if (r->place == SKIP)
        return close_skipped(r);
    if (r->place == RESULT)
        return result_end(r);
    r->place = RESULT; /* from RLE: yajl pairs the brackets */
    return 1;
}

static int polygon_begin(reader *r) {
    r->place = POLYGON;
    return pass(r, hm_result_add_polygon(&r->d));
}

static int field_array(reader *r) {
    r->d.seen |= 1u << r->key;
    switch (r->key) {
    case HM_RESULT_BOX:
        r->d.n_box = 0;
        r->place = BOX;
        return 1;
    case HM_RESULT_SEG:
        r->d.n_xy = r->d.n_start = 0;
        r->d.polygons = true;
        r->place = POLYGONS;
        return 1;
    case HM_RESULT_SIZE:
        r->d.n_size = 0;
        r->place = SIZE;
        return 1;
    case HM_RESULT_COUNTS:
        r->d.n_counts = 0;
        r->d.is_string = false;
        r->place = COUNTS;
        return 1;
    default:
        return skip(r, true, "a list");
    }
}

static int on_array(void *ctx) {
    reader *const r = ctx;
    switch (r->place) {
    case TOP:
        r->place = LIST;
        return 1;
    case POLYGONS:
        return polygon_begin(r);
    case RESULT:
    case RLE:
        return field_array(r);
    default:
        return skip(r, true, "a list");
    }
}

static int on_array_end(void *ctx) {
    static const place outer[] = {
        [LIST] = END, [BOX] = RESULT, [POLYGONS] = RESULT, [POLYGON] = POLYGONS, [SIZE] = RLE, [COUNTS] = RLE};
    reader *const r = ctx;
    if (r->place == SKIP)
        return close_skipped(r);
    if (r->place == SIZE && r->d.n_size != 2)
        return unexpected(r, "fewer than two numbers");
    r->place = outer[r->place];
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

static hm_status parse(const char *name, const void *data, size_t len, FILE *file, const hm_coco *gt,
                       hm_coco_result_fn fn, void *user) {
    reader r = {.fn = fn, .user = user};
    hm_status st;
    HM_TRY_TO(st, done, hm_result_open(&r.d, gt));
    HM_TRY_TO(st, done, hm_json_stream_open(&r.in, &callbacks, add_place, &r, name));
    st = file != NULL ? hm_json_stream_file(&r.in, file) : hm_json_stream_memory(&r.in, data, len);
done:
    hm_json_stream_close(&r.in);
    hm_result_close(&r.d);
    return st;
}

hm_status hm_coco_results_parse(const char *name, const void *data, size_t len, const hm_coco *gt, hm_coco_result_fn fn,
                                void *user) {
    return parse(name, data, len, NULL, gt, fn, user);
}

hm_status hm_coco_results_read(const char *path, const hm_coco *gt, hm_coco_result_fn fn, void *user) {
    FILE *const f = fopen(path, "rb");
    if (f == NULL)
        HM_FAIL(HM_ERR_IO, "cannot open %s: %s", path, strerror(errno));
    const hm_status st = parse(path, NULL, 0, f, gt, fn, user);
    fclose(f);
    return st;
}
