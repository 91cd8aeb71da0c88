/* mask_from_logits.c: resizes mask logits and thresholds them straight into runs, column after column: only one column
 * of the small mask is ever resized. Between two source rows of one sign nothing changes, so those pixels are not
 * computed. Formula: torch's upsample_bilinear2d with align_corners false, columns first. */
#include <stdlib.h>

#include "base/mem.h"
#include "eval/postprocess.h"

/* Where an output pixel lies between two source pixels. */
typedef struct tap {
    int32_t low, high;
    float w_low, w_high;
} tap;

static hm_status make_taps(tap **out, int32_t in, int32_t n) {
    const float scale = (float)in / (float)n;
    HM_TRY(hm_alloc(out, (size_t)n, sizeof **out));
    for (int32_t i = 0; i < n; i++) {
        const float real = scale * ((float)i + 0.5f) - 0.5f, x = real < 0 ? 0 : real;
        const int32_t low = (int32_t)x < in - 1 ? (int32_t)x : in - 1;
        const float f = x - (float)low < 1 ? x - (float)low : 1;
        (*out)[i] = (tap){low, low + 1 < in ? low + 1 : low, 1 - f, f};
    }
    return HM_OK;
}

/* Runs under construction. */
typedef struct runs {
    uint32_t *counts;
    size_t n, cap;
    uint32_t length; /* of the present run */
    bool inside;
} runs;

static hm_status runs_push(runs *r, uint32_t length) {
    HM_TRY(hm_grow(&r->counts, &r->cap, r->n + 1, sizeof *r->counts));
    r->counts[r->n++] = length;
    return HM_OK;
}

static hm_status runs_add(runs *r, bool inside, uint32_t length) {
    if (inside != r->inside) {
        HM_TRY(runs_push(r, r->length));
        r->length = 0;
        r->inside = inside;
    }
    r->length += length;
    return HM_OK;
}

/* One output column; column [mask_h] is the source at it. */
static hm_status add_column(runs *r, const float *column, const tap *rows, int32_t h) {
    for (int32_t y = 0, end; y < h; y = end) {
        const int32_t low = rows[y].low, high = rows[y].high;
        const float a = column[low], b = column[high];
        for (end = y + 1; end < h && rows[end].low == low; end++)
            ;
        if ((a > 0) == (b > 0)) {
            HM_TRY(runs_add(r, a > 0, (uint32_t)(end - y)));
            continue;
        }
        for (; y < end; y++)
            HM_TRY(runs_add(r, a * rows[y].w_low + b * rows[y].w_high > 0, 1));
    }
    return HM_OK;
}

hm_status hm_mask_from_logits(hm_rle *out, const float *logits, int32_t mask_h, int32_t mask_w, int32_t h, int32_t w) {
    tap *rows = NULL, *cols = NULL;
    float *column = NULL;
    runs r = {0};
    hm_status st;
    *out = (hm_rle){0};
    HM_TRY_TO(st, done, make_taps(&rows, mask_h, h));
    HM_TRY_TO(st, done, make_taps(&cols, mask_w, w));
    HM_TRY_TO(st, done, hm_alloc(&column, (size_t)mask_h, sizeof *column));
    for (int32_t x = 0; x < w; x++) {
        const tap t = cols[x];
        for (int32_t y = 0; y < mask_h; y++) {
            const float *const row = logits + (size_t)y * (size_t)mask_w;
            column[y] = row[t.low] * t.w_low + row[t.high] * t.w_high;
        }
        HM_TRY_TO(st, done, add_column(&r, column, rows, h));
    }
    HM_TRY_TO(st, done, runs_push(&r, r.length));
    *out = (hm_rle){.h = h, .w = w, .n = r.n, .counts = r.counts};
    r.counts = NULL;
done:
    free(r.counts);
    free(rows);
    free(cols);
    free(column);
    return st;
}
