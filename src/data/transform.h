/* transform.h: pixels of a decoded picture to a network's input [3, H, W] in float, normalised with ImageNet's mean and
 * deviation. Two resizers, because upstream has two: prediction resizes float pixels bilinearly without antialias,
 * training and evaluation data are resized by Pillow in 8 bits with antialias. */
#ifndef HM_DATA_TRANSFORM_H
#define HM_DATA_TRANSFORM_H

#include "data/image.h"

/* Prediction: v/255, bilinear (align_corners false, no antialias) to h x w, then (v - mean)/std. dst [3, h, w]. */
hm_status hm_transform_predict(float *dst, const hm_image *in, int32_t w, int32_t h);

/* *out = `in` at w x h pixels: triangle filter with antialias, fixed point, one pass an axis, each rounded to 8 bits;
 * Pillow's Image.resize(BILINEAR) to the bit. The vertical pass comes first when the height loses more than twice what
 * the width does (as from Pillow 13 on; the other order differs by one level here and there). */
hm_status hm_transform_resize(hm_image *out, const hm_image *in, int32_t w, int32_t h);

/* *out = the w x h pixels of `in` from (left, top) on; the rectangle must lie inside, else HM_ERR_ARG. */
hm_status hm_transform_crop(hm_image *out, const hm_image *in, int32_t left, int32_t top, int32_t w, int32_t h);

/* dst [3, in->h, in->w] = (v * (1/255) - mean)/std, mirrored left to right when `flip`. */
void hm_transform_normalise(float *dst, const hm_image *in, bool flip);

#endif
