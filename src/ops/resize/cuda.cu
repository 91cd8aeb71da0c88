/* cuda.cu: resampling on the GPU, as a sum over the taps of both axes. A block makes a piece of one line of pixels: it
 * first works out the weights of its row and of its columns (as taps.c, in double), then every thread adds up the
 * pixels that carry weight, several channels at a time. The gradient is the same with the weights the other way
 * round. */
#include "ops/cuda_op.cuh"
#include "ops/resize/resize_attr.h"

extern "C" HM_CUDA_DECLARE(resize);
extern "C" HM_CUDA_DECLARE(resize_back);

#define THREADS 256  /* most of a block */
#define WIDEST  128  /* most pixels of a block */
#define WEIGHTS 8192 /* most weights of a block */
#define BLOCKS  2048 /* lines are cut into pieces until there are so many: several rounds of a large card */

/* One axis: extents of the forward input and output; what a result combines is one of `window` neighbours. */
struct axis {
    int in, out, window;
    bool cubic, back;
};

static __device__ double keys(double x) {
    const double a = -0.5, d = fabs(x);
    if (d < 1)
        return ((a + 2) * d - (a + 3)) * d * d + 1;
    return d < 2 ? (((d - 5) * d + 8) * d - 4) * a : 0;
}

static __device__ float bicubic(const axis &a, int i, int k) {
    const double scale = (double)a.in / (double)a.out, stretch = fmax(scale, 1.0), centre = ((double)i + 0.5) * scale;
    const int start = centre - 2 * stretch + 0.5 > 0 ? (int)(centre - 2 * stretch + 0.5) : 0;
    const int end = min((int)(centre + 2 * stretch + 0.5), a.in);
    double sum = 0;
    if (k < start || k >= end)
        return 0;
    for (int n = start; n < end; n++)
        sum += keys(((double)n - centre + 0.5) / stretch);
    return (float)(keys(((double)k - centre + 0.5) / stretch) / sum);
}

/* Weight of input k in output i. */
static __device__ float weight_of(const axis &a, int i, int k) {
    if (a.cubic)
        return bicubic(a, i, k);
    const double place = fmax(0.0, ((double)i + 0.5) * (double)a.in / (double)a.out - 0.5);
    const int at = min((int)place, a.in - 1), next = min(at + 1, a.in - 1);
    return (k == at ? (float)(1 - (place - (double)at)) : 0) + (k == next ? (float)(place - (double)at) : 0);
}

static __host__ __device__ double reach_of(const axis &a) {
    return a.cubic ? 2 * fmax((double)a.in / (double)a.out, 1.0) : 1;
}

/* The first neighbour that may carry weight in result i; it may lie outside. */
static __device__ int first_of(const axis &a, int i) {
    const double scale = a.back ? (double)a.out / (double)a.in : (double)a.in / (double)a.out, reach = reach_of(a);
    return a.back ? (int)floor(((double)i + 0.5 - reach) * scale - 0.5)
                  : (int)floor(((double)i + 0.5) * scale - 0.5 - reach);
}

static __device__ float weight_at(const axis &a, int i, int from) {
    const int sources = a.back ? a.out : a.in, results = a.back ? a.in : a.out;
    if (from < 0 || from >= sources || i >= results)
        return 0;
    return a.back ? weight_of(a, from, i) : weight_of(a, i, from);
}

/* Taps of one result: `count` neighbours from `first` on. */
struct taps {
    int first, count;
    const float *weight;
};

/* Leaves out what carries no weight at either end of result i's window. */
static __device__ taps trim(const axis &a, int i, const float *weight) {
    int begin = 0, end = a.window;
    while (end > begin && weight[end - 1] == 0)
        end--;
    while (begin < end && weight[begin] == 0)
        begin++;
    return taps{first_of(a, i) + begin, end - begin, weight + begin};
}

/* sum [N] of one pixel from channel `from` of its map, two by two pixels at a time. */
template <int N, typename X>
static __device__ void combine(float *sum, const X *from, const taps &rows, const taps &columns, int64_t line,
                               int64_t channels) {
    for (int r = 0; r < rows.count; r += 2)
        for (int q = 0; q < columns.count; q += 2) {
            const X *const at = from + (rows.first + r) * line + (columns.first + q) * channels;
            const bool down = r + 1 < rows.count, right = q + 1 < columns.count;
            float x[4][N] = {};
            hm_load<N>(at, x[0]);
            if (right)
                hm_load<N>(at + channels, x[1]);
            if (down)
                hm_load<N>(at + line, x[2]);
            if (down && right)
                hm_load<N>(at + line + channels, x[3]);
            const float top = rows.weight[r], bottom = down ? rows.weight[r + 1] : 0;
            const float left = columns.weight[q], other = right ? columns.weight[q + 1] : 0;
#pragma unroll
            for (int n = 0; n < N; n++)
                sum[n] += top * (left * x[0][n] + other * x[1][n]) + bottom * (left * x[2][n] + other * x[3][n]);
        }
}

/* to [B, h, w, C], from [B, H, W, C]; the block's place: piece of `pixels` columns, row, image. */
template <int N, typename X, typename Y>
static __global__ void resample(Y *to, const X *from, axis down, axis across, hm_divisor pieces, hm_divisor h, int w,
                                int pixels, int64_t H, int64_t W, int64_t channels) {
    HM_DYNAMIC_SHARED(float, weights); /* [pixels, window] of the columns, [window] of the row */
    __shared__ taps columns[WIDEST], rows;
    int64_t piece, row;
    const int64_t line = pieces.split(blockIdx.x, &piece), image = h.split(line, &row);
    const int first = (int)piece * pixels, count = min(pixels, w - first), words = (int)(channels / N);
    float *const row_weights = weights + pixels * across.window;
    for (int t = (int)threadIdx.x; t < count * across.window; t += (int)blockDim.x) {
        const int i = first + t / across.window;
        weights[t] = weight_at(across, i, first_of(across, i) + t % across.window);
    }
    for (int t = (int)(blockDim.x - 1 - threadIdx.x); t < down.window; t += (int)blockDim.x)
        row_weights[t] = weight_at(down, (int)row, first_of(down, (int)row) + t);
    __syncthreads();
    for (int t = (int)threadIdx.x; t < count; t += (int)blockDim.x)
        columns[t] = trim(across, first + t, weights + t * across.window);
    if (threadIdx.x == blockDim.x - 1)
        rows = trim(down, (int)row, row_weights);
    __syncthreads();
    from += image * H * W * channels;
    to += (line * w + first) * channels;
    for (int i = (int)threadIdx.x; i < count * words; i += (int)blockDim.x) {
        const int pixel = i / words, channel = i % words * N;
        float sum[N] = {};
        combine<N>(sum, from + channel, rows, columns[pixel], W * channels, channels);
        hm_save<N>(to + pixel * channels + channel, sum);
    }
}

static axis axis_of(const hm_resize_attr *a, int k, bool back) {
    axis x = {(int)a->in[k], (int)a->out[k], 0, a->mode == HM_RESIZE_BICUBIC_AA, back};
    x.window = (int)(2 * reach_of(x) * (back ? (double)x.out / (double)x.in : 1)) + 3;
    return x;
}

/* Full warps that have as much to do as each other. */
static unsigned threads_for(int items) {
    const unsigned turns = hm_blocks(items, THREADS);
    return hm_blocks(items, turns > 0 ? turns * 32 : 32) * 32;
}

template <int N, typename X, typename Y> static hm_status launch(const hm_call *c, bool back) {
    const hm_resize_attr *const a = (const hm_resize_attr *)c->node->attr;
    const int64_t *const from = c->node->in[0]->shape.dim, *const to = c->node->out[0]->shape.dim;
    const axis down = axis_of(a, 0, back), across = axis_of(a, 1, back);
    const int64_t lines = to[0] * to[1];
    int pieces = 1, pixels = (int)to[2];
    while (pixels > 1 &&
           (lines * pieces < BLOCKS || pixels > WIDEST || pixels * across.window + down.window > WEIGHTS)) {
        pieces++;
        pixels = (int)hm_blocks(to[2], pieces);
    }
    const int weights = pixels * across.window + down.window, items = pixels * (int)(to[3] / N);
    if (weights > WEIGHTS)
        HM_FAIL(HM_ERR_UNSUPPORTED, "resizing %d x %d to %d x %d: one pixel takes up too many others", down.in,
                across.in, down.out, across.out);
    pieces = (int)hm_blocks(to[2], pixels);
    HM_LAUNCH(c, (resample<N, X, Y>), hm_blocks(items > 0 ? lines * pieces : 0, 1), threads_for(items),
              (size_t)weights * sizeof(float), (Y *)c->out[0], (const X *)c->in[0], down, across, hm_divide_by(pieces),
              hm_divide_by(to[1]), (int)to[2], pixels, from[1], from[2], to[3]);
    return HM_OK;
}

template <typename X, typename Y> static hm_status launch_for(const hm_call *c, bool back) {
    constexpr int words = sizeof(X) == 2 ? 8 : 4;
    return hm_dim(c->node->in[0], 3) % words == 0 ? launch<words, X, Y>(c, back) : launch<1, X, Y>(c, back);
}

static hm_status run(const hm_call *c, bool back) {
    HM_BY_TYPE(c->node->in[0]->dtype, X, HM_BY_TYPE(c->node->out[0]->dtype, Y, return launch_for<X, Y>(c, back)));
    return HM_OK;
}

hm_status resize_cuda(const hm_call *c) {
    return run(c, false);
}

hm_status resize_back_cuda(const hm_call *c) {
    return run(c, true);
}
