/* fuzz_rle.c: libFuzzer target: any bytes as an RLE string, as counts and as polygons; what is taken is a whole mask
 * that survives every conversion. The first three bytes are the height, the width and the form. */
#include "data/rle.h"

#include <stdlib.h>
#include <string.h>

static void require(bool condition) {
    if (!condition)
        __builtin_trap();
}

static bool same(const hm_rle *a, const hm_rle *b) {
    const size_t n = (size_t)a->h * (size_t)a->w;
    uint8_t *const x = malloc(n), *const y = malloc(n);
    require(x && y && a->h == b->h && a->w == b->w);
    hm_rle_to_mask(a, x);
    hm_rle_to_mask(b, y);
    const bool equal = memcmp(x, y, n) == 0;
    free(x);
    free(y);
    return equal;
}

static void check_string(const hm_rle *r) {
    char *s;
    hm_rle back;
    require(hm_rle_to_string(r, &s) == HM_OK);
    require(hm_rle_from_string(&back, s, strlen(s), r->h, r->w) == HM_OK);
    require(back.n == r->n && memcmp(back.counts, r->counts, r->n * sizeof *r->counts) == 0);
    hm_rle_free(&back);
    free(s);
}

static void check_bytes(const hm_rle *r) {
    hm_rle back;
    uint8_t *const mask = malloc((size_t)r->h * (size_t)r->w);
    require(mask != NULL);
    hm_rle_to_mask(r, mask);
    require(hm_rle_from_mask(&back, mask, r->h, r->w) == HM_OK);
    free(mask);
    require(same(r, &back) && hm_rle_area(r) == hm_rle_area(&back));
    double box[4], other[4];
    hm_rle_box(r, box);
    hm_rle_box(&back, other);
    require(memcmp(box, other, sizeof box) == 0);
    hm_rle_free(&back);
}

static void check_sets(const hm_rle *r) {
    double iou, box[4];
    hm_rle both[2] = {*r, {0}}, merged;
    hm_rle_box(r, box);
    require(hm_rle_from_box(&both[1], box, r->h, r->w) == HM_OK);
    for (int intersect = 0; intersect < 2; intersect++) {
        require(hm_rle_merge(&merged, both, 2, intersect) == HM_OK);
        require(same(&merged, intersect ? r : &both[1])); /* the box holds the mask */
        hm_rle_free(&merged);
    }
    require(hm_rle_iou(r, 1, r, 1, NULL, &iou) == HM_OK && iou == (hm_rle_area(r) > 0));
    hm_rle_free(&both[1]);
}

static hm_status from_doubles(hm_rle *out, const uint8_t *data, size_t len, int32_t h, int32_t w) {
    double xy[64];
    const size_t n = len / sizeof *xy < 64 ? len / sizeof *xy : 64;
    memcpy(xy, data, n * sizeof *xy);
    return hm_rle_from_polygons(out, xy, (size_t[]){0, n / 2, n}, 2, h, w);
}

static hm_status from_small(hm_rle *out, const uint8_t *data, size_t len, int32_t h, int32_t w) {
    double xy[256];
    const size_t n = len < 256 ? len : 256;
    for (size_t i = 0; i < n; i++)
        xy[i] = (int8_t)data[i] / 2.;
    return hm_rle_from_polygons(out, xy, (size_t[]){0, n}, 1, h, w);
}

static hm_status from_counts(hm_rle *out, const uint8_t *data, size_t len, int32_t h, int32_t w) {
    uint32_t counts[64];
    const size_t n = len / sizeof *counts < 64 ? len / sizeof *counts : 64;
    memcpy(counts, data, n * sizeof *counts);
    return hm_rle_from_counts(out, counts, n, h, w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len) {
    if (len < 3)
        return 0;
    hm_rle r;
    hm_status st;
    const int32_t h = data[0], w = data[1];
    const uint8_t *const rest = data + 3;
    len -= 3;
    switch (data[2] % 4) {
    case 0:
        st = hm_rle_from_string(&r, (const char *)rest, len, h, w);
        break;
    case 1:
        st = from_counts(&r, rest, len, h, w);
        break;
    case 2:
        st = from_doubles(&r, rest, len, h, w);
        break;
    default:
        st = from_small(&r, rest, len, h, w);
    }
    if (st != HM_OK)
        return 0;
    check_string(&r);
    check_bytes(&r);
    check_sets(&r);
    hm_rle_free(&r);
    return 0;
}
