/* convert_piece.h: what convert.c calls in kernels_convert.c. */
#ifndef HM_DEVICE_CPU_CONVERT_PIECE_H
#define HM_DEVICE_CPU_CONVERT_PIECE_H

#include "base/dtype.h"

#define HM_CONVERT_ROOM 1024 /* elements between two half formats at a time */

/* Elements first..first+n-1. */
typedef void hm_convert_piece(hm_dtype from, const void *x, hm_dtype to, void *y, int64_t first, int64_t n);
hm_convert_piece hm_convert_piece_scalar, hm_convert_piece_avx2, hm_convert_piece_avx512;

#endif
