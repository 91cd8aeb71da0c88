/* cpu.c: convolution as matrix products over blocks of pixels. The block's receptive fields are gathered into rows of
 * k*k*channels (a copy that costs a few percent of the product when channels are last), and oneDNN multiplies. Unlike
 * its convolution primitives this gives the same bits for every number of threads. */
#include <omp.h>
#include <string.h>

#include "device/cpu/gemm.h"
#include "ops/conv2d/conv2d_attr.h"

HM_CPU_DECLARE(conv2d);
HM_CPU_DECLARE(conv2d_dw);
HM_CPU_DECLARE(conv2d_dx);

static hm_status refused(void) {
    HM_FAIL(HM_ERR_INTERNAL, "oneDNN refused a matrix product");
}

static int64_t smaller(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* The input pixel under tap (ky, kx) of output pixel p, as an index into [B, H, W]; -1 in the padding. */
static int64_t input_under(const hm_conv2d_attr *a, int64_t p, int64_t ky, int64_t kx) {
    const int64_t b = p / (a->ho * a->wo), at = p % (a->ho * a->wo);
    const int64_t y = at / a->wo * a->stride - a->pad + ky, x = at % a->wo * a->stride - a->pad + kx;
    return y >= 0 && y < a->h && x >= 0 && x < a->w ? (b * a->h + y) * a->w + x : -1;
}

/* The output pixel whose tap (ky, kx) lies on input pixel p, as an index into [B, Ho, Wo]; -1 if there is none. */
static int64_t output_over(const hm_conv2d_attr *a, int64_t p, int64_t ky, int64_t kx) {
    const int64_t b = p / (a->h * a->w), at = p % (a->h * a->w);
    const int64_t y = at / a->w + a->pad - ky, x = at % a->w + a->pad - kx;
    if (y < 0 || x < 0 || y % a->stride != 0 || x % a->stride != 0 || y / a->stride >= a->ho || x / a->stride >= a->wo)
        return -1;
    return (b * a->ho + y / a->stride) * a->wo + x / a->stride;
}

typedef int64_t (*lookup)(const hm_conv2d_attr *a, int64_t p, int64_t ky, int64_t kx);

static void copy_pixel(float *to, const float *map, int64_t pixel, int64_t channels) {
    if (pixel < 0)
        memset(to, 0, (size_t)channels * sizeof *to);
    else
        memcpy(to, map + pixel * channels, (size_t)channels * sizeof *to);
}

/* rows [n, k*k*channels] for pixels first.. */
static void gather(const hm_conv2d_attr *a, lookup find, const float *map, int64_t channels, int64_t first, int64_t n,
                   float *rows) {
    for (int64_t p = first; p < first + n; p++)
        for (int64_t ky = 0; ky < a->k; ky++)
            for (int64_t kx = 0; kx < a->k; kx++, rows += channels)
                copy_pixel(rows, map, find(a, p, ky, kx), channels);
}

/* out [pixels, to] = gathered rows of map times weight [to, k*k*from]. */
static hm_status convolve(const hm_call *c, lookup find, const float *map, int64_t from, int64_t to, int64_t pixels,
                          const float *weight, float *rows) {
    const hm_conv2d_attr *const a = c->node->attr;
    const int64_t row = a->k * a->k * from, block = hm_conv2d_block(row);
    float *const out = c->out[0];
    bool ok = true;
#pragma omp parallel for num_threads(c->run->threads) schedule(dynamic) reduction(&& : ok)
    for (int64_t p = 0; p < pixels; p += block) {
        float *const mine = rows + omp_get_thread_num() * block * row;
        const int64_t n = smaller(block, pixels - p);
        gather(a, find, map, from, p, n, mine);
        ok = hm_gemm_serial(false, true, n, to, row, 1, mine, row, weight, row, 0, out + p * to, to) && ok;
    }
    return ok ? HM_OK : refused();
}

hm_status HM_CPU(conv2d)(const hm_call *c) {
    const hm_conv2d_attr *const a = c->node->attr;
    const int64_t taps = a->k * a->k, count = a->co * a->ci * taps;
    const float *const w = c->in[1];
    float *const turned = c->work; /* [Co, k, k, Ci] */
    for (int64_t o = 0; o < a->co; o++)
        for (int64_t t = 0; t < taps; t++)
            for (int64_t i = 0; i < a->ci; i++)
                turned[(o * taps + t) * a->ci + i] = w[(o * a->ci + i) * taps + t];
    return convolve(c, input_under, c->in[0], a->ci, a->co, a->batch * a->ho * a->wo, turned, turned + count);
}

hm_status HM_CPU(conv2d_dx)(const hm_call *c) {
    const hm_conv2d_attr *const a = c->node->attr;
    const int64_t taps = a->k * a->k, count = a->co * a->ci * taps;
    const float *const w = c->in[1];
    float *const turned = c->work; /* [Ci, k, k, Co] */
    for (int64_t i = 0; i < a->ci; i++)
        for (int64_t t = 0; t < taps; t++)
            for (int64_t o = 0; o < a->co; o++)
                turned[(i * taps + t) * a->co + o] = w[(o * a->ci + i) * taps + t];
    return convolve(c, output_over, c->in[0], a->co, a->ci, a->batch * a->h * a->w, turned, turned + count);
}

/* One tap of some output channels: dw[o.., :, tap] = sum over pixels of dy[p, o] x[under(p), :]. sum: [channels, Ci];
 * rows: [HM_CONV2D_DW_PIXELS, Ci]. */
static bool tap_back(const hm_call *c, int64_t tap, int64_t o, int64_t channels, float *sum, float *rows) {
    const hm_conv2d_attr *const a = c->node->attr;
    const int64_t pixels = a->batch * a->ho * a->wo, taps = a->k * a->k;
    const float *const dy = c->in[0], *const x = c->in[1];
    float *const dw = c->out[0];
    bool ok = true;
    memset(sum, 0, (size_t)(channels * a->ci) * sizeof *sum);
    for (int64_t p = 0; p < pixels && ok; p += HM_CONV2D_DW_PIXELS) {
        const int64_t n = smaller(HM_CONV2D_DW_PIXELS, pixels - p);
        for (int64_t i = 0; i < n; i++)
            copy_pixel(rows + i * a->ci, x, input_under(a, p + i, tap / a->k, tap % a->k), a->ci);
        ok = hm_gemm_serial(true, false, channels, a->ci, n, 1, dy + p * a->co + o, a->co, rows, a->ci, 1, sum, a->ci);
    }
    for (int64_t j = 0; j < channels; j++)
        for (int64_t i = 0; i < a->ci; i++)
            dw[((o + j) * a->ci + i) * taps + tap] = sum[j * a->ci + i];
    return ok;
}

hm_status HM_CPU(conv2d_dw)(const hm_call *c) {
    const hm_conv2d_attr *const a = c->node->attr;
    const int64_t groups = (a->co + HM_CONV2D_DW_CHANNELS - 1) / HM_CONV2D_DW_CHANNELS;
    const int64_t scratch = (HM_CONV2D_DW_PIXELS + HM_CONV2D_DW_CHANNELS) * a->ci;
    bool ok = true;
#pragma omp parallel for num_threads(c->run->threads) schedule(dynamic) reduction(&& : ok)
    for (int64_t t = 0; t < a->k * a->k * groups; t++) {
        float *const sum = (float *)c->work + omp_get_thread_num() * scratch;
        const int64_t o = t % groups * HM_CONV2D_DW_CHANNELS;
        ok = tap_back(c, t / groups, o, smaller(HM_CONV2D_DW_CHANNELS, a->co - o), sum,
                      sum + HM_CONV2D_DW_CHANNELS * a->ci) &&
             ok;
    }
    return ok ? HM_OK : refused();
}
