/* broadcast.h: how a small shape maps onto a large one, with neighbouring dimensions of one kind joined. Internal to
 * the elementwise kernels. "Kept" dimensions exist in both shapes, the others only in the large one. */
#ifndef HM_OPS_ELEMENTWISE_BROADCAST_H
#define HM_OPS_ELEMENTWISE_BROADCAST_H

#include "graph/graph.h"

typedef struct hm_broadcast_map {
    int rank; /* at least 1 */
    int64_t dim[HM_MAX_RANK];
    bool kept[HM_MAX_RANK];
    int64_t large[HM_MAX_RANK]; /* stride in the large tensor, elements */
    int64_t small[HM_MAX_RANK]; /* stride in the small tensor, 0 where it repeats */
} hm_broadcast_map;

static inline hm_broadcast_map hm_broadcast_make(hm_shape large, hm_shape small) {
    hm_broadcast_map m;
    memset(&m, 0, sizeof m);
    for (int i = 0; i < large.rank; i++) {
        const int j = i - (large.rank - small.rank);
        const bool kept = j >= 0 && small.dim[j] == large.dim[i];
        if (large.dim[i] == 1)
            continue;
        if (m.rank == 0 || m.kept[m.rank - 1] != kept) {
            m.dim[m.rank] = 1;
            m.kept[m.rank++] = kept;
        }
        m.dim[m.rank - 1] *= large.dim[i];
    }
    if (m.rank == 0) {
        m.rank = 1;
        m.dim[0] = 1;
        m.kept[0] = true;
    }
    int64_t large_stride = 1, small_stride = 1;
    for (int i = m.rank - 1; i >= 0; i--) {
        m.large[i] = large_stride;
        m.small[i] = m.kept[i] ? small_stride : 0;
        large_stride *= m.dim[i];
        small_stride *= m.kept[i] ? m.dim[i] : 1;
    }
    return m;
}

/* Offset in the small tensor of row `row` of the large one (rows: all dimensions but the last). */
static inline int64_t hm_broadcast_row(const hm_broadcast_map *m, int64_t row) {
    int64_t at = 0;
    for (int i = m->rank - 2; i >= 0; i--) {
        at += row % m->dim[i] * m->small[i];
        row /= m->dim[i];
    }
    return at;
}

/* Number of index combinations of the outer dimensions (all but the last) that are kept, or are not. */
static inline int64_t hm_broadcast_outer(const hm_broadcast_map *m, bool kept) {
    int64_t n = 1;
    for (int i = 0; i < m->rank - 1; i++)
        n *= m->kept[i] == kept ? m->dim[i] : 1;
    return n;
}

/* Offset in the large tensor of combination `index` of those dimensions. */
static inline int64_t hm_broadcast_offset(const hm_broadcast_map *m, bool kept, int64_t index) {
    int64_t at = 0;
    for (int i = m->rank - 2; i >= 0; i--)
        if (m->kept[i] == kept) {
            at += index % m->dim[i] * m->large[i];
            index /= m->dim[i];
        }
    return at;
}

/* sum_to splits its reduction into this many parts, each summed on its own: fixed by the shapes alone. */
#define HM_SUM_COLUMNS 512  /* of one task, when the last dimension is kept */
#define HM_SUM_PIECE   4096 /* elements of one unit, when the last dimension is summed */
static inline int64_t hm_sum_units(const hm_broadcast_map *m) {
    const int64_t n = m->dim[m->rank - 1], outer = hm_broadcast_outer(m, false);
    return m->kept[m->rank - 1] ? outer : outer * ((n + HM_SUM_PIECE - 1) / HM_SUM_PIECE);
}
static inline int64_t hm_sum_tasks(const hm_broadcast_map *m) {
    const int64_t n = m->dim[m->rank - 1];
    return hm_broadcast_outer(m, true) * (m->kept[m->rank - 1] ? (n + HM_SUM_COLUMNS - 1) / HM_SUM_COLUMNS : 1);
}
static inline int64_t hm_sum_parts(const hm_broadcast_map *m) {
    const int64_t units = hm_sum_units(m), most = m->kept[m->rank - 1] ? units / 32 : units;
    return hm_sum_tasks(m) >= 16 || most < 2 ? 1 : most > 16 ? 16 : most;
}

/* The same on the GPU. There blocks add up columns (HM_SUM_CUDA_LANES rows at a time, so many columns wide) when the
 * last dimension is kept, and warps rows when it is summed; `blocks` of them are there already. */
#define HM_SUM_CUDA_LANES 8
static inline int64_t hm_sum_cuda_share(int64_t units, int64_t fewest, int64_t blocks, int64_t enough, int64_t most) {
    const int64_t wanted = blocks > 0 ? enough / blocks : 1, parts = units / fewest < wanted ? units / fewest : wanted;
    return parts < 1 ? 1 : parts > most ? most : parts;
}
static inline int64_t hm_sum_cuda_columns_parts(int64_t units, int64_t rows, int64_t columns) {
    return hm_sum_cuda_share(units, 4 * HM_SUM_CUDA_LANES, rows * ((columns + 127) / 128), 1024, 128);
}
static inline int64_t hm_sum_cuda_parts(const hm_broadcast_map *m) {
    const int64_t n = m->dim[m->rank - 1], outer = hm_broadcast_outer(m, false), rows = hm_broadcast_outer(m, true);
    return m->kept[m->rank - 1] ? hm_sum_cuda_columns_parts(outer, rows, n)
                                : hm_sum_cuda_share(outer * n, 4096, rows, 8192, 8192);
}

/* scale_residual_back sums over rows in this many parts. */
static inline int64_t hm_scale_parts(int64_t rows) {
    return rows < 64 ? 1 : rows > 1024 ? 16 : rows / 64;
}

#endif
