/* coco_results_write.c: the writer of COCO results files; the reader is coco_results.c. */
#include "eval/coco_results.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/atomic.h"

enum { NUMBER_SIZE = 32 };

struct hm_coco_writer {
    hm_atomic *file;
    size_t n; /* results so far */
};

hm_status hm_coco_writer_open(const char *path, hm_coco_writer **out) {
    *out = NULL;
    hm_coco_writer *w = NULL;
    HM_TRY(hm_alloc(&w, 1, sizeof *w));
    const hm_status st = hm_atomic_open(path, &w->file);
    if (st != HM_OK) {
        free(w);
        return st;
    }
    *out = w;
    return HM_OK;
}

static hm_status put(hm_coco_writer *w, const char *text) {
    return hm_atomic_write(w->file, text, strlen(text));
}

/* The shorter of 15 and 17 digits that reads back as x. */
static void format_number(char text[NUMBER_SIZE], double x) {
    snprintf(text, NUMBER_SIZE, "%.15g", x);
    if (strtod(text, NULL) != x)
        snprintf(text, NUMBER_SIZE, "%.17g", x);
}

static hm_status put_box(hm_coco_writer *w, const double box[4]) {
    char number[NUMBER_SIZE];
    for (int k = 0; k < 4; k++) {
        format_number(number, box[k]);
        HM_TRY(put(w, k == 0 ? ",\"bbox\":[" : ","));
        HM_TRY(put(w, number));
    }
    return put(w, "]");
}

/* The characters of RLE strings include the backslash, which JSON doubles. */
static hm_status put_escaped(hm_coco_writer *w, const char *s) {
    for (const char *slash; (slash = strchr(s, '\\')) != NULL; s = slash + 1) {
        HM_TRY(hm_atomic_write(w->file, s, (size_t)(slash - s)));
        HM_TRY(put(w, "\\\\"));
    }
    return put(w, s);
}

static hm_status put_mask(hm_coco_writer *w, const hm_rle *mask) {
    hm_status st;
    char head[96], *counts = NULL;
    snprintf(head, sizeof head, ",\"segmentation\":{\"size\":[%d,%d],\"counts\":\"", (int)mask->h, (int)mask->w);
    HM_TRY_TO(st, done, hm_rle_to_string(mask, &counts));
    HM_TRY_TO(st, done, put(w, head));
    HM_TRY_TO(st, done, put_escaped(w, counts));
    st = put(w, "\"}");
done:
    free(counts);
    return st;
}

static hm_status check(int64_t image_id, double score, const double *box, const hm_rle *mask) {
    if (box == NULL && mask == NULL)
        HM_FAIL(HM_ERR_ARG, "a result of image %" PRId64 " has neither box nor mask", image_id);
    if (!isfinite(score))
        HM_FAIL(HM_ERR_ARG, "a result of image %" PRId64 " has the score %g, which JSON cannot hold", image_id, score);
    for (int k = 0; box && k < 4; k++)
        if (!isfinite(box[k]))
            HM_FAIL(HM_ERR_ARG, "a result of image %" PRId64 " has %g in its box, which JSON cannot hold", image_id,
                    box[k]);
    return HM_OK;
}

hm_status hm_coco_writer_add(hm_coco_writer *w, int64_t image_id, int64_t category_id, double score,
                             const double box[4], const hm_rle *mask) {
    char head[160], number[NUMBER_SIZE];
    HM_TRY(check(image_id, score, box, mask));
    format_number(number, score);
    snprintf(head, sizeof head, "%s{\"image_id\":%" PRId64 ",\"category_id\":%" PRId64 ",\"score\":%s",
             w->n == 0 ? "[" : ",\n", image_id, category_id, number);
    HM_TRY(put(w, head));
    if (box)
        HM_TRY(put_box(w, box));
    if (mask)
        HM_TRY(put_mask(w, mask));
    w->n++;
    return put(w, "}");
}

hm_status hm_coco_writer_commit(hm_coco_writer **pw) {
    hm_coco_writer *const w = *pw;
    *pw = NULL;
    hm_status st = put(w, w->n == 0 ? "[]\n" : "]\n");
    if (st == HM_OK)
        st = hm_atomic_commit(&w->file);
    hm_coco_writer_abort(w);
    return st;
}

void hm_coco_writer_abort(hm_coco_writer *w) {
    if (!w)
        return;
    hm_atomic_abort(w->file);
    free(w);
}
