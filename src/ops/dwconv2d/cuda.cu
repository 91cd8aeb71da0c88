/* cuda.cu: depthwise convolution on the GPU. 3x3 kernels with channels in fours: a block copies a tile of pixels and
 * the pixels around it to shared memory, several blocks of a multiprocessor at a time so that copies are always under
 * way; a thread goes along a few columns of a row with four channels and their weights in registers, adding each column
 * to the three sums that it belongs to. Other kernels go tap by tap. The weight gradient is summed in parts, which a
 * second launch adds up in a fixed order. */
#include "device/cuda/mma.cuh"
#include "ops/cuda_op.cuh"
#include "ops/dwconv2d/dwconv2d_attr.h"

extern "C" HM_CUDA_DECLARE(dwconv2d);
extern "C" HM_CUDA_DECLARE(dwconv2d_back_input);
extern "C" HM_CUDA_DECLARE(dwconv2d_back_weight);

#define TILE_H  HM_DWCONV2D_TILE_H
#define TILE_W  HM_DWCONV2D_TILE_W
#define THREADS 256

struct map {
    int H, W, C;
};

/* Tiles of all maps, in rows of tiles. */
struct tiling {
    hm_divisor down, across;
    int64_t count;
};

struct place {
    int64_t image;
    int y, x; /* of the tile's first pixel */
};

static __device__ place place_of(int64_t tile, const tiling &t) {
    int64_t row, column;
    place p;
    p.image = t.down.split(t.across.split(tile, &column), &row);
    p.y = (int)row * TILE_H;
    p.x = (int)column * TILE_W;
    return p;
}

/* ---- 3x3: a block has P packs of four channels of its tile, a thread one of them in COLUMNS columns of a row */

template <int P> struct share {
    static constexpr int columns = TILE_H * TILE_W * P / THREADS, strips = TILE_W / columns;
    int pack, row, column;
    __device__ share() {
        const int at = (int)threadIdx.x / P;
        pack = (int)threadIdx.x % P;
        row = at / strips;
        column = at % strips * columns;
    }
};

/* Packs of which a tile is as large in shared memory whatever the type. */
template <typename T> constexpr int packs_of = HM_DWCONV2D_CHANNELS / 2 / (int)sizeof(T);

/* Starts to copy rows y .. y + H - 1, columns x .. x + W - 1 of a map with `channels` left; zeros outside. */
template <int H, int W, int P, typename T>
static __device__ void fetch(hm_pack<T, 4> *to, const T *from, int y, int x, const map &m, int channels) {
    for (int i = (int)threadIdx.x; i < H * W * P; i += THREADS) {
        const int pack = i % P, row = y + i / P / W, column = x + i / P % W;
        const bool there = row >= 0 && row < m.H && column >= 0 && column < m.W && 4 * pack < channels;
        const T *const at = from + ((int64_t)row * m.W + column) * m.C + 4 * pack;
        hm_copy_async<sizeof *to>(hm_shared_of(to + i), there ? at : from, there);
    }
}

template <typename T> static __device__ void widen(float *to, const hm_pack<T, 4> &from) {
#pragma unroll
    for (int n = 0; n < 4; n++)
        to[n] = hm_widen(from.x[n]);
}

static __device__ void add_product(float *to, const float *a, const float *b) {
#pragma unroll
    for (int n = 0; n < 4; n++)
        to[n] += a[n] * b[n];
}

/* A block's weights [9, 4 P], turned by half a circle on demand, and its bias. */
template <int P>
static __device__ void load_weights(float (*to)[4 * P], hm_in w, hm_in bias, int first, int C, bool turn) {
    for (int i = (int)threadIdx.x; i < 9 * 4 * P; i += THREADS)
        to[turn ? 8 - i % 9 : i % 9][i / 9] = first + i / 9 < C ? w[(int64_t)first * 9 + i] : 0;
    for (int i = (int)threadIdx.x; i < 4 * P; i += THREADS)
        to[9][i] = bias.p != NULL && first + i < C ? bias[first + i] : 0;
}

template <typename X, typename Y>
static __global__ void __launch_bounds__(THREADS, 3)
    convolve3(Y *out, const X *x, hm_in w, hm_in bias, bool turn, map m, tiling tiles) {
    constexpr int P = packs_of<X>, W = TILE_W + 2;
    __shared__ __align__(16) hm_pack<X, 4> tile[(TILE_H + 2) * W * P];
    __shared__ __align__(16) float shared[10][4 * P];
    const share<P> mine;
    const int first = (int)blockIdx.y * 4 * P, channel = first + 4 * mine.pack;
    const place p = place_of(blockIdx.x, tiles);
    const int64_t image = p.image * m.H * m.W * m.C;
    fetch<TILE_H + 2, W, P>(tile, x + image + first, p.y - 1, p.x - 1, m, m.C - first);
    load_weights<P>(shared, w, bias, first, m.C, turn);
    hm_copy_wait();
    __syncthreads();
    if (channel >= m.C || p.y + mine.row >= m.H)
        return;
    float weight[9][4], sum[share<P>::columns + 2][4]; /* of output j: begun by column j of the tile */
#pragma unroll
    for (int t = 0; t < 9; t++)
        hm_load<4>(&shared[t][4 * mine.pack], weight[t]);
    Y *const to = out + image + ((int64_t)(p.y + mine.row) * m.W + p.x + mine.column) * m.C + channel;
#pragma unroll
    for (int j = 0; j < share<P>::columns + 2; j++) {
        hm_load<4>(&shared[9][4 * mine.pack], sum[j]);
#pragma unroll
        for (int r = 0; r < 3; r++) {
            float v[4];
            widen(v, tile[((mine.row + r) * W + mine.column + j) * P + mine.pack]);
            add_product(sum[j], weight[3 * r], v);
            if (j > 0)
                add_product(sum[j - 1], weight[3 * r + 1], v);
            if (j > 1)
                add_product(sum[j - 2], weight[3 * r + 2], v);
        }
        if (j > 1 && p.x + mine.column + j - 2 < m.W)
            hm_save<4>(to + (int64_t)(j - 2) * m.C, sum[j - 2]);
    }
}

/* sum [10, 4] of the block's threads, added up in shared memory [THREADS / P, 4 P] and stored in parts [10, C]. */
template <int P>
static __device__ void store_sums(float *parts, float (*shared)[4 * P], const float (*sum)[4], int first, int C) {
    const int thread = (int)threadIdx.x;
#pragma unroll
    for (int t = 0; t < 10; t++) {
        __syncthreads();
        hm_save<4>(&shared[thread / P][thread % P * 4], sum[t]);
        __syncthreads();
        if (thread < 4 * P && first + thread < C) {
            float all = 0;
            for (int k = 0; k < THREADS / P; k++)
                all += shared[k][thread];
            parts[t * C + first + thread] = all;
        }
    }
}

/* sum [10, 4] += the products of a thread's pixels: nine taps and the pixels alone. */
template <int P, typename D, typename X>
static __device__ void add_strip(float (*sum)[4], const hm_pack<D, 4> *dout, const hm_pack<X, 4> *x) {
    const share<P> mine;
    constexpr int columns = share<P>::columns;
    float g[columns][4];
#pragma unroll
    for (int j = 0; j < columns + 2; j++) {
        if (j < columns) {
            widen(g[j], dout[(mine.row * TILE_W + mine.column + j) * P + mine.pack]);
#pragma unroll
            for (int n = 0; n < 4; n++)
                sum[9][n] += g[j][n];
        }
#pragma unroll
        for (int r = 0; r < 3; r++) {
            float v[4];
            widen(v, x[((mine.row + r) * (TILE_W + 2) + mine.column + j) * P + mine.pack]);
#pragma unroll
            for (int q = 0; q < 3; q++)
                if (j >= q && j - q < columns)
                    add_product(sum[3 * r + q], g[j - q], v);
        }
    }
}

/* parts [gridDim.x, 10, C] */
template <typename D, typename X>
static __global__ void __launch_bounds__(THREADS, 3)
    weight_parts3(float *parts, const D *dout, const X *x, map m, tiling tiles) {
    constexpr int P = packs_of<D> < packs_of<X> ? packs_of<D> : packs_of<X>;
    __shared__ __align__(16) hm_pack<X, 4> pixels[(TILE_H + 2) * (TILE_W + 2) * P];
    __shared__ __align__(16) hm_pack<D, 4> given[TILE_H * TILE_W * P];
    const int first = (int)blockIdx.y * 4 * P;
    float sum[10][4] = {};
    for (int64_t i = blockIdx.x; i < tiles.count; i += gridDim.x) {
        const place p = place_of(i, tiles);
        const int64_t image = p.image * m.H * m.W * m.C + first;
        fetch<TILE_H + 2, TILE_W + 2, P>(pixels, x + image, p.y - 1, p.x - 1, m, m.C - first);
        fetch<TILE_H, TILE_W, P>(given, dout + image, p.y, p.x, m, m.C - first);
        hm_copy_wait();
        __syncthreads();
        add_strip<P>(sum, given, pixels);
        __syncthreads();
    }
    store_sums<P>(parts + (int64_t)blockIdx.x * 10 * m.C, (float(*)[4 * P]) pixels, sum, first, m.C);
}

/* ---- any kernel */

static __global__ void convolve_any(hm_out out, hm_in x, hm_in w, hm_in bias, bool turn, map m, int k,
                                    hm_divisor channels, hm_divisor width, hm_divisor height, int64_t count) {
    for (hm_each(i, count)) {
        int64_t c, j, y;
        height.split(width.split(channels.split(i, &c), &j), &y);
        float sum = bias.p != NULL ? bias[c] : 0;
        for (int p = max(0, k / 2 - (int)y); p < min(k, m.H - (int)y + k / 2); p++)
            for (int q = max(0, k / 2 - (int)j); q < min(k, m.W - (int)j + k / 2); q++)
                sum += w[c * k * k + (turn ? k * k - 1 - p * k - q : p * k + q)] *
                       x[i + ((int64_t)(p - k / 2) * m.W + q - k / 2) * m.C];
        out.put(i, sum);
    }
}

/* parts [gridDim.y, k*k + 1, C]: a thread for each sum, over the map rows of its part. */
static __global__ void weight_parts_any(float *parts, hm_in dout, hm_in x, map m, int k, int64_t rows) {
    const int64_t i = hm_first(), sums = (int64_t)(k * k + 1) * m.C, part = blockIdx.y;
    const int t = (int)(i / m.C), dy = t < k * k ? t / k - k / 2 : 0, dx = t < k * k ? t % k - k / 2 : 0;
    if (i >= sums)
        return;
    float sum = 0;
    for (int64_t r = part * rows / gridDim.y; r < (part + 1) * rows / gridDim.y; r++) {
        const int y = (int)(r % m.H) + dy;
        for (int j = max(0, -dx); j < min(m.W, m.W - dx) && y >= 0 && y < m.H; j++) {
            const int64_t at = (r * m.W + j) * m.C + i % m.C;
            sum += dout[at] * (t < k * k ? x[at + ((int64_t)dy * m.W + dx) * m.C] : 1);
        }
    }
    parts[part * sums + i] = sum;
}

/* ---- */

#define SLICES 16 /* of the parts */

/* dw [C, taps], db [C] from parts [n, taps + 1, C] */
static __global__ void join_parts(hm_out dw, hm_out db, const float *parts, int n, int taps, int C) {
    __shared__ double slice[SLICES][33];
    const int64_t sums = (int64_t)(taps + 1) * C, i = (int64_t)blockIdx.x * 32 + threadIdx.x;
    double sum = 0;
    for (int p = (int)threadIdx.y; p < n && i < sums; p += SLICES)
        sum += (double)parts[p * sums + i];
    slice[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y > 0 || i >= sums)
        return;
    for (int s = 1; s < SLICES; s++)
        sum += slice[s][threadIdx.x];
    if (i < (int64_t)taps * C)
        dw.put(i % C * taps + i / C, (float)sum);
    else
        db.put(i % C, (float)sum);
}

static bool in_fours(int64_t k, int64_t C) {
    return k == 3 && C % 4 == 0;
}

static tiling tiling_of(const int64_t *shape) {
    const int64_t across = hm_blocks(shape[2], TILE_W), count = hm_dwconv2d_cuda_tiles(shape[1], shape[2]);
    return {hm_divide_by(count / (across > 0 ? across : 1)), hm_divide_by(across), shape[0] * count};
}

static hm_status convolve(const hm_call *c, hm_in bias, bool turn) {
    const int64_t *const d = c->node->in[0]->shape.dim, k = ((const hm_dwconv2d_attr *)c->node->attr)->k;
    const map m = {(int)d[1], (int)d[2], (int)d[3]};
    const int64_t count = hm_count(c->node->out[0]);
    if (in_fours(k, d[3])) {
        const tiling tiles = tiling_of(d);
        HM_BY_TYPE(c->node->in[0]->dtype, X, HM_BY_TYPE(c->node->out[0]->dtype, Y, {
                       const dim3 grid = {(unsigned)tiles.count, hm_blocks(d[3], 4 * packs_of<X>), 1};
                       HM_LAUNCH(c, (convolve3<X, Y>), grid, THREADS, 0, (Y *)c->out[0], (const X *)c->in[0],
                                 hm_input(c, 1), bias, turn, m, tiles);
                   }));
    } else {
        HM_LAUNCH(c, convolve_any, hm_blocks_strided(count, THREADS), THREADS, 0, hm_output(c, 0), hm_input(c, 0),
                  hm_input(c, 1), bias, turn, m, (int)k, hm_divide_by(d[3]), hm_divide_by(d[2]), hm_divide_by(d[1]),
                  count);
    }
    return HM_OK;
}

hm_status dwconv2d_cuda(const hm_call *c) {
    return convolve(c, hm_input(c, 2), false);
}

hm_status dwconv2d_back_input_cuda(const hm_call *c) {
    return convolve(c, hm_in{NULL, HM_F32}, true);
}

hm_status dwconv2d_back_weight_cuda(const hm_call *c) {
    const int64_t *const d = c->node->in[0]->shape.dim, k = ((const hm_dwconv2d_attr *)c->node->attr)->k;
    const map m = {(int)d[1], (int)d[2], (int)d[3]};
    const int64_t sums = (k * k + 1) * d[3];
    const unsigned parts = (unsigned)hm_dwconv2d_cuda_parts(d);
    float *const work = (float *)c->work;
    if (in_fours(k, d[3])) {
        HM_BY_TYPE(c->node->in[0]->dtype, D, HM_BY_TYPE(c->node->in[1]->dtype, X, {
                       constexpr int P = packs_of<D> < packs_of<X> ? packs_of<D> : packs_of<X>;
                       HM_LAUNCH(c, (weight_parts3<D, X>), dim3(parts, hm_blocks(d[3], 4 * P)), THREADS, 0, work,
                                 (const D *)c->in[0], (const X *)c->in[1], m, tiling_of(d));
                   }));
    } else {
        HM_LAUNCH(c, weight_parts_any, dim3(hm_blocks(sums, THREADS), parts), THREADS, 0, work, hm_input(c, 0),
                  hm_input(c, 1), m, (int)k, d[0] * d[1]);
    }
    HM_LAUNCH(c, join_parts, hm_blocks(sums, 32), dim3(32, SLICES), 0, hm_output(c, 0), hm_output(c, 1), work,
              (int)parts, (int)(k * k), m.C);
    return HM_OK;
}
