/* json_stream.c: see json_stream.h. */
#include "io/json_stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { CHUNK = 1 << 16 };

hm_status hm_json_stream_open(hm_json_stream *s, const yajl_callbacks *callbacks,
                              hm_status (*place)(const void *ctx, hm_status code, uint64_t byte), void *ctx,
                              const char *name) {
    *s = (hm_json_stream){.name = name, .ctx = ctx, .place = place, .json = yajl_alloc(callbacks, NULL, ctx)};
    if (s->json == NULL)
        HM_FAIL(HM_ERR_MEMORY, "cannot read %s: out of memory", name);
    return HM_OK;
}

void hm_json_stream_close(hm_json_stream *s) {
    if (s->json != NULL)
        yajl_free(s->json);
    s->json = NULL;
}

uint64_t hm_json_stream_byte(const hm_json_stream *s) {
    return s->base + (s->ended ? 0 : yajl_get_bytes_consumed(s->json));
}

int hm_json_stream_check(hm_json_stream *s, hm_status st) {
    if (st == HM_OK)
        return 1;
    s->st = s->place(s->ctx, st, hm_json_stream_byte(s));
    return 0;
}

/* Whether yajl stopped at the N of NaN or the I of Infinity or -Infinity; no JSON has a bare N or I. */
static bool at_nan(const char *json, size_t len, size_t at) {
    const char before = at > 0 && at <= len ? json[at - 1] : '\0', here = at < len ? json[at] : '\0';
    return before == 'N' || before == 'I' || (here == 'I' && (at == 0 || before == '-'));
}

static hm_status not_json(hm_json_stream *s, const char *json, size_t len) {
    unsigned char *const why = yajl_get_error(s->json, 0, NULL, 0);
    const char *const reason = why != NULL ? (const char *)why : "";
    if (s->ended) /* whatever yajl calls it: half a literal or number is no "premature EOF" to it */
        hm_fail(HM_ERR_FORMAT, "the file ends in the middle of its JSON; was its download or copy cut short?");
    else if (at_nan(json, len, yajl_get_bytes_consumed(s->json)))
        hm_fail(HM_ERR_FORMAT, "NaN or Infinity stands where a number is due (Python writes them, JSON has neither); "
                               "correct or remove it");
    else
        hm_fail(HM_ERR_FORMAT, "it is not JSON (%.*s); correct it or make the file anew", (int)strcspn(reason, "\n"),
                reason);
    if (why != NULL)
        yajl_free_error(s->json, why);
    hm_json_stream_check(s, HM_ERR_FORMAT);
    return s->st;
}

static hm_status feed(hm_json_stream *s, const char *json, size_t len) {
    const yajl_status said = yajl_parse(s->json, (const unsigned char *)json, len);
    if (s->st != HM_OK)
        return s->st;
    if (said != yajl_status_ok)
        return not_json(s, json, len);
    s->base += len;
    return HM_OK;
}

static hm_status finish(hm_json_stream *s) {
    s->ended = true;
    if (s->base == 0)
        HM_FAIL(HM_ERR_FORMAT, "%s is empty (0 bytes); was its download or copy cut short?", s->name);
    const yajl_status said = yajl_complete_parse(s->json);
    if (s->st != HM_OK)
        return s->st;
    return said == yajl_status_ok ? HM_OK : not_json(s, NULL, 0);
}

hm_status hm_json_stream_memory(hm_json_stream *s, const void *json, size_t len) {
    HM_TRY(feed(s, json, len));
    return finish(s);
}

static hm_status feed_file(hm_json_stream *s, FILE *file, char *chunk) {
    for (size_t n; (n = fread(chunk, 1, CHUNK, file)) > 0;)
        HM_TRY(feed(s, chunk, n));
    if (ferror(file))
        HM_FAIL(HM_ERR_IO, "cannot read %s: %s", s->name, strerror(errno));
    return finish(s);
}

hm_status hm_json_stream_file(hm_json_stream *s, FILE *file) {
    char *chunk = NULL;
    HM_TRY(hm_alloc(&chunk, CHUNK, 1));
    const hm_status st = feed_file(s, file, chunk);
    free(chunk);
    return st;
}
