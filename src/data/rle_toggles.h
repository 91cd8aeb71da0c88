/* rle_toggles.h: what rle.c and rle_polygon.c share. A toggle is a column-major pixel position at which a mask changes
 * between outside and inside. */
#ifndef HM_DATA_RLE_TOGGLES_H
#define HM_DATA_RLE_TOGGLES_H

#include "data/rle.h"

/* HM_ERR_FORMAT unless h and w are positive and h*w is below 2^31. */
hm_status hm_rle_check_size(int32_t h, int32_t w);

/* Takes `toggles` over: n sorted ones, with room for one more. Two of one pixel cancel, those at h*w do nothing. */
void hm_rle_adopt_toggles(hm_rle *out, uint32_t *toggles, size_t n, int32_t h, int32_t w);

#endif
