/* batch.h: the network's input of one step: pictures and targets padded to a fixed capacity, in the layout that
 * hm_targets (ops/match_cost) expects. Letters: B pictures, T targets of one picture, H W network size in pixels, which
 * may change from one filling to the next. */
#ifndef HM_DATA_BATCH_H
#define HM_DATA_BATCH_H

#include "data/dataset.h"
#include "data/image.h"
#include "data/view.h"

typedef struct hm_batch {
    int32_t b, t;         /* capacities B, T */
    int32_t h, w;         /* H, W at present */
    int32_t n;            /* pictures in use; the rest is zero with count 0 */
    float *images;        /* [B, 3, H, W] normalised */
    int32_t *counts;      /* [B] targets in use */
    int32_t *labels;      /* [B, T] */
    float *boxes;         /* [B, T, 4] cxcywh relative to the network's picture */
    uint8_t *masks;       /* [B, T, mask_bytes] rows of H*W bits, most significant first; NULL without masks */
    size_t mask_bytes;    /* ceil(H*W/8) */
    int64_t *image_ids;   /* [B] the annotation file's */
    int32_t *sizes;       /* [B, 2] height and width of the file's picture, pixels */
    size_t *items;        /* [B] index into hm_dataset.items */
    int64_t epoch, index; /* which batch of which epoch */
} hm_batch;

/* h x w is the size at first, and no later one has more pixels. */
hm_status hm_batch_new(hm_batch *out, int32_t b, int32_t t, int32_t h, int32_t w, bool masks);
size_t hm_batch_bytes(int32_t b, int32_t t, int32_t h, int32_t w, bool masks); /* that such a batch takes */
void hm_batch_free(hm_batch *batch);                                           /* takes NULL and half-built objects */
/* Another size; what the rows hold is lost. */
void hm_batch_resize(hm_batch *batch, int32_t h, int32_t w);
/* n = first, and every row from `first` on zero. */
void hm_batch_clear(hm_batch *batch, int32_t first);

/* Decodes an item's picture into row `row` with its targets, the view drawn from stream `key` as
 * `augment` says. Touches this row only, so rows may be filled from several threads. Failures name the file. */
hm_status hm_batch_fill(hm_batch *batch, int32_t row, const hm_dataset *d, size_t item, hm_augment augment,
                        uint64_t key);

/* The same from memory: a row that is being filled. */
typedef struct hm_batch_row {
    hm_batch *batch;
    int32_t row;
    const hm_view *view;
    int32_t *nearest; /* of the batch's pixels: columns and rows of a mask; NULL where there are no masks */
} hm_batch_row;

/* Row `row` shows the picture as the view has it and has no targets yet. hm_batch_row_end, after a failure too. */
hm_status hm_batch_row_begin(hm_batch_row *out, hm_batch *batch, int32_t row, const hm_image *picture, const hm_view *v,
                             int64_t id);
/* Then its objects, one after the other: the box as hm_view_box gives it; the mask, of the picture's size, counts where
 * the batch has masks. HM_ERR_ARG when the row has T already. */
hm_status hm_batch_row_object(const hm_batch_row *r, int32_t label, const float box[4], const hm_rle *mask);
void hm_batch_row_end(hm_batch_row *r);

/* bits [ceil(w*h/8)], all zero before: bit y*w + x (most significant first) = the mask at (cols[x], rows[y]); rows must
 * not descend. */
hm_status hm_batch_mask_bits(uint8_t *bits, const hm_rle *mask, const int32_t *cols, int32_t w, const int32_t *rows,
                             int32_t h);

#endif
