/* assign_cuda.h: where the GPU's assignment kernel keeps a problem. */
#ifndef HM_OPS_ASSIGN_CUDA_H
#define HM_OPS_ASSIGN_CUDA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/inline.h"

#define HM_ASSIGN_COLUMNS 320   /* of a problem that is solved in registers */
#define HM_ASSIGN_SHARED  49152 /* bytes that every GPU gives a block */

/* Bytes of prices, paths and matches for n rows and m columns. */
HM_INLINE size_t hm_assign_state(int64_t n, int64_t m) {
    return (8 * (size_t)(n + 2 * m) + 4 * (size_t)(n + 4 * m) + 7) / 8 * 8;
}

HM_INLINE size_t hm_assign_most(int64_t Q, int64_t T) {
    return hm_assign_state(Q < T ? Q : T, Q < T ? T : Q);
}

/* Whether a warp's registers hold the columns. */
HM_INLINE bool hm_assign_in_registers(int64_t Q, int64_t T) {
    return Q <= HM_ASSIGN_COLUMNS && T <= HM_ASSIGN_COLUMNS;
}

/* Shared memory of a block that keeps its state there; 0: it lies in the workspace, or in registers. */
HM_INLINE size_t hm_assign_cuda_room(int64_t Q, int64_t T) {
    const size_t state = hm_assign_most(Q, T);
    return hm_assign_in_registers(Q, T) || state > HM_ASSIGN_SHARED ? 0 : state;
}

/* Workspace of each problem: its costs, and its state where there is no better place. */
HM_INLINE size_t hm_assign_cuda_spare(int64_t Q, int64_t T) {
    const size_t costs = (sizeof(float) * (size_t)(Q * T) + 7) / 8 * 8;
    return costs + (hm_assign_in_registers(Q, T) || hm_assign_cuda_room(Q, T) > 0 ? 0 : hm_assign_most(Q, T));
}

#endif
