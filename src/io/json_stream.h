/* json_stream.h: JSON that is read as it streams by: feeds yajl from memory or a file, counts bytes, and turns what
 * yajl says into sentences. What the events mean is the callbacks' business. */
#ifndef HM_IO_JSON_STREAM_H
#define HM_IO_JSON_STREAM_H

#include <stdio.h>
#include <yajl/yajl_parse.h>

#include "base/status.h"

typedef struct hm_json_stream {
    const char *name; /* of the file, for messages */
    void *ctx;        /* the callbacks' */
    /* Puts file, place and byte before the message that is set; returns `code`. */
    hm_status (*place)(const void *ctx, hm_status code, uint64_t byte);
    yajl_handle json;
    uint64_t base; /* bytes of earlier chunks */
    bool ended;    /* the last chunk is read */
    hm_status st;
} hm_json_stream;

hm_status hm_json_stream_open(hm_json_stream *s, const yajl_callbacks *callbacks,
                              hm_status (*place)(const void *ctx, hm_status code, uint64_t byte), void *ctx,
                              const char *name);
void hm_json_stream_close(hm_json_stream *s);

/* One whole document. An empty one, one that ends too early and one that is no JSON are HM_ERR_FORMAT; otherwise the
 * failure with which a callback stopped it. */
hm_status hm_json_stream_memory(hm_json_stream *s, const void *json, size_t len);
hm_status hm_json_stream_file(hm_json_stream *s, FILE *file);

/* For callbacks: bytes read so far. */
uint64_t hm_json_stream_byte(const hm_json_stream *s);
/* For callbacks: 1 to go on; on failure, whose message is set, adds the place to it and returns 0. */
int hm_json_stream_check(hm_json_stream *s, hm_status st);

#endif
