/* view.h: which part of a picture becomes the network's input, and where its boxes and masks go: upstream's training
 * augmentation (plain resize, or resize, square crop, resize; then a horizontal mirror) as plain numbers. No pixels. */
#ifndef HM_DATA_VIEW_H
#define HM_DATA_VIEW_H

#include "base/status.h"

typedef struct hm_view {
    int32_t in_w, in_h;   /* the picture, pixels */
    int32_t mid_w, mid_h; /* it is first resized to this */
    int32_t left, top;    /* then cut here ... */
    int32_t cut_w, cut_h; /* ... to this */
    int32_t out_w, out_h; /* and resized to this, */
    bool flip;            /* then mirrored left to right */
} hm_view;

typedef struct hm_augment {
    bool flip;         /* mirror half of the pictures */
    bool scale_jitter; /* half of the pictures: shorter side to 400, 500 or 600, then a square of 384 to 600 pixels */
} hm_augment;

/* The whole picture, resized. */
hm_view hm_view_plain(int32_t in_w, int32_t in_h, int32_t out_w, int32_t out_h);
/* Drawn from the stream `key` (base/rng.h), draws 0 to 5. */
hm_view hm_view_random(hm_augment augment, uint64_t key, int32_t in_w, int32_t in_h, int32_t out_w, int32_t out_h);

/* The box x,y,w,h (pixels of the picture) clamped to picture and cut, as cx,cy,w,h relative to the output. False when
 * nothing of it is left. */
bool hm_view_box(const hm_view *v, const double box[4], float out[4]);

/* cols [out_w], rows [out_h]: the picture's column and row under each output pixel, nearest as upstream resizes masks
 * (floor(i * in/out) in float at each resize). */
void hm_view_nearest(const hm_view *v, int32_t *cols, int32_t *rows);

#endif
