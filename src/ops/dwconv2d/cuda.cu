/* cuda.cu: depthwise convolution on the GPU. 3x3 kernels with channels in fours: a warp walks along a run of two rows
 * with 128 channels, four to a thread, keeps the weights and three columns of pixels in registers and loads the next
 * column meanwhile; the block's warps take neighbouring rows, which they share in the cache. Other kernels go tap by
 * tap. The weight gradient is summed in parts, which a second launch adds up in a fixed order. */
#include "ops/cuda_op.cuh"
#include "ops/dwconv2d/dwconv2d_attr.h"

extern "C" HM_CUDA_DECLARE(dwconv2d);
extern "C" HM_CUDA_DECLARE(dwconv2d_back_input);
extern "C" HM_CUDA_DECLARE(dwconv2d_back_weight);

#define RUN      HM_DWCONV2D_RUN
#define CHANNELS HM_DWCONV2D_CHANNELS
#define WARPS    HM_DWCONV2D_WARPS
#define THREADS  256

struct map {
    int H, W, C;
};

/* A warp's piece of the work: RUN columns from x on, of row y (or of two) of an image. */
struct place {
    int64_t image;
    int y, x, end;
};

/* Piece number `task`; neighbouring rows first. */
static __device__ place place_of(int64_t task, hm_divisor rows, hm_divisor runs, int rows_each, int W) {
    int64_t row, run;
    place p;
    p.image = runs.split(rows.split(task, &row), &run);
    p.y = (int)row * rows_each;
    p.x = (int)run * RUN;
    p.end = min(p.x + RUN, W);
    return p;
}

/* Column x of `rows` rows from y on, of one image from the thread's first channel on; zeros outside. */
template <int rows, typename X>
static __device__ void load_column(hm_pack<X, 4> *to, const X *from, int y, int x, const map &m, bool there) {
#pragma unroll
    for (int r = 0; r < rows; r++) {
        to[r] = hm_pack<X, 4>{};
        if (there && x >= 0 && x < m.W && y + r >= 0 && y + r < m.H)
            to[r] = *(const hm_pack<X, 4> *)(from + ((int64_t)(y + r) * m.W + x) * m.C);
    }
}

template <int rows, typename X> static __device__ void widen(float (*to)[4], const hm_pack<X, 4> *from) {
#pragma unroll
    for (int r = 0; r < rows; r++)
#pragma unroll
        for (int n = 0; n < 4; n++)
            to[r][n] = hm_widen(from[r].x[n]);
}

template <int rows> static __device__ void copy(float (*to)[4], const float (*from)[4]) {
#pragma unroll
    for (int r = 0; r < rows; r++)
#pragma unroll
        for (int n = 0; n < 4; n++)
            to[r][n] = from[r][n];
}

/* ---- 3x3 */

/* The block's weights [9, CHANNELS], turned by half a circle on demand, and its bias. */
static __device__ void load_weights(float (*to)[CHANNELS], hm_in w, hm_in bias, int first, int C, bool turn) {
    const int thread = (int)threadIdx.y * 32 + (int)threadIdx.x;
    for (int i = thread; i < 9 * CHANNELS; i += THREADS)
        to[turn ? 8 - i % 9 : i % 9][i / 9] = first + i / 9 < C ? w[(int64_t)first * 9 + i] : 0;
    for (int i = thread; i < CHANNELS; i += THREADS)
        to[9][i] = bias.p != NULL && first + i < C ? bias[first + i] : 0;
    __syncthreads();
}

/* out [4] += the products of one row of columns a, b, d with three weights. */
static __device__ void add_row(float *out, const float *a, const float *b, const float *d, const float (*w)[4]) {
#pragma unroll
    for (int n = 0; n < 4; n++)
        out[n] += w[0][n] * a[n] + w[1][n] * b[n] + w[2][n] * d[n];
}

template <typename X, typename Y>
static __global__ void __launch_bounds__(THREADS, 2)
    convolve3(Y *out, const X *x, hm_in w, hm_in bias, bool turn, map m, hm_divisor pairs, hm_divisor runs,
              int64_t tasks) {
    __shared__ __align__(16) float shared[10][CHANNELS];
    const int first = (int)blockIdx.y * CHANNELS, channel = first + (int)threadIdx.x * 4;
    const int64_t task = (int64_t)blockIdx.x * WARPS + threadIdx.y;
    load_weights(shared, w, bias, first, m.C, turn);
    if (task >= tasks || channel >= m.C)
        return;
    const place p = place_of(task, pairs, runs, 2, m.W);
    const int64_t image = p.image * m.H * m.W * m.C + channel;
    const bool second = p.y + 1 < m.H;
    float weight[10][4], a[4][4], b[4][4], d[4][4];
    hm_pack<X, 4> next[4];
#pragma unroll
    for (int t = 0; t < 10; t++)
        hm_load<4>(&shared[t][threadIdx.x * 4], weight[t]);
    load_column<4>(next, x + image, p.y - 1, p.x - 1, m, true);
    widen<4>(a, next);
    load_column<4>(next, x + image, p.y - 1, p.x, m, true);
    widen<4>(b, next);
    load_column<4>(next, x + image, p.y - 1, p.x + 1, m, true);
    Y *to = out + image + ((int64_t)p.y * m.W + p.x) * m.C;
    for (int i = p.x; i < p.end; i++, to += m.C) {
        float top[4], bottom[4];
        widen<4>(d, next);
        load_column<4>(next, x + image, p.y - 1, i + 2, m, i + 1 < p.end);
#pragma unroll
        for (int n = 0; n < 4; n++)
            top[n] = bottom[n] = weight[9][n];
#pragma unroll
        for (int r = 0; r < 3; r++) {
            add_row(top, a[r], b[r], d[r], weight + 3 * r);
            add_row(bottom, a[r + 1], b[r + 1], d[r + 1], weight + 3 * r);
        }
        hm_save<4>(to, top);
        if (second)
            hm_save<4>(to + (int64_t)m.W * m.C, bottom);
        copy<4>(a, b);
        copy<4>(b, d);
    }
}

/* sum [10, 4] of the block's warps, added up in shared memory [WARPS, CHANNELS] and stored in parts [10, C]. */
static __device__ void store_sums(float *parts, float (*shared)[CHANNELS], const float (*sum)[4], int first, int C) {
    const int thread = (int)threadIdx.y * 32 + (int)threadIdx.x;
#pragma unroll
    for (int t = 0; t < 10; t++) {
        hm_save<4>(&shared[threadIdx.y][threadIdx.x * 4], sum[t]);
        __syncthreads();
        if (thread < CHANNELS && first + thread < C) {
            float all = 0;
            for (int k = 0; k < WARPS; k++)
                all += shared[k][thread];
            parts[t * C + first + thread] = all;
        }
        __syncthreads();
    }
}

/* sum [10, 4] += the products of a run's pixels: nine taps and the pixels alone. */
template <typename D, typename X>
static __device__ void add_run(float (*sum)[4], const D *dout, const X *x, const place &p, const map &m) {
    float a[3][4], b[3][4], d[3][4], g[1][4];
    hm_pack<X, 4> next[3];
    hm_pack<D, 4> given[1];
    load_column<3>(next, x, p.y - 1, p.x - 1, m, true);
    widen<3>(a, next);
    load_column<3>(next, x, p.y - 1, p.x, m, true);
    widen<3>(b, next);
    load_column<3>(next, x, p.y - 1, p.x + 1, m, true);
    load_column<1>(given, dout, p.y, p.x, m, true);
    for (int i = p.x; i < p.end; i++) {
        widen<3>(d, next);
        widen<1>(g, given);
        load_column<3>(next, x, p.y - 1, i + 2, m, i + 1 < p.end);
        load_column<1>(given, dout, p.y, i + 1, m, i + 1 < p.end);
#pragma unroll
        for (int n = 0; n < 4; n++) {
#pragma unroll
            for (int r = 0; r < 3; r++) {
                sum[3 * r][n] += g[0][n] * a[r][n];
                sum[3 * r + 1][n] += g[0][n] * b[r][n];
                sum[3 * r + 2][n] += g[0][n] * d[r][n];
            }
            sum[9][n] += g[0][n];
        }
        copy<3>(a, b);
        copy<3>(b, d);
    }
}

/* parts [gridDim.x, 10, C] */
template <typename D, typename X>
static __global__ void __launch_bounds__(THREADS, 2)
    weight_parts3(float *parts, const D *dout, const X *x, map m, hm_divisor rows, hm_divisor runs, int64_t tasks) {
    __shared__ __align__(16) float shared[WARPS][CHANNELS];
    const int first = (int)blockIdx.y * CHANNELS, channel = first + (int)threadIdx.x * 4;
    float sum[10][4] = {};
    for (int64_t task = (int64_t)blockIdx.x * WARPS + threadIdx.y; task < tasks && channel < m.C;
         task += (int64_t)gridDim.x * WARPS) {
        const place p = place_of(task, rows, runs, 1, m.W);
        const int64_t image = p.image * m.H * m.W * m.C + channel;
        add_run(sum, dout + image, x + image, p, m);
    }
    store_sums(parts + (int64_t)blockIdx.x * 10 * m.C, shared, sum, first, m.C);
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

static hm_status convolve(const hm_call *c, hm_in bias, bool turn) {
    const int64_t *const d = c->node->in[0]->shape.dim, k = ((const hm_dwconv2d_attr *)c->node->attr)->k;
    const map m = {(int)d[1], (int)d[2], (int)d[3]};
    const int64_t pairs = (d[1] + 1) / 2, runs = hm_blocks(d[2], RUN), count = hm_count(c->node->out[0]);
    if (in_fours(k, d[3])) {
        const dim3 grid = {hm_blocks(d[0] * pairs * runs, WARPS), hm_blocks(d[3], CHANNELS), 1};
        HM_BY_TYPE(c->node->in[0]->dtype, X, HM_BY_TYPE(c->node->out[0]->dtype, Y, {
                       HM_LAUNCH(c, (convolve3<X, Y>), grid, dim3(32, WARPS), 0, (Y *)c->out[0], (const X *)c->in[0],
                                 hm_input(c, 1), bias, turn, m, hm_divide_by(pairs), hm_divide_by(runs),
                                 d[0] * pairs * runs);
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
    const int64_t rows = d[0] * d[1], runs = hm_blocks(d[2], RUN), sums = (k * k + 1) * d[3];
    const unsigned parts = (unsigned)hm_dwconv2d_cuda_parts(rows, d[2], d[3]);
    float *const work = (float *)c->work;
    if (in_fours(k, d[3])) {
        HM_BY_TYPE(c->node->in[0]->dtype, D, HM_BY_TYPE(c->node->in[1]->dtype, X, {
                       HM_LAUNCH(c, (weight_parts3<D, X>), dim3(parts, hm_blocks(d[3], CHANNELS)), dim3(32, WARPS), 0,
                                 work, (const D *)c->in[0], (const X *)c->in[1], m, hm_divide_by(d[1]),
                                 hm_divide_by(runs), rows * runs);
                   }));
    } else {
        HM_LAUNCH(c, weight_parts_any, dim3(hm_blocks(sums, THREADS), parts), THREADS, 0, work, hm_input(c, 0),
                  hm_input(c, 1), m, (int)k, rows);
    }
    HM_LAUNCH(c, join_parts, hm_blocks(sums, 32), dim3(32, SLICES), 0, hm_output(c, 0), hm_output(c, 1), work,
              (int)parts, (int)(k * k), m.C);
    return HM_OK;
}
