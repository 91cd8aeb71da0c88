/* rle_polygon.c: polygons and boxes as run-length masks, exactly as pycocotools' rleFrPoly and rleFrBbox: the boundary
 * is walked on a 5x grid and toggles the mask where it crosses the middle of a pixel column. Only those crossings are
 * computed, so the cost does not depend on how far outside the image a point lies. */
#include "data/rle.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "data/rle_toggles.h"

enum {
    GRID = 5,                /* fine steps per pixel */
    MAX_CROSSINGS = 1 << 24, /* column crossings of all polygons of one mask */
};
static const double max_coordinate = 2097152; /* pixels; fine coordinates then stay far inside int */

typedef struct point {
    int x, y; /* fine grid */
} point;

typedef struct edge {
    point a, b;   /* a.x <= b.x when flat, else a.y <= b.y */
    bool flat;    /* wider than high: walked in x, else in y */
    double slope; /* change of the other coordinate per step */
} edge;

static point to_grid(const double xy[2]) {
    return (point){(int)(GRID * xy[0] + .5), (int)(GRID * xy[1] + .5)};
}

static edge make_edge(point a, point b) {
    const int dx = abs(a.x - b.x), dy = abs(a.y - b.y);
    edge e = {.a = a, .b = b, .flat = dx >= dy};
    if (e.flat ? a.x > b.x : a.y > b.y) {
        e.a = b;
        e.b = a;
    }
    if (dx > 0 || dy > 0)
        e.slope = e.flat ? (double)(e.b.y - e.a.y) / dx : (double)(e.b.x - e.a.x) / dy;
    return e;
}

/* Pixel columns whose middle (fine column GRID*x + 2, towards the next one) the edge crosses: *first..*end. */
static void edge_columns(const edge *e, int32_t w, int32_t *first, int32_t *end) {
    const int lo = e->a.x < e->b.x ? e->a.x : e->b.x, hi = e->a.x < e->b.x ? e->b.x : e->a.x;
    const int last = hi <= 2 ? 0 : (hi + 2) / GRID;
    *first = lo <= 2 ? 0 : (lo + 2) / GRID;
    *end = last < w ? last : w;
}

/* The other coordinate after t steps along the edge. */
static int edge_at(const edge *e, int t) {
    return (int)((e->flat ? e->a.y : e->a.x) + e->slope * t + .5);
}

/* The smaller fine row of the two neighbouring boundary points between which the edge passes fine column u. */
static int edge_row(const edge *e, int u) {
    if (e->flat) {
        const int v0 = edge_at(e, u - e->a.x), v1 = edge_at(e, u - e->a.x + 1);
        return v0 < v1 ? v0 : v1;
    }
    int lo = 1, hi = e->b.y - e->a.y; /* first step that lies on the far side of u */
    while (lo < hi) {
        const int mid = lo + (hi - lo) / 2;
        if ((edge_at(e, mid) > u) == (e->slope > 0))
            hi = mid;
        else
            lo = mid + 1;
    }
    return e->a.y + lo - 1;
}

static int by_position(const void *a, const void *b) {
    const uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* Checks polygon xy of n doubles and adds its number of column crossings to *crossings. */
static hm_status check_polygon(const double *xy, size_t n, int32_t w, size_t *crossings) {
    if (n < 6 || n % 2 != 0)
        HM_FAIL(HM_ERR_FORMAT, "a polygon of %zu numbers is not possible: it needs x,y of at least 3 points", n);
    for (size_t i = 0; i < n; i++)
        if (!(fabs(xy[i]) <= max_coordinate))
            HM_FAIL(HM_ERR_FORMAT, "the polygon's coordinate %zu is %g: not finite or too far outside every image", i,
                    xy[i]);
    for (size_t i = 0; i < n; i += 2) {
        const edge e = make_edge(to_grid(xy + i), to_grid(xy + (i + 2) % n));
        int32_t first, end;
        edge_columns(&e, w, &first, &end);
        *crossings += end > first ? (size_t)(end - first) : 0;
        if (*crossings > MAX_CROSSINGS)
            HM_FAIL(HM_ERR_FORMAT, "the polygons cross the image's columns more than %d times", (int)MAX_CROSSINGS);
    }
    return HM_OK;
}

static hm_status from_polygon(hm_rle *out, const double *xy, size_t n, int32_t h, int32_t w) {
    size_t crossings = 0;
    HM_TRY(check_polygon(xy, n, w, &crossings));
    uint32_t *toggles = NULL;
    HM_TRY(hm_alloc(&toggles, crossings + 1, sizeof *toggles));
    size_t at = 0;
    for (size_t i = 0; i < n; i += 2) {
        const edge e = make_edge(to_grid(xy + i), to_grid(xy + (i + 2) % n));
        int32_t first, end;
        edge_columns(&e, w, &first, &end);
        for (int32_t x = first; x < end; x++) {
            const double y = (edge_row(&e, GRID * x + 2) + .5) / GRID - .5; /* pixels */
            const uint32_t row = y < 0 ? 0 : y > h ? (uint32_t)h : (uint32_t)ceil(y);
            toggles[at++] = (uint32_t)x * (uint32_t)h + row;
        }
    }
    qsort(toggles, at, sizeof *toggles, by_position);
    hm_rle_adopt_toggles(out, toggles, at, h, w);
    return HM_OK;
}

hm_status hm_rle_from_polygons(hm_rle *out, const double *xy, const size_t *start, size_t n, int32_t h, int32_t w) {
    *out = (hm_rle){0};
    HM_TRY(hm_rle_check_size(h, w));
    if (n == 0)
        return hm_rle_from_counts(out, &(uint32_t){(uint32_t)h * (uint32_t)w}, 1, h, w);
    size_t crossings = 0;
    for (size_t k = 0; k < n; k++) {
        const hm_status st = check_polygon(xy + start[k], start[k + 1] - start[k], w, &crossings);
        if (st != HM_OK)
            return hm_fail_in(st, "polygon %zu", k);
    }
    if (n == 1)
        return from_polygon(out, xy + start[0], start[1] - start[0], h, w);
    hm_rle *parts = NULL;
    HM_TRY(hm_alloc(&parts, n, sizeof *parts));
    hm_status st = HM_OK;
    for (size_t k = 0; k < n && st == HM_OK; k++)
        st = from_polygon(&parts[k], xy + start[k], start[k + 1] - start[k], h, w);
    if (st == HM_OK)
        st = hm_rle_merge(out, parts, n, false);
    for (size_t k = 0; k < n; k++)
        hm_rle_free(&parts[k]);
    free(parts);
    return st;
}

hm_status hm_rle_from_box(hm_rle *out, const double box[4], int32_t h, int32_t w) {
    const double x0 = box[0], y0 = box[1], x1 = box[0] + box[2], y1 = box[1] + box[3];
    return hm_rle_from_polygons(out, (double[]){x0, y0, x0, y1, x1, y1, x1, y0}, (size_t[]){0, 8}, 1, h, w);
}
