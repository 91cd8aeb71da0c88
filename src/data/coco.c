/* coco.c: see coco.h: reading an annotation file from end to end, and an annotation's mask. The JSON is coco_parse.c's,
 * single items are coco_item.c's and coco_segment.c's, what joins them is coco_link.c's. */
#include "data/coco.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "data/coco_item.h"

void hm_coco_free(hm_coco *c) {
    if (c == NULL)
        return;
    free(c->path);
    free(c->images);
    free(c->anns);
    free(c->categories);
    free(c->text);
    free(c->xy);
    free(c->part_start);
    free(c->runs);
    *c = (hm_coco){0};
}

/* Reads `file`, or, when that is NULL, the bytes. */
static hm_status read_all(hm_coco *out, const char *path, FILE *file, const void *json, size_t len) {
    hm_coco_build b = {0};
    hm_status st;
    *out = (hm_coco){0};
    HM_TRY_TO(st, done, hm_strdup(&out->path, path));
    HM_TRY_TO(st, done, hm_coco_build_open(&b, out));
    HM_TRY_TO(st, done, file != NULL ? hm_coco_parse_file(&b, path, file) : hm_coco_parse_memory(&b, path, json, len));
    st = hm_coco_link(&b);
done:
    hm_coco_build_close(&b);
    if (st != HM_OK)
        hm_coco_free(out);
    return st;
}

hm_status hm_coco_read(hm_coco *out, const char *path) {
    *out = (hm_coco){0};
    FILE *const file = fopen(path, "rb");
    if (file == NULL)
        HM_FAIL(HM_ERR_IO, "cannot open %s: %s; give the path of a COCO annotation file", path, strerror(errno));
    const hm_status st = read_all(out, path, file, NULL, 0);
    fclose(file);
    return st;
}

hm_status hm_coco_read_memory(hm_coco *out, const char *name, const void *json, size_t len) {
    return read_all(out, name, NULL, json, len);
}

hm_status hm_coco_mask(const hm_coco *c, const hm_coco_ann *a, int32_t h, int32_t w, hm_rle *out) {
    const hm_seg *const seg = &a->seg;
    *out = (hm_rle){0};
    if (seg->kind == HM_SEG_NONE)
        return hm_rle_from_polygons(out, NULL, NULL, 0, h, w);
    if (seg->kind == HM_SEG_POLYGONS)
        return hm_rle_from_polygons(out, c->xy, c->part_start + seg->at, seg->n, h, w);
    if (seg->h != h || seg->w != w)
        HM_FAIL(HM_ERR_ARG, "annotation %lld: its RLE has height %d and width %d, not %d and %d", (long long)a->id,
                (int)seg->h, (int)seg->w, (int)h, (int)w);
    if (seg->kind == HM_SEG_RLE_STRING)
        return hm_rle_from_string(out, c->text + seg->at, seg->n, h, w);
    return hm_rle_from_counts(out, c->runs + seg->at, seg->n, h, w);
}
