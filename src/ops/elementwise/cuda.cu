/* cuda.cu: sums and products with broadcasting on the GPU. A thread makes 4 or 8 neighbours where the shapes allow it.
 * Sums over leading dimensions are taken by blocks of 32 columns (times those neighbours) and 8 rows, sums over the
 * last one by warps; a few neighbours are added in fp32, everything above in double, parts in a fixed order. */
#include "device/cuda/vector.cuh"
#include "ops/cuda_op.cuh"
#include "ops/elementwise/broadcast.h"

extern "C" HM_CUDA_DECLARE(hm_add);
extern "C" HM_CUDA_DECLARE(hm_mul);
extern "C" HM_CUDA_DECLARE(hm_sum_to);
extern "C" HM_CUDA_DECLARE(hm_broadcast);
extern "C" HM_CUDA_DECLARE(hm_scale_residual);
extern "C" HM_CUDA_DECLARE(hm_scale_residual_back);

#define THREADS 256
#define LANES   HM_SUM_CUDA_LANES /* rows that a block of sums goes through at once */
#define RUN     4                 /* rows that a thread adds up in fp32; terms that it fetches at once */

/* Neighbours of a thread so that none of its vectors crosses the end of a row of `inner` numbers. */
static int width_for(int width, int64_t inner) {
    return inner % width == 0 ? width : inner % 4 == 0 ? 4 : 1;
}

/* ---- a + b, a * b, repetition */

enum kind { ADD, MUL, COPY };

/* hm_broadcast_map with indices of type I: 32 bits where that is enough, as divisions cost. */
template <typename I> struct place {
    int rank;
    bool repeat; /* the last dimension */
    I dim[HM_MAX_RANK], small[HM_MAX_RANK];
};

template <typename I> static place<I> place_of(const hm_broadcast_map *m) {
    place<I> p = {};
    p.rank = m->rank;
    p.repeat = !m->kept[m->rank - 1];
    for (int k = 0; k < m->rank; k++) {
        p.dim[k] = (I)m->dim[k];
        p.small[k] = (I)m->small[k];
    }
    return p;
}

/* Where element i of the large tensor lies in the small one. */
template <typename I> static __device__ inline I source(const place<I> &m, I i) {
    I at = 0;
#pragma unroll /* constant indices: m stays where kernel arguments are */
    for (int k = HM_MAX_RANK - 1; k > 0; k--)
        if (k < m.rank) {
            const I next = i / m.dim[k];
            at += (i - next * m.dim[k]) * m.small[k];
            i = next;
        }
    return at + i * m.small[0];
}

/* y = a op b from element i on; y may be a. */
template <kind op, int N, typename I>
static __device__ inline void combine(const hm_out &y, const hm_in &a, const hm_in &b, const place<I> &m, I i) {
    const I from = source(m, i);
    float x[N], v[N];
    hm_words<N> first;
    if constexpr (op != COPY)
        first = hm_fetch<N>(a, i);
    if (m.repeat) {
        hm_read<1>(v, b, from);
#pragma unroll
        for (int k = 1; k < N; k++)
            v[k] = v[0];
    } else {
        hm_read<N>(v, b, from);
    }
    if constexpr (op != COPY) {
        hm_unpack<N>(x, first, a.type);
#pragma unroll
        for (int k = 0; k < N; k++)
            v[k] = op == ADD ? x[k] + v[k] : x[k] * v[k];
    }
    hm_write<N>(y, i, v);
}

template <kind op, int N, typename I>
static __global__ void binary(hm_out y, hm_in a, hm_in b, const place<I> m, int64_t count) {
    int64_t i = hm_first() * N;
    if (i + N <= count)
        combine<op, N, I>(y, a, b, m, (I)i);
    else
        for (; i < count; i++)
            combine<op, 1, I>(y, a, b, m, (I)i);
}

template <kind op, typename I>
static hm_status launch_binary(const hm_call *c, const hm_broadcast_map *m, hm_out y, hm_in a, hm_in b, int64_t count) {
    const int width = hm_width(y.type, b.type, op == COPY ? HM_F16 : a.type);
    HM_BY_WIDTH(m->rank == 1 ? width : width_for(width, m->dim[m->rank - 1]), N, {
        HM_LAUNCH(c, (binary<op, N, I>), hm_blocks(count, THREADS * N), THREADS, 0, y, a, b, place_of<I>(m), count);
    });
    return HM_OK;
}

/* b is input `small`. */
template <kind op> static hm_status binary_call(const hm_call *c, int small) {
    const int64_t count = hm_count(c->node->out[0]);
    const hm_broadcast_map m = hm_broadcast_make(c->node->out[0]->shape, c->node->in[small]->shape);
    const hm_out y = hm_output(c, 0);
    const hm_in a = hm_input(c, 0), b = hm_input(c, small);
    return count < INT32_MAX ? launch_binary<op, uint32_t>(c, &m, y, a, b, count)
                             : launch_binary<op, uint64_t>(c, &m, y, a, b, count);
}

/* ---- sums of several tensors of one shape, in order */

struct terms {
    int n;
    hm_in x[HM_ADD_MOST];
};

/* y may be the first term. */
template <int N> static __device__ inline void add_at(const hm_out &y, const terms &t, int64_t i) {
    float sum[N] = {}, v[N];
#pragma unroll
    for (int at = 0; at < HM_ADD_MOST; at += RUN) {
        hm_words<N> some[RUN];
#pragma unroll
        for (int k = 0; k < RUN; k++)
            if (at + k < t.n)
                some[k] = hm_fetch<N>(t.x[at + k], i);
#pragma unroll
        for (int k = 0; k < RUN; k++)
            if (at + k < t.n) {
                hm_unpack<N>(v, some[k], t.x[at + k].type);
#pragma unroll
                for (int j = 0; j < N; j++)
                    sum[j] = at + k == 0 ? v[j] : sum[j] + v[j];
            }
    }
    hm_write<N>(y, i, sum);
}

template <int N> static __global__ void add_all(hm_out y, const terms t, int64_t count) {
    int64_t i = hm_first() * N;
    if (i + N <= count)
        add_at<N>(y, t, i);
    else
        for (; i < count; i++)
            add_at<1>(y, t, i);
}

static hm_status add_several(const hm_call *c) {
    const int64_t count = hm_count(c->node->out[0]);
    const hm_out y = hm_output(c, 0);
    terms t = {};
    int width = hm_width(y.type, y.type);
    for (t.n = 0; t.n < c->node->n_in; t.n++) {
        t.x[t.n] = hm_input(c, t.n);
        width = hm_width(t.x[t.n].type, t.x[t.n].type) < width ? 4 : width;
    }
    HM_BY_WIDTH(width, N, { HM_LAUNCH(c, add_all<N>, hm_blocks(count, THREADS * N), THREADS, 0, y, t, count); });
    return HM_OK;
}

hm_status hm_add_cuda(const hm_call *c) {
    return c->node->n_in > 2 ? add_several(c) : binary_call<ADD>(c, 1);
}

hm_status hm_mul_cuda(const hm_call *c) {
    return binary_call<MUL>(c, 1);
}

hm_status hm_broadcast_cuda(const hm_call *c) {
    return binary_call<COPY>(c, 0);
}

/* ---- sums over columns: what a block of 32 x LANES threads shares */

/* total[N] of each thread: column (threadIdx.x * N + k) of the block, one of LANES shares of it. Adds the shares and
 * puts them into y or, if there are several parts, into parted, for columns `column` .. `end` - 1. All threads must
 * call. */
template <int N>
static __device__ inline void store_columns(const hm_out &y, double *parted, const double *total, int64_t column,
                                            int64_t end) {
    __shared__ double share[LANES][32 * N];
#pragma unroll
    for (int k = 0; k < N; k++)
        share[threadIdx.y][threadIdx.x * N + k] = total[k];
    __syncthreads();
    const int at = (int)(threadIdx.y * 32 + threadIdx.x);
    if (at >= 32 * N || column + at >= end)
        return;
    double sum = 0;
    for (int lane = 0; lane < LANES; lane++)
        sum += share[lane][at];
    if (parted != NULL)
        parted[column + at] = sum;
    else
        y.put(column + at, (float)sum);
}

/* y[i] = sum of parted[p, i] over p. */
static __global__ void join_columns(hm_out y, const double *parted, int64_t count, int parts) {
    __shared__ double share[32][33];
    const int64_t i = (int64_t)blockIdx.x * 32 + threadIdx.x;
    double sum = 0;
    for (int p = threadIdx.y; p < parts && i < count; p += 32)
        sum += parted[p * count + i];
    share[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    sum = hm_warp_sum(share[threadIdx.x][threadIdx.y]); /* of column threadIdx.y */
    const int64_t column = (int64_t)blockIdx.x * 32 + threadIdx.y;
    if (threadIdx.x == 0 && column < count)
        y.put(column, (float)sum);
}

/* ---- sum_to */

/* Combinations of the dimensions but the last that are kept, or are not. */
struct walk {
    int n;
    int64_t dim[HM_MAX_RANK], stride[HM_MAX_RANK]; /* in the large tensor */
};

static walk walk_of(const hm_broadcast_map *m, bool kept) {
    walk w = {};
    for (int k = 0; k < m->rank - 1; k++)
        if (m->kept[k] == kept) {
            w.dim[w.n] = m->dim[k];
            w.stride[w.n++] = m->large[k];
        }
    return w;
}

static __device__ inline int64_t walk_to(const walk &w, int64_t index) {
    int64_t at = 0;
#pragma unroll
    for (int k = HM_MAX_RANK - 2; k > 0; k--)
        if (k < w.n) {
            const int64_t next = index / w.dim[k];
            at += (index - next * w.dim[k]) * w.stride[k];
            index = next;
        }
    return w.n > 0 ? at + index * w.stride[0] : 0;
}

/* The last dimension is kept: block (kept row and columns, part). parted [parts, count] or NULL. */
template <int N>
static __global__ void sum_columns(hm_out y, double *parted, hm_in x, const walk kept, const walk summed, int64_t units,
                                   int64_t inner, int64_t count) {
    const int64_t chunks = (inner + 32 * N - 1) / (32 * N), row = blockIdx.x / chunks;
    const int64_t column = (blockIdx.x - row * chunks) * 32 * N, own = column + threadIdx.x * N;
    const int64_t base = walk_to(kept, row) + own, parts = gridDim.y, part = blockIdx.y;
    const int64_t end = own < inner ? (part + 1) * units / parts : 0;
    double total[N] = {};
    for (int64_t u = part * units / parts + threadIdx.y; u < end; u += LANES * RUN) {
        hm_words<N> some[RUN];
        float sum[N] = {};
#pragma unroll
        for (int r = 0; r < RUN; r++)
            if (u + r * LANES < end)
                some[r] = hm_fetch<N>(x, base + walk_to(summed, u + r * LANES));
#pragma unroll
        for (int r = 0; r < RUN; r++)
            if (u + r * LANES < end) {
                float v[N];
                hm_unpack<N>(v, some[r], x.type);
#pragma unroll
                for (int k = 0; k < N; k++)
                    sum[k] += v[k];
            }
#pragma unroll
        for (int k = 0; k < N; k++)
            total[k] += (double)sum[k];
    }
    store_columns<N>(y, parted != NULL ? parted + part * count : NULL, total, row * inner + column, (row + 1) * inner);
}

/* The last dimension is summed: a warp for each output and part. parted [count, parts] or NULL. */
template <int N>
static __global__ void sum_rows(hm_out y, double *parted, hm_in x, const walk kept, const walk summed, int64_t units,
                                int64_t inner, int64_t count, int64_t parts) {
    const int64_t warp = ((int64_t)blockIdx.x * THREADS + threadIdx.x) / 32, output = warp / parts;
    const int64_t part = warp - output * parts, packs = inner / N, all = units * packs;
    if (output >= count)
        return;
    const int64_t base = walk_to(kept, output), end = (part + 1) * all / parts;
    double total = 0;
    for (int64_t p = part * all / parts + threadIdx.x % 32; p < end; p += 32 * RUN) {
        hm_words<N> some[RUN];
        float sum = 0;
#pragma unroll
        for (int r = 0; r < RUN; r++) {
            const int64_t at = p + r * 32, unit = summed.n > 0 && at < end ? at / packs : 0;
            if (at < end)
                some[r] = hm_fetch<N>(x, base + walk_to(summed, unit) + (at - unit * packs) * N);
        }
#pragma unroll
        for (int r = 0; r < RUN; r++)
            if (p + r * 32 < end) {
                float v[N];
                hm_unpack<N>(v, some[r], x.type);
#pragma unroll
                for (int k = 0; k < N; k++)
                    sum += v[k];
            }
        total += (double)sum;
    }
    total = hm_warp_sum(total);
    if (threadIdx.x % 32 != 0)
        return;
    if (parted != NULL)
        parted[warp] = total;
    else
        y.put(output, (float)total);
}

static __global__ void join_rows(hm_out y, const double *parted, int64_t parts) {
    double sum = 0;
    for (int64_t p = threadIdx.x; p < parts; p += blockDim.x)
        sum += parted[blockIdx.x * parts + p];
    sum = hm_block_sum(sum);
    if (threadIdx.x == 0)
        y.put(blockIdx.x, (float)sum);
}

hm_status hm_sum_to_cuda(const hm_call *c) {
    const hm_broadcast_map m = hm_broadcast_make(c->node->in[0]->shape, c->node->out[0]->shape);
    const walk kept = walk_of(&m, true), summed = walk_of(&m, false);
    const int64_t units = hm_broadcast_outer(&m, false), rows = hm_broadcast_outer(&m, true), inner = m.dim[m.rank - 1];
    const int64_t count = hm_count(c->node->out[0]), parts = hm_sum_cuda_parts(&m);
    const hm_in x = hm_input(c, 0);
    const hm_out y = hm_output(c, 0);
    double *const parted = parts > 1 ? (double *)c->work : NULL;
    const int width = width_for(hm_width(x.type, x.type), inner);
    if (m.kept[m.rank - 1]) {
        HM_BY_WIDTH(width, N, {
            HM_LAUNCH(c, sum_columns<N>, dim3(hm_blocks(inner, 32 * N) * (unsigned)rows, (unsigned)parts),
                      dim3(32, LANES), 0, y, parted, x, kept, summed, units, inner, count);
        });
        if (parts > 1)
            HM_LAUNCH(c, join_columns, hm_blocks(count, 32), dim3(32, 32), 0, y, parted, count, (int)parts);
    } else {
        HM_BY_WIDTH(width, N, {
            HM_LAUNCH(c, sum_rows<N>, hm_blocks(count * parts, THREADS / 32), THREADS, 0, y, parted, x, kept, summed,
                      units, inner, count, parts);
        });
        if (parts > 1)
            HM_LAUNCH(c, join_rows, (unsigned)count, THREADS, 0, y, parted, parts);
    }
    return HM_OK;
}

/* ---- x + gain * y; x and y [rows, channels], gain [channels] */

/* From element i on, which is number `channel` of its row; out may be x. */
template <int N>
static __device__ inline void residual(const hm_out &out, const hm_in &x, const hm_in &y, const hm_in &gain, int64_t i,
                                       int64_t channel) {
    const hm_words<N> a = hm_fetch<N>(x, i), b = hm_fetch<N>(y, i), c = hm_fetch<N>(gain, channel);
    float u[N], v[N], g[N];
    hm_unpack<N>(u, a, x.type);
    hm_unpack<N>(v, b, y.type);
    hm_unpack<N>(g, c, gain.type);
#pragma unroll
    for (int k = 0; k < N; k++)
        u[k] += g[k] * v[k];
    hm_write<N>(out, i, u);
}

/* Thread (pack, row) of the grid: channels are covered by x, rows by y. */
template <int N>
static __global__ void scale_residual(hm_out out, hm_in x, hm_in y, hm_in gain, int64_t packs, uint32_t per_row) {
    const int64_t i = hm_first();
    if (i >= packs)
        return;
    const uint32_t pack = i <= UINT32_MAX ? (uint32_t)i % per_row : (uint32_t)(i % per_row);
    residual<N>(out, x, y, gain, i * N, (int64_t)pack * N);
}

hm_status hm_scale_residual_cuda(const hm_call *c) {
    const int64_t channels = hm_dim(c->node->in[0], -1), count = hm_count(c->node->in[0]);
    const hm_in x = hm_input(c, 0), y = hm_input(c, 1), gain = hm_input(c, 2);
    const hm_out out = hm_output(c, 0);
    HM_BY_WIDTH(width_for(hm_width(out.type, x.type, y.type), channels), N, {
        HM_LAUNCH(c, scale_residual<N>, hm_blocks(count / N, THREADS), THREADS, 0, out, x, y, gain, count / N,
                  (uint32_t)(channels / N));
    });
    return HM_OK;
}

/* dy = dout * gain, and the shares of dgain = sum over rows of dout * y, parted [parts, channels] or NULL; dy may be
 * dout: a thread reads each of its numbers before it writes it. Block (columns, part of the rows). */
template <int N>
static __global__ void scale_back(hm_out dy, hm_out dgain, double *parted, hm_in dout, hm_in y, hm_in gain,
                                  int64_t rows, int64_t channels) {
    const int64_t column = (int64_t)blockIdx.x * 32 * N, own = column + threadIdx.x * N;
    const int64_t parts = gridDim.y, part = blockIdx.y, end = own < channels ? (part + 1) * rows / parts : 0;
    double total[N] = {};
    float g[N] = {};
    if (own < channels)
        hm_read<N>(g, gain, own);
    for (int64_t r = part * rows / parts + threadIdx.y; r < end; r += LANES * RUN) {
        hm_words<N> d[RUN], v[RUN];
        float sum[N] = {};
#pragma unroll
        for (int k = 0; k < RUN; k++)
            if (r + k * LANES < end) {
                d[k] = hm_fetch<N>(dout, (r + k * LANES) * channels + own);
                v[k] = hm_fetch<N>(y, (r + k * LANES) * channels + own);
            }
#pragma unroll
        for (int k = 0; k < RUN; k++)
            if (r + k * LANES < end) {
                float a[N], b[N];
                hm_unpack<N>(a, d[k], dout.type);
                hm_unpack<N>(b, v[k], y.type);
#pragma unroll
                for (int j = 0; j < N; j++) {
                    sum[j] += a[j] * b[j];
                    a[j] *= g[j];
                }
                hm_write<N>(dy, (r + k * LANES) * channels + own, a);
            }
#pragma unroll
        for (int k = 0; k < N; k++)
            total[k] += (double)sum[k];
    }
    store_columns<N>(dgain, parted != NULL ? parted + part * channels : NULL, total, column, channels);
}

hm_status hm_scale_residual_back_cuda(const hm_call *c) {
    const int64_t channels = hm_dim(c->node->in[0], -1), rows = hm_rows(c->node->in[0], 1);
    const int64_t parts = hm_sum_cuda_columns_parts(rows, 1, channels);
    const hm_in dout = hm_input(c, 0), y = hm_input(c, 1), gain = hm_input(c, 2);
    const hm_out dy = hm_output(c, 0);
    double *const parted = parts > 1 ? (double *)c->work : NULL;
    if (c->node->n_out == 1)
        return binary_call<MUL>(c, 2);
    const hm_out dgain = hm_output(c, 1);
    HM_BY_WIDTH(width_for(hm_width(dout.type, y.type, dy.type), channels), N, {
        HM_LAUNCH(c, scale_back<N>, dim3(hm_blocks(channels, 32 * N), (unsigned)parts), dim3(32, LANES), 0, dy, dgain,
                  parted, dout, y, gain, rows, channels);
    });
    if (parts > 1)
        HM_LAUNCH(c, join_columns, hm_blocks(channels, 32), dim3(32, 32), 0, dgain, parted, channels, (int)parts);
    return HM_OK;
}
