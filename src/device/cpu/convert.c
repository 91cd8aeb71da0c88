/* convert.c: arrays between floating-point types, by all threads. */
#include "device/cpu/convert.h"

#include "device/cpu/convert_piece.h"

#define PIECE 16384 /* elements of one task */

void hm_convert(hm_dtype from, const void *x, hm_dtype to, void *y, int64_t n, hm_isa isa, int threads) {
    static hm_convert_piece *const pieces[] = {hm_convert_piece_scalar, hm_convert_piece_avx2, hm_convert_piece_avx512};
    hm_convert_piece *const piece = pieces[isa];
#pragma omp parallel for schedule(static) num_threads(threads) if (threads > 1 && n > 2 * PIECE)
    for (int64_t at = 0; at < n; at += PIECE)
        piece(from, x, to, y, at, n - at < PIECE ? n - at : PIECE);
}
