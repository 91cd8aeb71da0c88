/* cuda.cu: permutations, joins and cuts on the GPU, as moves of words (ops/cuda_move.cuh). Joins and cuts are rows of
 * numbers at fixed distances, all pieces of a join in one launch. Permutations write in order and read where the
 * numbers are, in words where the last dimension stays last; two large dimensions that change places go through tiles
 * in shared memory, so that reads and writes are both contiguous. */
#include "ops/cuda_move.cuh"
#include "ops/shape/layout.h"
#include "ops/shape/shape_attr.h"

extern "C" HM_CUDA_DECLARE(hm_permute);
extern "C" HM_CUDA_DECLARE(hm_concat);
extern "C" HM_CUDA_DECLARE(hm_slice);
extern "C" HM_CUDA_DECLARE(hm_pad);

#define THREADS 256

/* ---- permute */

/* Digits of an index, the last one first, and what each is worth. */
struct digits {
    int n;
    hm_divisor dim[HM_MAX_RANK];
    int64_t in[HM_MAX_RANK], out[HM_MAX_RANK];
};

static __device__ void offsets(const digits &d, int64_t index, int64_t *from, int64_t *to) {
    *from = *to = 0;
    for (int k = d.n - 1; k >= 0; k--) {
        int64_t digit = index;
        if (k > 0)
            index = d.dim[k].split(index, &digit);
        *from += digit * d.in[k];
        *to += digit * d.out[k];
    }
}

/* All dimensions of l but a and b, the last one in words of `width`. */
static digits digits_of(const hm_layout *l, int a, int b, int64_t width) {
    digits d;
    d.n = 0;
    for (int i = 0; i < l->rank; i++) {
        if (i == a || i == b)
            continue;
        const bool last = i == l->rank - 1;
        d.dim[d.n] = hm_divide_by(last ? l->dim[i] / width : l->dim[i]);
        d.in[d.n] = last ? l->in[i] : l->in[i] / width;
        d.out[d.n++] = last ? l->out[i] : l->out[i] / width;
    }
    return d;
}

template <typename M> static __global__ void permute_any(M move, digits d, int64_t count) {
    for (hm_each(i, count)) {
        int64_t from, to;
        offsets(d, i, &from, &to);
        move.put(i, move.get(from));
    }
}

#define TILE   32
#define STRIPE 8 /* lines of a tile that a block moves at once */

/* A matrix [columns, rows], rows contiguous, becomes [rows, columns] in every plane of the other dimensions. */
struct planes {
    digits other;
    hm_divisor row_tiles, column_tiles;
    int64_t rows, columns, in, out; /* in: between columns; out: between rows */
};

template <typename M> static __global__ void permute_tiles(M move, planes p) {
    __shared__ typename M::unit tile[TILE][TILE + 1];
    int64_t row_tile, column_tile, from, to;
    const int64_t plane = p.row_tiles.split(p.column_tiles.split(blockIdx.x, &column_tile), &row_tile);
    const int64_t row = row_tile * TILE, column = column_tile * TILE;
    offsets(p.other, plane, &from, &to);
    for (int k = (int)threadIdx.y; k < TILE; k += STRIPE)
        if (column + k < p.columns && row + threadIdx.x < p.rows)
            tile[k][threadIdx.x] = move.get(from + (column + k) * p.in + row + threadIdx.x);
    __syncthreads();
    for (int k = (int)threadIdx.y; k < TILE; k += STRIPE)
        if (row + k < p.rows && column + threadIdx.x < p.columns)
            move.put(to + (row + k) * p.out + column + threadIdx.x, tile[threadIdx.x][k]);
}

static hm_status transpose(const hm_call *c, const hm_layout *l, int row) {
    const int last = l->rank - 1;
    const hm_out y = hm_output(c, 0);
    const hm_in x = hm_input(c, 0);
    planes p;
    p.other = digits_of(l, row, last, 1);
    p.rows = l->dim[row];
    p.columns = l->dim[last];
    p.in = l->in[last];
    p.out = l->out[row];
    p.row_tiles = hm_divide_by(hm_blocks(p.rows, TILE));
    p.column_tiles = hm_divide_by(hm_blocks(p.columns, TILE));
    const int64_t tiles = hm_count(c->node->out[0]) / (p.rows * p.columns) * p.row_tiles.by * p.column_tiles.by;
    HM_BY_MOVE(y.type, x.type, 1, M,
               { HM_LAUNCH(c, permute_tiles<M>, hm_blocks(tiles, 1), dim3(TILE, STRIPE), 0, M::make(y, x), p); });
    return HM_OK;
}

hm_status hm_permute_cuda(const hm_call *c) {
    const int64_t count = hm_count(c->node->out[0]);
    if (count == 0)
        return HM_OK;
    const hm_out y = hm_output(c, 0);
    const hm_in x = hm_input(c, 0);
    const hm_layout l =
        hm_layout_of(c->node->in[0]->shape, c->node->out[0]->shape, ((const hm_permute_attr *)c->node->attr)->perm);
    const int last = l.rank - 1, contiguous = hm_layout_contiguous(&l);
    if (contiguous != last && l.dim[contiguous] >= TILE / 2 && l.dim[last] >= TILE / 2)
        return transpose(c, &l, contiguous);
    int64_t width = 1, extents = l.dim[last];
    for (int i = 0; i < last; i++)
        extents |= l.in[i];
    if (contiguous == last)
        width = hm_move_width(y, x, extents);
    HM_BY_MOVE(y.type, x.type, width, M, {
        HM_LAUNCH(c, permute_any<M>, hm_blocks_strided(count / width, THREADS), THREADS, 0, M::make(y, x),
                  digits_of(&l, -1, -1, width), count / width);
    });
    return HM_OK;
}

/* ---- concat, slice, pad */

/* `rows` rows of n numbers: those from first to end are copied, the others are 0. Steps lie between rows. */
struct run {
    hm_out to;
    hm_in from;
    int64_t rows, n, first, end, to_step, from_step;
};

static hm_out out_from(hm_out t, int64_t start) {
    return hm_out{(char *)t.p + start * (int64_t)hm_dtype_size(t.type), t.type};
}
static hm_in in_from(hm_in t, int64_t start) {
    return hm_in{(const char *)t.p + start * (int64_t)hm_dtype_size(t.type), t.type};
}

/* The same in words. */
template <typename M> struct piece {
    M move;
    hm_divisor n;
    int64_t count, first, end, to_step, from_step;
};

#define MOST 16 /* pieces of a launch */

template <typename M> struct pieces { piece<M> of[MOST]; };

template <typename M> static __global__ void move_pieces(pieces<M> all) {
    const piece<M> &p = all.of[blockIdx.y];
    for (hm_each(i, p.count)) {
        int64_t at;
        const int64_t row = p.n.split(i, &at);
        p.move.put(row * p.to_step + at,
                   at >= p.first && at < p.end ? p.move.get(row * p.from_step + at - p.first) : typename M::unit{});
    }
}

template <typename M> static hm_status launch_runs(const hm_call *c, const run *r, int n, int64_t width) {
    pieces<M> all;
    int64_t most = 0;
    for (int i = 0; i < n; i++) {
        const int64_t count = r[i].rows * (r[i].n / width);
        all.of[i] = piece<M>{
            M::make(r[i].to, r[i].from), hm_divide_by(r[i].n / width), count, r[i].first / width, r[i].end / width,
            r[i].to_step / width,        r[i].from_step / width};
        most = count > most ? count : most;
    }
    HM_LAUNCH(c, move_pieces<M>, dim3(hm_blocks_strided(most, THREADS), (unsigned)n), THREADS, 0, all);
    return HM_OK;
}

/* n <= MOST runs into one tensor. */
static hm_status move_runs(const hm_call *c, const run *r, int n) {
    const hm_dtype to = c->node->out[0]->dtype;
    hm_dtype from = to;
    int64_t width = 16;
    for (int i = 0; i < n; i++) {
        const int64_t extents = r[i].n | r[i].first | r[i].end | r[i].to_step | r[i].from_step;
        const int64_t fits = hm_move_width(r[i].to, r[i].from, extents);
        width = fits < width ? fits : width;
        from = r[i].from.type != to ? r[i].from.type : from;
    }
    if (from != to)
        width = width < 4 ? 1 : 4;
    HM_BY_MOVE(to, from, width, M, return launch_runs<M>(c, r, n, width));
    return HM_OK;
}

hm_status hm_concat_cuda(const hm_call *c) {
    const hm_tensor *const y = c->node->out[0];
    const int axis = ((const hm_concat_attr *)c->node->attr)->axis;
    const int64_t step = hm_tail(y->shape, axis), rows = hm_rows(y, y->shape.rank - axis);
    int64_t at = 0;
    run r[MOST];
    for (int i = 0; i < c->node->n_in; i++) {
        const int64_t n = hm_tail(c->node->in[i]->shape, axis);
        r[i % MOST] = run{out_from(hm_output(c, 0), at), hm_input(c, i), rows, n, 0, n, step, n};
        at += n;
        if (i % MOST == MOST - 1 || i == c->node->n_in - 1)
            HM_TRY(move_runs(c, r, i % MOST + 1));
    }
    return HM_OK;
}

hm_status hm_slice_cuda(const hm_call *c) {
    const hm_tensor *const x = c->node->in[0], *const y = c->node->out[0];
    const hm_range_attr *const attr = (const hm_range_attr *)c->node->attr;
    const int64_t start = attr->start * hm_tail(x->shape, attr->axis + 1), n = hm_tail(y->shape, attr->axis);
    const run r = {hm_output(c, 0),
                   in_from(hm_input(c, 0), start),
                   hm_rows(y, y->shape.rank - attr->axis),
                   n,
                   0,
                   n,
                   n,
                   hm_tail(x->shape, attr->axis)};
    return move_runs(c, &r, 1);
}

hm_status hm_pad_cuda(const hm_call *c) {
    const hm_tensor *const x = c->node->in[0], *const y = c->node->out[0];
    const hm_range_attr *const attr = (const hm_range_attr *)c->node->attr;
    const int64_t first = attr->start * hm_tail(y->shape, attr->axis + 1);
    const int64_t n = hm_tail(x->shape, attr->axis), step = hm_tail(y->shape, attr->axis);
    const run r = {
        hm_output(c, 0), hm_input(c, 0), hm_rows(y, y->shape.rank - attr->axis), step, first, first + n, step, n};
    return move_runs(c, &r, 1);
}
