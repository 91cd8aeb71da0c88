/* coco_segment.c: the bbox and the segmentation of the present annotation (coco_item.h). Polygons and runs go to the
 * pools at once; RLE is compared with its image when the whole file is known (coco_link.c). */
#include "data/coco_item.h"

#include <math.h>

#include "base/mem.h"
#include "data/coco_number.h"

static const double max_coordinate = 1e6; /* pixels; below rle_polygon.c's own limit */

hm_status hm_coco_add_box(hm_coco_build *b, double x) {
    if (b->numbers == 4)
        HM_FAIL(HM_ERR_FORMAT, "\"bbox\" has more than four numbers; write %s", hm_coco_key_form(HM_COCO_BBOX));
    b->draft.ann.box[b->numbers++] = x;
    return HM_OK;
}

hm_status hm_coco_box_end(hm_coco_build *b) {
    if (b->numbers != 4)
        HM_FAIL(HM_ERR_FORMAT, "\"bbox\" has %d of four numbers; write %s", b->numbers, hm_coco_key_form(HM_COCO_BBOX));
    b->seen |= 1u << HM_COCO_BBOX;
    return HM_OK;
}

static hm_status add_part_start(hm_coco_build *b) {
    HM_TRY(hm_grow(&b->out->part_start, &b->parts_cap, b->n_parts + 1, sizeof *b->out->part_start));
    b->out->part_start[b->n_parts++] = b->n_xy;
    return HM_OK;
}

hm_status hm_coco_part_begin(hm_coco_build *b) {
    hm_seg *const seg = &b->draft.ann.seg;
    if (seg->n == 0)
        seg->at = b->n_parts;
    return add_part_start(b);
}

hm_status hm_coco_add_coordinate(hm_coco_build *b, double x) {
    if (!(fabs(x) <= max_coordinate))
        HM_FAIL(HM_ERR_FORMAT, "\"segmentation\" has the coordinate %g, which is far outside every image; correct it",
                x);
    HM_TRY(hm_grow(&b->out->xy, &b->xy_cap, b->n_xy + 1, sizeof *b->out->xy));
    b->out->xy[b->n_xy++] = x;
    return HM_OK;
}

hm_status hm_coco_part_end(hm_coco_build *b) {
    hm_seg *const seg = &b->draft.ann.seg;
    const size_t n = b->n_xy - b->out->part_start[b->n_parts - 1];
    if (n % 2 != 0)
        HM_FAIL(HM_ERR_FORMAT,
                "polygon %zu of its segmentation has %zu numbers, so one coordinate lacks its pair; "
                "correct it",
                seg->n + 1, n);
    if (n < 6)
        HM_FAIL(HM_ERR_FORMAT,
                "polygon %zu of its segmentation has %zu point%s and needs three; correct or remove the "
                "polygon",
                seg->n + 1, n / 2, n == 2 ? "" : "s");
    seg->n++;
    return HM_OK;
}

hm_status hm_coco_polygons_end(hm_coco_build *b) {
    b->seen |= 1u << HM_COCO_SEGMENTATION;
    if (b->draft.ann.seg.n == 0)
        return HM_OK;
    b->draft.ann.seg.kind = HM_SEG_POLYGONS;
    return add_part_start(b);
}

void hm_coco_rle_begin(hm_coco_build *b) {
    b->seen &= ~(1u << HM_COCO_SIZE | 1u << HM_COCO_COUNTS);
    b->key = HM_COCO_OTHER_KEY;
    b->numbers = 0;
}

hm_status hm_coco_add_size(hm_coco_build *b, const char *text, double x) {
    if (b->numbers == 2)
        HM_FAIL(HM_ERR_FORMAT, "\"size\" has more than two numbers; write %s", hm_coco_key_form(HM_COCO_SIZE));
    int64_t *const side = &b->size[b->numbers++];
    if (!hm_coco_integer(text, x, side) || *side < 1 || *side > INT32_MAX)
        HM_FAIL(HM_ERR_FORMAT, "\"size\" has %s; write %s", text, hm_coco_key_form(HM_COCO_SIZE));
    b->seen |= 1u << HM_COCO_SIZE;
    return HM_OK;
}

void hm_coco_counts_begin(hm_coco_build *b) {
    b->draft.ann.seg.kind = HM_SEG_RLE_COUNTS;
    b->draft.ann.seg.at = b->n_runs;
    b->draft.ann.seg.n = 0;
    b->seen |= 1u << HM_COCO_COUNTS;
}

hm_status hm_coco_add_count(hm_coco_build *b, const char *text, double x) {
    int64_t run;
    if (!hm_coco_integer(text, x, &run) || run < 0 || run > UINT32_MAX)
        HM_FAIL(HM_ERR_FORMAT, "\"counts\" has %s; write run lengths, whole numbers from 0 to 2^32-1", text);
    HM_TRY(hm_grow(&b->out->runs, &b->runs_cap, b->n_runs + 1, sizeof *b->out->runs));
    b->out->runs[b->n_runs++] = (uint32_t)run;
    b->draft.ann.seg.n++;
    return HM_OK;
}

hm_status hm_coco_rle_end(hm_coco_build *b) {
    hm_seg *const seg = &b->draft.ann.seg;
    if (b->numbers != 2)
        HM_FAIL(HM_ERR_FORMAT, "its RLE lacks \"size\"; add %s", hm_coco_key_form(HM_COCO_SIZE));
    if (!(b->seen & 1u << HM_COCO_COUNTS) || seg->n == 0)
        HM_FAIL(HM_ERR_FORMAT, "its RLE lacks \"counts\"; add %s", hm_coco_key_form(HM_COCO_COUNTS));
    seg->h = (int32_t)b->size[0];
    seg->w = (int32_t)b->size[1];
    b->seen |= 1u << HM_COCO_SEGMENTATION;
    return HM_OK;
}
