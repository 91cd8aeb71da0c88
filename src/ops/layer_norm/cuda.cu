/* cuda.cu: layer normalisation on the GPU: a warp for each row; sums over rows (dgain, dbias) by blocks of rows, added
 * up in a fixed order. Row statistics are two-pass and in fp32. */
#include "ops/cuda_op.cuh"
#include "ops/layer_norm/layer_norm_attr.h"

extern "C" HM_CUDA_DECLARE(hm_layer_norm);
extern "C" HM_CUDA_DECLARE(hm_layer_norm_back);

#define WARPS 4 /* rows of a block */

/* y may be x: a lane reads each of its numbers before it writes it. */
template <typename X, typename Y>
static __global__ void forward(Y *y, float *means, float *scales, const X *x, hm_in gain, hm_in bias, float eps,
                               int64_t rows, int64_t channels) {
    const int64_t row = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32;
    const int lane = threadIdx.x % 32;
    if (row >= rows)
        return;
    x += row * channels;
    y += row * channels;
    float sum = 0, squares = 0;
    for (int64_t i = lane; i < channels; i += 32)
        sum += hm_widen(x[i]);
    const float mean = hm_warp_sum(sum) / (float)channels;
    for (int64_t i = lane; i < channels; i += 32) {
        const float d = hm_widen(x[i]) - mean;
        squares += d * d;
    }
    const float scale = rsqrtf(hm_warp_sum(squares) / (float)channels + eps);
    for (int64_t i = lane; i < channels; i += 32)
        y[i] = hm_narrow<Y>((hm_widen(x[i]) - mean) * scale * gain[i] + bias[i]);
    if (lane == 0) {
        means[row] = mean;
        scales[row] = scale;
    }
}

hm_status hm_layer_norm_cuda(const hm_call *c) {
    const hm_tensor *const x = c->node->in[0];
    const float eps = ((const hm_layer_norm_attr *)c->node->attr)->eps;
    const int64_t channels = hm_dim(x, -1), rows = hm_rows(x, 1);
    HM_BY_TYPE(x->dtype, X, HM_BY_TYPE(c->node->out[0]->dtype, Y, {
                   HM_LAUNCH(c, (forward<X, Y>), hm_blocks(rows, WARPS), WARPS * 32, 0, (Y *)c->out[0],
                             (float *)c->out[1], (float *)c->out[2], (const X *)c->in[0], hm_input(c, 1),
                             hm_input(c, 2), eps, rows, channels);
               }));
    return HM_OK;
}

/* dx = (h - mean(h) - xhat mean(h xhat)) / std, h = dout gain; dx may be dout. */
static __global__ void backward_x(hm_out dx, hm_in dout, hm_in x, hm_in mean, hm_in scale, hm_in gain, int64_t rows,
                                  int64_t channels) {
    const int64_t row = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32, at = row * channels;
    const int lane = threadIdx.x % 32;
    if (row >= rows)
        return;
    const float m = mean[row], s = scale[row];
    float sum = 0, dot = 0;
    for (int64_t i = lane; i < channels; i += 32) {
        const float h = dout[at + i] * gain[i];
        sum += h;
        dot += h * ((x[at + i] - m) * s);
    }
    const float a = hm_warp_sum(sum) / (float)channels, b = hm_warp_sum(dot) / (float)channels;
    for (int64_t i = lane; i < channels; i += 32)
        dx.put(at + i, (dout[at + i] * gain[i] - a - (x[at + i] - m) * s * b) * s);
}

/* parts [parts, 2, C]: sums over the rows of one part. Before backward_x, which may overwrite dout. */
static __global__ void affine_parts(float *parts, hm_in dout, hm_in x, hm_in mean, hm_in scale, int64_t rows,
                                    int64_t channels) {
    const int64_t channel = (int64_t)blockIdx.x * blockDim.x + threadIdx.x, part = blockIdx.y;
    if (channel >= channels)
        return;
    float gain = 0, bias = 0;
    for (int64_t r = part * rows / gridDim.y; r < (part + 1) * rows / gridDim.y; r++) {
        const float d = dout[r * channels + channel];
        gain += d * ((x[r * channels + channel] - mean[r]) * scale[r]);
        bias += d;
    }
    parts[part * 2 * channels + channel] = gain;
    parts[(part * 2 + 1) * channels + channel] = bias;
}

static __global__ void affine_join(hm_out dgain, hm_out dbias, const float *parts, int n, int64_t channels) {
    for (hm_each(i, channels)) {
        float gain = 0, bias = 0;
        for (int p = 0; p < n; p++) {
            gain += parts[p * 2 * channels + i];
            bias += parts[(p * 2 + 1) * channels + i];
        }
        dgain.put(i, gain);
        dbias.put(i, bias);
    }
}

hm_status hm_layer_norm_back_cuda(const hm_call *c) {
    const hm_layer_norm_back_attr *const attr = (const hm_layer_norm_back_attr *)c->node->attr;
    const int64_t channels = hm_dim(c->node->in[0], -1), rows = hm_rows(c->node->in[0], 1);
    const hm_in dout = hm_input(c, 0), x = hm_input(c, 1), mean = hm_input(c, 2), scale = hm_input(c, 3);
    if (attr->want_affine) {
        const int parts = hm_layer_norm_cuda_parts(rows);
        float *const sums = (float *)c->work;
        HM_LAUNCH(c, affine_parts, dim3(hm_blocks(channels, 32), (unsigned)parts), 32, 0, sums, dout, x, mean, scale,
                  rows, channels);
        HM_LAUNCH(c, affine_join, hm_blocks(channels, 128), 128, 0, hm_output(c, attr->want_x ? 1 : 0),
                  hm_output(c, attr->want_x ? 2 : 1), sums, parts, channels);
    }
    if (attr->want_x)
        HM_LAUNCH(c, backward_x, hm_blocks(rows, WARPS), WARPS * 32, 0, hm_output(c, 0), dout, x, mean, scale,
                  hm_input(c, 4), rows, channels);
    return HM_OK;
}
