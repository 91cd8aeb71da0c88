/* rle.c: run-length masks: conversion, set operations, overlaps. Polygons are in rle_polygon.c.
 * Formulas: pycocotools' maskApi.c; runs of no pixels, which it mishandles, are allowed everywhere. */
#include "data/rle.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "data/rle_toggles.h"

enum { MAX_CHARS = 7 }; /* 5-bit groups of one signed 33-bit difference */

void hm_rle_free(hm_rle *r) {
    if (!r)
        return;
    free(r->counts);
    *r = (hm_rle){0};
}

hm_status hm_rle_check_size(int32_t h, int32_t w) {
    if (h < 1 || w < 1 || (int64_t)h * w > INT32_MAX)
        HM_FAIL(HM_ERR_FORMAT,
                "a mask of height %d and width %d is not possible: both must be positive and their "
                "product below 2^31",
                (int)h, (int)w);
    return HM_OK;
}

/* Takes `counts` (of any capacity >= n) over. */
static void adopt(hm_rle *out, uint32_t *counts, size_t n, int32_t h, int32_t w) {
    uint32_t *const fitted = realloc(counts, n * sizeof *counts);
    *out = (hm_rle){.h = h, .w = w, .n = n, .counts = fitted ? fitted : counts};
}

void hm_rle_adopt_toggles(hm_rle *out, uint32_t *toggles, size_t n, int32_t h, int32_t w) {
    const uint32_t total = (uint32_t)h * (uint32_t)w;
    size_t kept = 0;
    for (size_t i = 0; i < n && toggles[i] < total; i++) {
        if (kept > 0 && toggles[kept - 1] == toggles[i])
            kept--;
        else
            toggles[kept++] = toggles[i];
    }
    toggles[kept] = total;
    for (size_t i = kept; i > 0; i--)
        toggles[i] -= toggles[i - 1];
    adopt(out, toggles, kept + 1, h, w);
}

static hm_status copy(hm_rle *out, const hm_rle *r) {
    uint32_t *counts = NULL;
    HM_TRY(hm_alloc(&counts, r->n, sizeof *counts));
    if (r->n)
        memcpy(counts, r->counts, r->n * sizeof *counts);
    *out = (hm_rle){.h = r->h, .w = r->w, .n = r->n, .counts = counts};
    return HM_OK;
}

/* ---- strings and counts ---- */

/* Reads one signed number of 5-bit groups at s[*at]; false when it is malformed. */
static bool read_number(const char *s, size_t len, size_t *at, int64_t *out) {
    uint64_t bits = 0;
    for (unsigned k = 0; k < MAX_CHARS && *at < len; k++) {
        const unsigned c = (unsigned)(unsigned char)s[*at] - 48u;
        if (c > 63)
            return false;
        (*at)++;
        bits |= (uint64_t)(c & 31u) << (5 * k);
        if (c & 32u)
            continue;
        *out = (int64_t)bits - ((c & 16u) ? (int64_t)1 << (5 * (k + 1)) : 0);
        return true;
    }
    return false;
}

/* Parses the whole string into counts, which has room for len of them. */
static hm_status read_runs(uint32_t *counts, size_t *n, const char *s, size_t len, int32_t h, int32_t w) {
    int64_t left = (int64_t)h * w, run = 0;
    for (size_t at = 0; at < len; left -= run) {
        const size_t begin = at;
        if (!read_number(s, len, &at, &run))
            HM_FAIL(HM_ERR_FORMAT, "the RLE string is malformed at character %zu", begin);
        run += *n > 2 ? (int64_t)counts[*n - 2] : 0;
        if (run < 0 || run > left)
            HM_FAIL(HM_ERR_FORMAT, "the RLE string's run at character %zu is negative or leaves the mask", begin);
        counts[(*n)++] = (uint32_t)run;
    }
    if (left != 0)
        HM_FAIL(HM_ERR_FORMAT, "the RLE string leaves %lld pixels of its mask (height %d, width %d) undefined",
                (long long)left, (int)h, (int)w);
    return HM_OK;
}

hm_status hm_rle_from_string(hm_rle *out, const char *s, size_t len, int32_t h, int32_t w) {
    *out = (hm_rle){0};
    HM_TRY(hm_rle_check_size(h, w));
    uint32_t *counts = NULL;
    HM_TRY(hm_alloc(&counts, len, sizeof *counts));
    size_t n = 0;
    const hm_status st = read_runs(counts, &n, s, len, h, w);
    if (st == HM_OK)
        adopt(out, counts, n, h, w);
    else
        free(counts);
    return st;
}

hm_status hm_rle_from_counts(hm_rle *out, const uint32_t *counts, size_t n, int32_t h, int32_t w) {
    *out = (hm_rle){0};
    HM_TRY(hm_rle_check_size(h, w));
    const uint64_t total = (uint64_t)h * (uint64_t)w;
    uint64_t sum = 0;
    for (size_t i = 0; i < n && sum <= total; i++)
        sum += counts[i];
    if (sum != total)
        HM_FAIL(HM_ERR_FORMAT, "the RLE counts cover %s pixels than the %llu of their mask (height %d, width %d)",
                sum < total ? "fewer" : "more", (unsigned long long)total, (int)h, (int)w);
    return copy(out, &(hm_rle){.h = h, .w = w, .n = n, .counts = (uint32_t *)counts});
}

hm_status hm_rle_to_string(const hm_rle *r, char **out) {
    *out = NULL;
    char *s = NULL;
    HM_TRY(hm_alloc(&s, r->n * MAX_CHARS + 1, 1));
    size_t at = 0;
    for (size_t i = 0; i < r->n; i++) {
        int64_t x = (int64_t)r->counts[i] - (i > 2 ? (int64_t)r->counts[i - 2] : 0);
        for (bool more = true; more;) {
            const unsigned c = (unsigned)(x & 31);
            x = (x - (int64_t)c) / 32; /* floor, also of negative numbers */
            more = (c & 16u) ? x != -1 : x != 0;
            s[at++] = (char)(48u + c + (more ? 32u : 0u));
        }
    }
    s[at] = '\0';
    *out = s;
    return HM_OK;
}

/* ---- bytes ---- */

/* Does pixel x of row y differ from the one above it (for y = 0: from the last one of column x-1)? */
static bool changes(const uint8_t *mask, int32_t h, int32_t w, int32_t y, int32_t x) {
    const bool now = mask[(size_t)y * (size_t)w + (size_t)x] != 0;
    if (y > 0)
        return now != (mask[(size_t)(y - 1) * (size_t)w + (size_t)x] != 0);
    return now != (x > 0 && mask[(size_t)(h - 1) * (size_t)w + (size_t)(x - 1)] != 0);
}

/* Visits the changes row by row, so that memory is read in order. Without `toggles` counts those of column x in
 * cursor[x]; with it writes each to toggles[cursor[x]++]. */
static void scan_changes(const uint8_t *mask, int32_t h, int32_t w, uint32_t *cursor, uint32_t *toggles) {
    for (int32_t y = 0; y < h; y++) {
        const uint8_t *const row = mask + (size_t)y * (size_t)w;
        for (int32_t x = 0; x < w; x++) {
            if (y > 0 && w - x >= 8 && memcmp(row + x, row + x - w, 8) == 0) {
                x += 7; /* eight equal pixels at once */
                continue;
            }
            if (!changes(mask, h, w, y, x))
                continue;
            if (toggles)
                toggles[cursor[x]] = (uint32_t)x * (uint32_t)h + (uint32_t)y;
            cursor[x]++;
        }
    }
}

hm_status hm_rle_from_mask(hm_rle *out, const uint8_t *mask, int32_t h, int32_t w) {
    *out = (hm_rle){0};
    HM_TRY(hm_rle_check_size(h, w));
    uint32_t *cursor = NULL, *toggles = NULL; /* cursor: [w] */
    HM_TRY(hm_alloc(&cursor, (size_t)w, sizeof *cursor));
    scan_changes(mask, h, w, cursor, NULL);
    uint32_t n = 0;
    for (int32_t x = 0; x < w; x++) {
        const uint32_t own = cursor[x];
        cursor[x] = n;
        n += own;
    }
    const hm_status st = hm_alloc(&toggles, (size_t)n + 1, sizeof *toggles);
    if (st == HM_OK) {
        scan_changes(mask, h, w, cursor, toggles);
        hm_rle_adopt_toggles(out, toggles, n, h, w);
    }
    free(cursor);
    return st;
}

void hm_rle_to_mask(const hm_rle *r, uint8_t *mask) {
    const size_t h = (size_t)r->h, w = (size_t)r->w;
    if (h == 0 || w == 0)
        return;
    memset(mask, 0, h * w);
    size_t p = 0;
    for (size_t i = 0; i < r->n; i++) {
        const size_t end = p + r->counts[i];
        for (size_t x = p / h, y = p % h; i % 2 == 1 && p < end; p++) {
            mask[y * w + x] = 1;
            if (++y == h) {
                y = 0;
                x++;
            }
        }
        p = end;
    }
}

/* ---- set operations ---- */

/* A walk over a mask's runs. */
typedef struct cursor {
    const hm_rle *r;
    size_t run;
    uint64_t end; /* position at which the current run ends; UINT64_MAX after the last one */
} cursor;

static cursor cursor_begin(const hm_rle *r) {
    return (cursor){.r = r, .end = r->n ? r->counts[0] : UINT64_MAX};
}

/* Goes on to the run that holds position p (p must not lie before the current run). */
static void cursor_seek(cursor *c, uint64_t p) {
    while (c->end <= p) {
        c->run++;
        c->end = c->run < c->r->n ? c->end + c->r->counts[c->run] : UINT64_MAX;
    }
}

static bool cursor_inside(const cursor *c) {
    return c->run % 2 == 1 && c->run < c->r->n;
}

static hm_status merge_two(hm_rle *out, const hm_rle *a, const hm_rle *b, bool intersect) {
    uint32_t *toggles = NULL;
    HM_TRY(hm_alloc(&toggles, a->n + b->n + 1, sizeof *toggles));
    const uint64_t total = (uint64_t)a->h * (uint64_t)a->w;
    cursor ca = cursor_begin(a), cb = cursor_begin(b);
    size_t n = 0;
    for (uint64_t p = 0; p < total; p = ca.end < cb.end ? ca.end : cb.end) {
        cursor_seek(&ca, p);
        cursor_seek(&cb, p);
        const bool ia = cursor_inside(&ca), ib = cursor_inside(&cb);
        if ((intersect ? ia && ib : ia || ib) != (n % 2 == 1))
            toggles[n++] = (uint32_t)p;
    }
    hm_rle_adopt_toggles(out, toggles, n, a->h, a->w);
    return HM_OK;
}

/* Halves first, so that many small masks cost n log n. */
static hm_status merge_range(hm_rle *out, const hm_rle *masks, size_t n, bool intersect) {
    if (n == 1)
        return copy(out, masks);
    hm_rle left = {0}, right = {0};
    hm_status st = merge_range(&left, masks, n / 2, intersect);
    if (st == HM_OK)
        st = merge_range(&right, masks + n / 2, n - n / 2, intersect);
    if (st == HM_OK)
        st = merge_two(out, &left, &right, intersect);
    hm_rle_free(&left);
    hm_rle_free(&right);
    return st;
}

static hm_status check_same_size(const hm_rle *first, const hm_rle *masks, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (masks[i].h != first->h || masks[i].w != first->w)
            HM_FAIL(HM_ERR_ARG, "masks of different sizes (%d x %d and %d x %d) cannot be put together", (int)first->h,
                    (int)first->w, (int)masks[i].h, (int)masks[i].w);
    return HM_OK;
}

hm_status hm_rle_merge(hm_rle *out, const hm_rle *masks, size_t n, bool intersect) {
    *out = (hm_rle){0};
    if (n == 0)
        HM_FAIL(HM_ERR_ARG, "no masks to put together");
    HM_TRY(check_same_size(masks, masks, n));
    return merge_range(out, masks, n, intersect);
}

/* ---- measures ---- */

uint64_t hm_rle_area(const hm_rle *r) {
    uint64_t area = 0;
    for (size_t i = 1; i < r->n; i += 2)
        area += r->counts[i];
    return area;
}

void hm_rle_box(const hm_rle *r, double box[4]) {
    const uint64_t h = (uint64_t)r->h;
    uint64_t x0 = UINT64_MAX, y0 = UINT64_MAX, x1 = 0, y1 = 0, p = 0; /* x1, y1: one past the last pixel */
    for (size_t i = 0; i < r->n; p += r->counts[i++]) {
        if (i % 2 == 0 || r->counts[i] == 0)
            continue;
        const uint64_t last = p + r->counts[i] - 1;
        const bool one_column = p / h == last / h;
        const uint64_t top = one_column ? p % h : 0, bottom = one_column ? last % h : h - 1;
        x0 = p / h < x0 ? p / h : x0;
        x1 = last / h + 1;
        y0 = top < y0 ? top : y0;
        y1 = bottom + 1 > y1 ? bottom + 1 : y1;
    }
    const bool empty = x1 == 0;
    box[0] = empty ? 0 : (double)x0;
    box[1] = empty ? 0 : (double)y0;
    box[2] = empty ? 0 : (double)(x1 - x0);
    box[3] = empty ? 0 : (double)(y1 - y0);
}

static uint64_t intersection(const hm_rle *a, const hm_rle *b) {
    const uint64_t total = (uint64_t)a->h * (uint64_t)a->w;
    cursor ca = cursor_begin(a), cb = cursor_begin(b);
    uint64_t pixels = 0;
    for (uint64_t p = 0; p < total;) {
        cursor_seek(&ca, p);
        cursor_seek(&cb, p);
        const uint64_t next = ca.end < cb.end ? ca.end : cb.end;
        if (cursor_inside(&ca) && cursor_inside(&cb))
            pixels += next - p;
        p = next;
    }
    return pixels;
}

hm_status hm_rle_iou(const hm_rle *dt, size_t n_dt, const hm_rle *gt, size_t n_gt, const uint8_t *crowd, double *iou) {
    if (n_dt == 0 || n_gt == 0)
        return HM_OK;
    HM_TRY(check_same_size(dt, dt, n_dt));
    HM_TRY(check_same_size(dt, gt, n_gt));
    double(*boxes)[4] = NULL; /* [n_dt + n_gt] */
    HM_TRY(hm_alloc(&boxes, n_dt + n_gt, sizeof *boxes));
    for (size_t d = 0; d < n_dt; d++)
        hm_rle_box(&dt[d], boxes[d]);
    for (size_t g = 0; g < n_gt; g++)
        hm_rle_box(&gt[g], boxes[n_dt + g]);
    hm_box_iou((const double(*)[4])boxes, n_dt, (const double(*)[4])(boxes + n_dt), n_gt, crowd, iou);
    for (size_t d = 0; d < n_dt; d++) {
        const uint64_t area = hm_rle_area(&dt[d]);
        for (size_t g = 0; g < n_gt; g++) {
            double *const o = &iou[d * n_gt + g];
            const uint64_t i = *o > 0 ? intersection(&dt[d], &gt[g]) : 0;
            *o = i == 0 ? 0 : (double)i / (double)(crowd && crowd[g] ? area : area + hm_rle_area(&gt[g]) - i);
        }
    }
    free(boxes);
    return HM_OK;
}

void hm_box_iou(const double (*dt)[4], size_t n_dt, const double (*gt)[4], size_t n_gt, const uint8_t *crowd,
                double *iou) {
    for (size_t d = 0; d < n_dt; d++) {
        const double *const a = dt[d];
        for (size_t g = 0; g < n_gt; g++) {
            const double *const b = gt[g];
            const double w = fmin(a[2] + a[0], b[2] + b[0]) - fmax(a[0], b[0]);
            const double h = fmin(a[3] + a[1], b[3] + b[1]) - fmax(a[1], b[1]);
            const double i = w > 0 && h > 0 ? w * h : 0;
            const double u = crowd && crowd[g] ? a[2] * a[3] : a[2] * a[3] + b[2] * b[3] - i;
            iou[d * n_gt + g] = i > 0 ? i / u : 0;
        }
    }
}
