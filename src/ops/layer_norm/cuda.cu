/* cuda.cu: layer normalisation on the GPU: a warp for each row, which it holds in registers where it is a multiple of
 * four numbers and at most 1024; statistics are two-pass and in fp32. The sums over rows (dgain, dbias) are made in the
 * same pass over the gradient, by blocks of rows, and added up in a fixed order; a warp fetches its next row while it
 * works on one, where registers allow. Other rows are gone through again and again instead. */
#include "device/cuda/vector.cuh"
#include "ops/cuda_op.cuh"
#include "ops/layer_norm/layer_norm_attr.h"

extern "C" HM_CUDA_DECLARE(hm_layer_norm);
extern "C" HM_CUDA_DECLARE(hm_layer_norm_back);
extern "C" HM_CUDA_DECLARE(hm_layer_norm_affine);

#define WARPS 4  /* rows of a block at a time */
#define MOST  8  /* packs of four numbers that a lane holds */
#define JOINS 16 /* threads that add up the parts of one channel */

namespace {

struct norm_args {
    hm_in x, gain, bias;
    hm_out y;
    float *mean, *scale;
    float eps;
    int64_t rows;
    int channels;
};

struct back_args {
    hm_in dout, x, gain, plus;
    hm_out dx; /* may be dout's memory */
    const float *mean, *scale;
    float *parts; /* [blocks, 2, C]: sums of dgain and dbias; NULL: not wanted */
    int64_t rows;
    int channels;
};

/* A lane's packs of a row as they lie in memory: number j is pack lane + 32 j; zeros beyond the row. */
template <int J> struct row_words { hm_words<4> pack[J]; };

template <int J> __device__ inline row_words<J> fetch_row(const hm_in &t, int64_t at, int channels) {
    row_words<J> r = {};
#pragma unroll
    for (int j = 0; j < J; j++) {
        const int i = 4 * (threadIdx.x % 32 + 32 * j);
        if (i < channels)
            r.pack[j] = hm_fetch<4>(t, at + i);
    }
    return r;
}

template <int J> __device__ inline void unpack_row(float (*v)[4], const row_words<J> &r, hm_dtype type) {
#pragma unroll
    for (int j = 0; j < J; j++)
        hm_unpack<4>(v[j], r.pack[j], type);
}

template <int J> __device__ inline void read_row(float (*v)[4], const hm_in &t, int64_t at, int channels) {
    unpack_row<J>(v, fetch_row<J>(t, at, channels), t.type);
}

template <int J> __global__ void forward_held(norm_args a) {
    const int64_t row = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32, at = row * a.channels;
    const int lane = threadIdx.x % 32;
    if (row >= a.rows)
        return;
    float v[J][4], sum = 0, squares = 0;
    read_row<J>(v, a.x, at, a.channels);
#pragma unroll
    for (int j = 0; j < J; j++)
        sum += (v[j][0] + v[j][1]) + (v[j][2] + v[j][3]);
    const float mean = hm_warp_sum(sum) / (float)a.channels;
#pragma unroll
    for (int j = 0; j < J; j++)
#pragma unroll
        for (int k = 0; k < 4; k++) {
            const float d = 4 * (lane + 32 * j) < a.channels ? v[j][k] - mean : 0;
            squares += d * d;
        }
    const float scale = rsqrtf(hm_warp_sum(squares) / (float)a.channels + a.eps);
#pragma unroll
    for (int j = 0; j < J; j++) {
        const int i = 4 * (lane + 32 * j);
        float gain[4], bias[4];
        if (i >= a.channels)
            continue;
        hm_read<4>(gain, a.gain, i);
        hm_read<4>(bias, a.bias, i);
#pragma unroll
        for (int k = 0; k < 4; k++)
            v[j][k] = (v[j][k] - mean) * scale * gain[k] + bias[k];
        hm_save<4>(a.y, at + i, v[j]);
    }
    if (lane == 0) {
        a.mean[row] = mean;
        a.scale[row] = scale;
    }
}

__global__ void forward_any(norm_args a) {
    const int64_t row = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32, at = row * a.channels;
    const int lane = threadIdx.x % 32;
    if (row >= a.rows)
        return;
    float sum = 0, squares = 0;
    for (int i = lane; i < a.channels; i += 32)
        sum += a.x[at + i];
    const float mean = hm_warp_sum(sum) / (float)a.channels;
    for (int i = lane; i < a.channels; i += 32) {
        const float d = a.x[at + i] - mean;
        squares += d * d;
    }
    const float scale = rsqrtf(hm_warp_sum(squares) / (float)a.channels + a.eps);
    for (int i = lane; i < a.channels; i += 32) /* y may be x: each number is read before it is written */
        a.y.put(at + i, (a.x[at + i] - mean) * scale * a.gain[i] + a.bias[i]);
    if (lane == 0) {
        a.mean[row] = mean;
        a.scale[row] = scale;
    }
}

/* sums[2][C] of a block from its warps', through shared memory [WARPS][2][C]. */
template <int J> __device__ inline void join_warps(const back_args &a, float (*gain)[4], float (*bias)[4]) {
    HM_DYNAMIC_SHARED(float, shared);
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
#pragma unroll
    for (int j = 0; j < J; j++)
#pragma unroll
        for (int k = 0; k < 4; k++) {
            const int i = 4 * (lane + 32 * j) + k;
            if (i < a.channels) {
                shared[(2 * warp) * a.channels + i] = gain[j][k];
                shared[(2 * warp + 1) * a.channels + i] = bias[j][k];
            }
        }
    __syncthreads();
    for (int i = threadIdx.x; i < 2 * a.channels; i += blockDim.x) {
        float sum = 0;
        for (int w = 0; w < WARPS; w++)
            sum += shared[2 * w * a.channels + i];
        a.parts[(int64_t)blockIdx.x * 2 * a.channels + i] = sum;
    }
}

/* What a warp reads of a row and its gradient. */
template <int J> struct row_inputs {
    row_words<J> d, x, plus;
    float mean, scale;
};

template <int J> __device__ inline row_inputs<J> fetch_inputs(const back_args &a, int64_t row) {
    row_inputs<J> r = {};
    if (row >= a.rows)
        return r;
    const int64_t at = row * a.channels;
    r.d = fetch_row<J>(a.dout, at, a.channels);
    r.x = fetch_row<J>(a.x, at, a.channels);
    if (a.plus.p != NULL)
        r.plus = fetch_row<J>(a.plus, at, a.channels);
    r.mean = a.mean[row];
    r.scale = a.scale[row];
    return r;
}

/* dx = (h - mean(h) - xhat mean(h xhat)) / std, h = dout gain. */
template <int J> __global__ void __launch_bounds__(WARPS * 32, J <= 3 ? 4 : 2) backward_held(back_args a) {
    const int lane = threadIdx.x % 32;
    const int64_t first = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32, step = (int64_t)gridDim.x * WARPS;
    constexpr bool ahead = J <= 3; /* or registers run out */
    float gain[J][4], dgain[J][4] = {}, dbias[J][4] = {};
    read_row<J>(gain, a.gain, 0, a.channels);
    row_inputs<J> next = fetch_inputs<J>(a, first);
    for (int64_t row = first; row < a.rows; row += step) {
        if (!ahead)
            next = fetch_inputs<J>(a, row);
        const float mean = next.mean, scale = next.scale;
        float d[J][4], x[J][4], plus[J][4] = {}, sum = 0, dot = 0;
        unpack_row<J>(d, next.d, a.dout.type);
        unpack_row<J>(x, next.x, a.x.type);
        if (a.plus.p != NULL)
            unpack_row<J>(plus, next.plus, a.plus.type);
        if (ahead)
            next = fetch_inputs<J>(a, row + step);
#pragma unroll
        for (int j = 0; j < J; j++)
#pragma unroll
            for (int k = 0; k < 4; k++) {
                x[j][k] = (x[j][k] - mean) * scale;
                dgain[j][k] += d[j][k] * x[j][k];
                dbias[j][k] += d[j][k];
                d[j][k] *= gain[j][k];
                sum += d[j][k];
                dot += d[j][k] * x[j][k];
            }
        sum = hm_warp_sum(sum) / (float)a.channels;
        dot = hm_warp_sum(dot) / (float)a.channels;
#pragma unroll
        for (int j = 0; j < J; j++) {
            const int i = 4 * (lane + 32 * j);
            if (i >= a.channels)
                continue;
#pragma unroll
            for (int k = 0; k < 4; k++)
                d[j][k] = (d[j][k] - sum - x[j][k] * dot) * scale + plus[j][k];
            hm_write<4>(a.dx, row * a.channels + i, d[j]);
        }
    }
    if (a.parts != NULL)
        join_warps<J>(a, dgain, dbias);
}

__global__ void backward_any(back_args a) {
    const int64_t row = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32, at = row * a.channels;
    const int lane = threadIdx.x % 32;
    if (row >= a.rows)
        return;
    const float mean = a.mean[row], scale = a.scale[row];
    float sum = 0, dot = 0;
    for (int i = lane; i < a.channels; i += 32) {
        const float h = a.dout[at + i] * a.gain[i];
        sum += h;
        dot += h * ((a.x[at + i] - mean) * scale);
    }
    sum = hm_warp_sum(sum) / (float)a.channels;
    dot = hm_warp_sum(dot) / (float)a.channels;
    for (int i = lane; i < a.channels; i += 32)
        a.dx.put(at + i, (a.dout[at + i] * a.gain[i] - sum - (a.x[at + i] - mean) * scale * dot) * scale +
                             (a.plus.p != NULL ? a.plus[at + i] : 0));
}

/* Before backward_any, which may overwrite dout. */
__global__ void parts_any(back_args a) {
    const int channel = blockIdx.y * blockDim.x + threadIdx.x, part = blockIdx.x, n = gridDim.x;
    if (channel >= a.channels)
        return;
    float gain = 0, bias = 0;
    for (int64_t r = part * a.rows / n; r < (part + 1) * a.rows / n; r++) {
        const float d = a.dout[r * a.channels + channel];
        gain += d * ((a.x[r * a.channels + channel] - a.mean[r]) * a.scale[r]);
        bias += d;
    }
    a.parts[(int64_t)part * 2 * a.channels + channel] = gain;
    a.parts[((int64_t)part * 2 + 1) * a.channels + channel] = bias;
}

/* Channels along x; the parts of each are shared by JOINS threads. */
__global__ void join_parts(hm_out dgain, hm_out dbias, const float *parts, int n, int channels) {
    __shared__ float sums[JOINS][32];
    const int i = blockIdx.x * 32 + threadIdx.x; /* of both gradients: [2, C] */
    float sum = 0;
    for (int p = threadIdx.y; p < n && i < 2 * channels; p += JOINS)
        sum += parts[(int64_t)p * 2 * channels + i];
    sums[threadIdx.y][threadIdx.x] = sum;
    __syncthreads();
    if (threadIdx.y > 0 || i >= 2 * channels)
        return;
    sum = 0;
    for (int t = 0; t < JOINS; t++)
        sum += sums[t][threadIdx.x];
    if (i < channels)
        dgain.put(i, sum);
    else
        dbias.put(i - channels, sum);
}

} // namespace

/* Packs a lane needs; 0 where rows cannot be held. */
static int packs(int64_t channels, const hm_call *c) {
    bool vectors = channels % 4 == 0 && channels <= MOST * 128;
    for (int i = 0; i < c->node->n_in; i++)
        vectors = vectors && (c->in[i] == NULL || hm_aligned(c->in[i]));
    for (int o = 0; o < c->node->n_out; o++)
        vectors = vectors && hm_aligned(c->out[o]);
    return vectors ? (int)((channels + 127) / 128) : 0;
}

/* Runs the statements with J = n, or the next larger number that kernels are made for. */
#define BY_PACKS(n, J, ...)                                                                                            \
    switch (n) {                                                                                                       \
    case 1: {                                                                                                          \
        constexpr int J = 1;                                                                                           \
        __VA_ARGS__;                                                                                                   \
        break;                                                                                                         \
    }                                                                                                                  \
    case 2: {                                                                                                          \
        constexpr int J = 2;                                                                                           \
        __VA_ARGS__;                                                                                                   \
        break;                                                                                                         \
    }                                                                                                                  \
    case 3: {                                                                                                          \
        constexpr int J = 3;                                                                                           \
        __VA_ARGS__;                                                                                                   \
        break;                                                                                                         \
    }                                                                                                                  \
    default: {                                                                                                         \
        constexpr int J = MOST;                                                                                        \
        __VA_ARGS__;                                                                                                   \
    }                                                                                                                  \
    }

hm_status hm_layer_norm_cuda(const hm_call *c) {
    const hm_tensor *const x = c->node->in[0];
    norm_args a;
    a.x = hm_input(c, 0);
    a.gain = hm_input(c, 1);
    a.bias = hm_input(c, 2);
    a.y = hm_output(c, 0);
    a.mean = (float *)c->out[1];
    a.scale = (float *)c->out[2];
    a.eps = ((const hm_layer_norm_attr *)c->node->attr)->eps;
    a.rows = hm_rows(x, 1);
    a.channels = (int)hm_dim(x, -1);
    const unsigned blocks = hm_blocks(a.rows, WARPS);
    const int n = packs(a.channels, c);
    if (n == 0)
        HM_LAUNCH(c, forward_any, blocks, WARPS * 32, 0, a);
    else
        BY_PACKS(n, J, HM_LAUNCH(c, (forward_held<J>), blocks, WARPS * 32, 0, a));
    return HM_OK;
}

hm_status hm_layer_norm_back_cuda(const hm_call *c) {
    const hm_layer_norm_back_attr *const attr = (const hm_layer_norm_back_attr *)c->node->attr;
    back_args a;
    a.dout = hm_input(c, LNB_DOUT);
    a.x = hm_input(c, LNB_X);
    a.mean = (const float *)c->in[LNB_MEAN];
    a.scale = (const float *)c->in[LNB_SCALE];
    a.gain = hm_input(c, LNB_GAIN);
    a.plus = hm_input(c, LNB_PLUS);
    a.dx = hm_output(c, 0);
    a.parts = attr->want_affine ? (float *)c->out[1] : NULL;
    a.rows = hm_rows(c->node->in[0], 1);
    a.channels = (int)hm_dim(c->node->in[0], -1);
    const int n = packs(a.channels, c), parts = (int)hm_layer_norm_parts(a.rows);
    const size_t shared = attr->want_affine ? (size_t)WARPS * 2 * a.channels * sizeof(float) : 0;
    if (n > 0 && shared <= 48 << 10) {
        BY_PACKS(n, J, HM_LAUNCH(c, (backward_held<J>), (unsigned)parts, WARPS * 32, shared, a));
        return HM_OK;
    }
    if (attr->want_affine)
        HM_LAUNCH(c, parts_any, dim3((unsigned)parts, hm_blocks(a.channels, 32)), 32, 0, a);
    HM_LAUNCH(c, backward_any, hm_blocks(a.rows, WARPS), WARPS * 32, 0, a);
    return HM_OK;
}

hm_status hm_layer_norm_affine_cuda(const hm_call *c) {
    const int parts = (int)hm_dim(c->node->in[0], 0), channels = (int)hm_dim(c->node->in[0], 2);
    HM_LAUNCH(c, join_parts, hm_blocks(2 * channels, 32), dim3(32, JOINS), 0, hm_output(c, 0), hm_output(c, 1),
              (const float *)c->in[0], parts, channels);
    return HM_OK;
}
