/* assign_cuda.h: where the GPU's assignment kernel keeps a problem. */
#ifndef HM_OPS_ASSIGN_CUDA_H
#define HM_OPS_ASSIGN_CUDA_H

#include <stddef.h>
#include <stdint.h>

#include "base/inline.h"

#define HM_ASSIGN_SHARED 49152 /* bytes that every GPU gives a block */

/* Bytes of prices, paths and matches for n rows and m columns. */
HM_INLINE size_t hm_assign_state(int64_t n, int64_t m) {
    return (8 * (size_t)(n + 2 * m) + 4 * (size_t)(n + 4 * m) + 7) / 8 * 8;
}

HM_INLINE size_t hm_assign_most(int64_t Q, int64_t T) {
    return hm_assign_state(Q < T ? Q : T, Q < T ? T : Q);
}

/* Shared memory of a block: no more than the largest problem takes. */
HM_INLINE int hm_assign_cuda_room(int64_t Q, int64_t T) {
    const size_t all = hm_assign_most(Q, T) + sizeof(float) * (size_t)(Q * T);
    return all < HM_ASSIGN_SHARED ? (int)all : HM_ASSIGN_SHARED;
}

/* Workspace of each problem: 0 where the largest fits into shared memory. */
HM_INLINE size_t hm_assign_cuda_spare(int64_t Q, int64_t T) {
    const size_t costs = (sizeof(float) * (size_t)(Q * T) + 7) / 8 * 8, state = hm_assign_most(Q, T);
    return state + costs <= HM_ASSIGN_SHARED ? 0 : state <= HM_ASSIGN_SHARED ? costs : costs + state;
}

#endif
