/* cuda.cu: convolution on the GPU as products: the receptive fields of some images' pixels are copied into rows of
 * k*k*channels numbers, which cuBLASLt multiplies. The gradient of the input is a convolution of dy with the weight
 * turned around, that of the weight a product of dy and the rows of x. Copies do not look at numbers: they move units
 * of 16 bytes, or of one number where channels do not come in such units. */
#include "ops/conv2d/conv2d_attr.h"
#include "ops/product.cuh"

extern "C" HM_CUDA_DECLARE(conv2d);
extern "C" HM_CUDA_DECLARE(conv2d_dw);
extern "C" HM_CUDA_DECLARE(conv2d_dx);

#define THREADS 256

/* Along one axis: where the map of `size` has what tap `tap` of row pixel `at` reads; -1 outside. BACK: the map is dy,
 * the rows are for pixels of x. */
template <bool BACK> static __device__ int under(int at, int tap, int stride, int pad, int size) {
    const int t = BACK ? at + pad - tap : at * stride - pad + tap;
    if (t < 0 || (BACK && t % stride != 0))
        return -1;
    const int m = BACK ? t / stride : t;
    return m < size ? m : -1;
}

/* to [Co, k, k, Ci] or, with BACK, [Ci, k, k, Co] = w [Co, Ci, k, k], by the first `blocks` blocks. */
template <bool BACK> static __device__ void turn_weight(hm_out to, hm_in w, const hm_conv2d_attr &a, unsigned blocks) {
    const int taps = (int)(a.k * a.k), ci = (int)a.ci, co = (int)a.co, last = BACK ? co : ci;
    for (int i = (int)(blockIdx.x * THREADS + threadIdx.x); i < co * taps * ci; i += (int)(blocks * THREADS)) {
        const int inner = i % last, tap = i / last % taps, outer = i / last / taps;
        const int o = BACK ? inner : outer, c = BACK ? outer : inner;
        to.put(i, w[(o * ci + c) * taps + tap]);
    }
}

/* rows [pixels, K, K, units] of map [images, .., .., units], a thread for each unit of a pixel. K: a.k, or 0 where it
 * is not a constant. The first `turning` blocks turn the weight. */
template <typename U, bool BACK, int K>
static __global__ void stage(U *__restrict__ rows, const U *__restrict__ map, hm_conv2d_attr a, unsigned units,
                             int64_t pixels, hm_out turned, hm_in w, unsigned turning) {
    if (blockIdx.x < turning) {
        turn_weight<BACK>(turned, w, a, turning);
        return;
    }
    const unsigned i = (blockIdx.x - turning) * THREADS + threadIdx.x;
    if (i >= pixels * units)
        return;
    const int k = K > 0 ? K : (int)a.k, stride = (int)a.stride, pad = (int)a.pad;
    const int wide = (int)(BACK ? a.w : a.wo), high = (int)(BACK ? a.h : a.ho);
    const int map_wide = (int)(BACK ? a.wo : a.w), map_high = (int)(BACK ? a.ho : a.h);
    const int pixel = (int)(i / units), at = pixel % (high * wide), y = at / wide, x = at % wide;
    map += (int64_t)(pixel / (high * wide)) * map_high * map_wide * units + i % units;
    rows += (int64_t)pixel * k * k * units + i % units;
#pragma unroll
    for (int ky = 0; ky < k; ky++) {
        const int my = under<BACK>(y, ky, stride, pad, map_high);
#pragma unroll
        for (int kx = 0; kx < k; kx++) {
            const int mx = under<BACK>(x, kx, stride, pad, map_wide);
            U v = {};
            if (my >= 0 && mx >= 0)
                v = map[(int64_t)(my * map_wide + mx) * units];
            rows[(int64_t)(ky * k + kx) * units] = v;
        }
    }
}

/* Images first.. of a map, in rows. */
typedef struct staging {
    void *rows;
    const void *map;
    int64_t images, row_pixels, map_pixels, channels; /* pixels of one image */
    hm_dtype type;
    hm_out turned;
    hm_in weight;
    bool turn;
} staging;

template <typename U, bool BACK> static hm_status run_stage_of(const hm_call *c, const staging *s) {
    const hm_conv2d_attr *const a = (const hm_conv2d_attr *)c->node->attr;
    const unsigned units = (unsigned)(s->channels * (int64_t)hm_dtype_size(s->type) / (int64_t)sizeof(U));
    const unsigned turning = s->turn ? hm_blocks(a->co * a->ci * a->k * a->k, 4 * THREADS) : 0;
    const int64_t pixels = s->images * s->row_pixels;
    const unsigned grid = turning + hm_blocks(pixels * units, THREADS);
    if (a->k == 3)
        HM_LAUNCH(c, (stage<U, BACK, 3>), grid, THREADS, 0, (U *)s->rows, (const U *)s->map, *a, units, pixels,
                  s->turned, s->weight, turning);
    else
        HM_LAUNCH(c, (stage<U, BACK, 0>), grid, THREADS, 0, (U *)s->rows, (const U *)s->map, *a, units, pixels,
                  s->turned, s->weight, turning);
    return HM_OK;
}

template <bool BACK> static hm_status run_stage(const hm_call *c, const staging *s) {
    if (s->channels * (int64_t)hm_dtype_size(s->type) % 16 == 0 && hm_aligned(s->map))
        return run_stage_of<uint4, BACK>(c, s);
    return s->type == HM_F32 ? run_stage_of<uint32_t, BACK>(c, s) : run_stage_of<uint16_t, BACK>(c, s);
}

static int64_t at_most(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* out [pixels, to] = rows of the map (input 0, `from` channels) times the turned weight (input 1). */
template <bool BACK>
static hm_status convolve(const hm_call *c, int64_t from, int64_t to, int64_t map_pixels, int64_t row_pixels) {
    const hm_conv2d_attr *const a = (const hm_conv2d_attr *)c->node->attr;
    const hm_conv2d_room r = hm_conv2d_room_of(c->node, 0, row_pixels, from);
    const int64_t row = a->k * a->k * from, item = (int64_t)hm_dtype_size(r.type);
    float *const work = (float *)c->work;
    char *const out = (char *)(r.narrow ? work + r.result : c->out[0]);
    staging s = {work + r.rows,  c->in[0], 0, row_pixels, map_pixels, from, r.type, {work + r.other, r.type},
                 hm_input(c, 1), true};
    if (r.widen_map)
        HM_TRY(hm_widened(c, c->node->in[0], work + r.map, &s.map));
    for (int64_t first = 0; first < a->batch; first += r.images) {
        s.images = at_most(r.images, a->batch - first);
        HM_TRY(run_stage<BACK>(c, &s));
        hm_cuda_gemm g = hm_cuda_gemm_of(false, true, s.images * row_pixels, to, row, r.type, r.out);
        g.tf32 = c->run->tf32;
        HM_TRY(hm_cuda_gemm_run(c->cuda, &g, s.rows, s.turned.p, NULL,
                                out + first * row_pixels * to * (int64_t)hm_dtype_size(r.out)));
        s.map = (const char *)s.map + s.images * map_pixels * from * item;
        s.turn = false;
    }
    return r.narrow ? hm_convert(c, hm_output(c, 0), hm_in{out, HM_F32}, hm_count(c->node->out[0])) : HM_OK;
}

hm_status conv2d_cuda(const hm_call *c) {
    const hm_conv2d_attr *const a = (const hm_conv2d_attr *)c->node->attr;
    return convolve<false>(c, a->ci, a->co, a->h * a->w, a->ho * a->wo);
}

hm_status conv2d_dx_cuda(const hm_call *c) {
    const hm_conv2d_attr *const a = (const hm_conv2d_attr *)c->node->attr;
    return convolve<true>(c, a->co, a->ci, a->ho * a->wo, a->h * a->w);
}

/* dw [Co, Ci, k, k] = sums [Co, k, k, Ci]. */
static __global__ void turn_back(hm_out dw, const float *sums, hm_conv2d_attr a) {
    const int taps = (int)(a.k * a.k), ci = (int)a.ci;
    for (hm_each(i, a.co * ci * taps)) {
        const int at = (int)i, tap = at % taps, c = at / taps % ci, o = at / taps / ci;
        dw.put(i, sums[(o * taps + tap) * ci + c]);
    }
}

hm_status conv2d_dw_cuda(const hm_call *c) {
    const hm_conv2d_attr *const a = (const hm_conv2d_attr *)c->node->attr;
    const int64_t out = a->ho * a->wo, in = a->h * a->w, row = a->k * a->k * a->ci;
    const hm_conv2d_room r = hm_conv2d_room_of(c->node, 1, out, a->ci);
    const int64_t item = (int64_t)hm_dtype_size(r.type);
    float *const work = (float *)c->work, *const sums = work + r.result;
    const void *dy = c->in[0];
    staging s = {work + r.rows, c->in[1], 0, out, in, a->ci, r.type, {NULL, HM_F32}, {NULL, HM_F32}, false};
    if (r.widen_map)
        HM_TRY(hm_widened(c, c->node->in[1], work + r.map, &s.map));
    if (r.widen_other)
        HM_TRY(hm_widened(c, c->node->in[0], work + r.other, &dy));
    for (int64_t first = 0; first == 0 || first < a->batch; first += r.images) {
        s.images = at_most(r.images, a->batch - first);
        HM_TRY(run_stage<false>(c, &s));
        hm_cuda_gemm g = hm_cuda_gemm_of(true, false, a->co, row, s.images * out, r.type, HM_F32);
        g.beta = first > 0 ? 1 : 0;
        g.tf32 = c->run->tf32;
        HM_TRY(hm_cuda_gemm_run(c->cuda, &g, dy, s.rows, NULL, sums));
        s.map = (const char *)s.map + s.images * in * a->ci * item;
        dy = (const char *)dy + s.images * out * a->co * item;
    }
    HM_LAUNCH(c, turn_back, hm_blocks_strided(a->co * row, THREADS), THREADS, 0, hm_output(c, 0), sums, *a);
    return HM_OK;
}
