/* cuda.cu: match_cost on the GPU. One kernel samples mask features and targets' labels at the points (labels as bits);
 * a product makes the logits of all queries at all points, for as many images at a time as the cache holds; then a warp
 * for each query adds up its costs, 32 targets at a time, with its logits in registers. Work follows the images' valid
 * targets. Images with a cost that is not finite are repaired by one more kernel. */
#include <float.h>

#include "device/cuda/lt_gemm.h"
#include "ops/boxes.h"
#include "ops/cuda_op.cuh"
#include "ops/match_cost/match_cost_cuda.h"
#include "ops/points.h"

extern "C" HM_CUDA_DECLARE(match_cost);

#define WARPS 8
#define LANE  HM_MC_LANE

struct sizes {
    int64_t B, Q, K, T, C; /* images, queries, classes, capacity, channels */
    int64_t points, words, stride, bytes;
    int map_h, map_w, mask_h, mask_w;
};

/* ---- points */

/* to [C] = features of one image at a point. A warp. */
template <typename S, typename F>
static __device__ void sample_features(F *to, const S *map, const sizes &s, float x, float y) {
    const hm_corners k = hm_corners_at(x, y, s.map_h, s.map_w);
    const S *const a = map + k.at[0] * s.C, *const b = map + k.at[1] * s.C;
    const S *const c = map + k.at[2] * s.C, *const d = map + k.at[3] * s.C;
    const int lane = threadIdx.x % 32;
    if (s.C % 8 == 0)
        for (int64_t i = 8 * lane; i < s.C; i += 8 * 32) {
            float va[8], vb[8], vc[8], vd[8];
            hm_load<8>(a + i, va);
            hm_load<8>(b + i, vb);
            hm_load<8>(c + i, vc);
            hm_load<8>(d + i, vd);
            for (int e = 0; e < 8; e++)
                va[e] = (k.weight[0] * va[e] + k.weight[1] * vb[e]) + (k.weight[2] * vc[e] + k.weight[3] * vd[e]);
            hm_save<8>(to + i, va);
        }
    else
        for (int64_t i = lane; i < s.C; i += 32)
            to[i] = hm_narrow<F>((k.weight[0] * hm_widen(a[i]) + k.weight[1] * hm_widen(b[i])) +
                                 (k.weight[2] * hm_widen(c[i]) + k.weight[3] * hm_widen(d[i])));
}

/* bits [words] = labels of one target at the points, zeros behind; *size = how many are 1. A warp. */
static __device__ void sample_target(uint32_t *bits, int *size, const uint8_t *mask, const sizes &s, uint64_t key) {
    const int lane = threadIdx.x % 32;
    int inside = 0;
#pragma unroll 4
    for (int64_t w = 0; w < s.words; w++) {
        const int64_t p = 32 * w + lane;
        int label = 0;
        if (p < s.points)
            label = hm_mask_at(mask, s.mask_h, s.mask_w, hm_rng_uniform(key, (uint64_t)(2 * p)),
                               hm_rng_uniform(key, (uint64_t)(2 * p + 1)));
        const uint32_t word = __ballot_sync(0xFFFFFFFFu, label);
        if (lane == 0)
            bits[w] = word;
        inside += __popc(word);
    }
    if (lane == 0)
        *size = inside;
}

/* A warp for each image and point, then one for each image and target; clears bad[B]. */
template <typename S, typename F>
static __global__ void sample_points(F *sampled, uint32_t *bits, int *inside, int *bad, const S *spatial,
                                     const uint8_t *masks, const int *counts, sizes s, const hm_cuda_draw *step,
                                     int draw) {
    __shared__ uint64_t shared_key;
    if (threadIdx.x == 0)
        shared_key = hm_draw_key_of(step, draw);
    for (hm_each(b, s.B))
        bad[b] = 0;
    __syncthreads();
    const uint64_t key = shared_key;
    const int64_t warp = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32, features = s.B * s.points;
    if (warp < features) {
        const int64_t b = warp / s.points, p = warp - b * s.points;
        sample_features(sampled + warp * s.C, spatial + b * s.map_h * s.map_w * s.C, s,
                        hm_rng_uniform(key, (uint64_t)(2 * p)), hm_rng_uniform(key, (uint64_t)(2 * p + 1)));
    } else if (warp - features < s.B * s.T) {
        const int64_t i = warp - features;
        if (i % s.T < counts[i / s.T])
            sample_target(bits + i * s.words, inside + i, masks + i * s.bytes, s, key);
    }
}

/* ---- costs */

static __device__ float softplus(float x) {
    return fmaxf(x, 0) + log1pf(expf(-fabsf(x)));
}

static __device__ float class_cost(float x) {
    const float p = 1 / (1 + expf(-x)), q = 1 / (1 + expf(x));
    return 0.25f * q * q * softplus(-x) - 0.75f * p * p * softplus(x);
}

static __device__ float detection_cost(hm_in boxes, hm_in targets, int64_t box_at, int64_t target_at, float logit,
                                       hm_cost_weights w) {
    float box[4], target[4], l1 = 0;
    for (int i = 0; i < 4; i++) {
        box[i] = boxes[box_at * 4 + i];
        target[i] = targets[target_at * 4 + i];
        l1 += fabsf(box[i] - target[i]);
    }
    return w.bbox * l1 + w.cls * class_cost(logit) - w.giou * hm_box_giou(box, target);
}

/* Sum over the warp of value number lane / 4 of v[8], every lane's. */
static __device__ float sum_eight(float *v) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int half = 4; half > 0; half /= 2)
#pragma unroll
        for (int i = 0; i < half; i++) {
            const bool upper = lane & 4 * half;
            const float keep = upper ? v[i + half] : v[i], give = upper ? v[i] : v[i + half];
            v[i] = keep + __shfl_xor_sync(0xFFFFFFFFu, give, 4 * half);
        }
    v[0] += __shfl_xor_sync(0xFFFFFFFFu, v[0], 2);
    return v[0] + __shfl_xor_sync(0xFFFFFFFFu, v[0], 1);
}

/* What a query's points add up to: for all targets, and for the lane's own one. With label t the cross-entropy of a
 * logit l is softplus(l) - t l. */
struct point_sums {
    float plus, area;   /* of softplus(l), of the sigmoid s */
    float inside, both; /* of l and of s inside the target */
};

/* *a += x and *b += y where the label is set: three instructions, where selecting what to add takes more. */
static __device__ void add_inside(uint32_t word, uint32_t own_bit, float *a, float x, float *b, float y) {
#ifdef HM_EMULATED
    if (word & own_bit) {
        *a += x;
        *b += y;
    }
#else
    asm("{\n\t.reg .pred inside;\n\t.reg .b32 bit;\n\t"
        "and.b32 bit, %2, %3;\n\tsetp.ne.u32 inside, bit, 0;\n\t"
        "@inside add.f32 %0, %0, %4;\n\t@inside add.f32 %1, %1, %5;\n\t}"
        : "+f"(*a), "+f"(*b)
        : "r"(word), "r"(own_bit), "f"(x), "f"(y));
#endif
}

/* Adds one step of points; n <= 32 targets, whose labels of this step begin at bits, `words` apart. */
static __device__ void add_points(point_sums *r, const float *l, float bias, int64_t points, const uint32_t *bits,
                                  int64_t words, int n) {
    const int lane = threadIdx.x % 32;
    const uint32_t own_bit = 1u << lane;
    float logit[LANE], sig[LANE];
#pragma unroll
    for (int i = 0; i < LANE; i++) {
        const bool there = 32 * i + lane < points;
        const float v = there ? l[32 * i + lane] + bias : 0, e = expf(-fabsf(v)), near = 1 / (1 + e);
        logit[i] = v;
        sig[i] = there ? v >= 0 ? near : e * near : 0;
        r->plus += there ? fmaxf(v, 0) + log1pf(e) + 0.0f * v : 0; /* not finite where l is not */
        r->area += sig[i];
    }
    for (int first = 0; first < n; first += 4) {
        float v[8] = {0, 0, 0, 0, 0, 0, 0, 0};
#pragma unroll
        for (int k = 0; k < 4; k++) {
            const uint4 *const label = (const uint4 *)(bits + min(first + k, n - 1) * words);
#pragma unroll
            for (int i = 0; i < LANE; i += 4) {
                const uint4 four = label[i / 4];
                const uint32_t word[4] = {four.x, four.y, four.z, four.w};
#pragma unroll
                for (int e = 0; e < 4; e++)
                    add_inside(word[e], own_bit, &v[k], logit[i + e], &v[4 + k], sig[i + e]);
            }
        }
        const float sum = sum_eight(v);
        const int own = (lane - first) & 3;
        const float inside = __shfl_sync(0xFFFFFFFFu, sum, 4 * own);
        const float both = __shfl_sync(0xFFFFFFFFu, sum, 16 + 4 * own);
        if (lane >= first && lane < first + 4) {
            r->inside += inside;
            r->both += both;
        }
    }
}

/* The inputs that cost_rows reads. */
struct operands {
    hm_in logits, boxes, targets, bias;
    const int *counts, *labels;
    const float *mask_logits; /* [images, Q, stride] from image `first` on, without the bias */
    const uint32_t *bits;
    const int *inside;
};

/* Both mask costs of a query and the lane's target, of n from number `from` (counted over the batch) on. A warp. */
static __device__ float mask_cost(const operands &o, const float *l, int64_t from, int n, const sizes &s,
                                  hm_cost_weights w) {
    const float bias = o.bias[0];
    const int lane = threadIdx.x % 32;
    point_sums r = {0, 0, 0, 0};
    for (int64_t p = 0; p < s.points; p += HM_MC_STEP)
        add_points(&r, l + p, bias, s.points - p, o.bits + from * s.words + p / 32, s.words, n);
    const float plus = hm_warp_sum(r.plus), area = hm_warp_sum(r.area);
    const float size = lane < n ? (float)o.inside[from + lane] : 0;
    const float ce = (plus - r.inside) / (float)s.points, dice = 1 - (2 * r.both + 1) / (area + size + 1);
    return w.mask_ce * ce + w.mask_dice * dice;
}

/* cost [B, Q, T] of the images from `first` on (grid y): a warp for each query, a lane for each target. */
template <bool MASKS>
static __global__ void __launch_bounds__(WARPS * 32)
    cost_rows(float *cost, int *bad, operands o, sizes s, int64_t first, hm_cost_weights w) {
    const int64_t q = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32, b = first + blockIdx.y, row = b * s.Q + q;
    const int lane = threadIdx.x % 32, count = min(max(o.counts[b], 0), (int)s.T);
    if (q >= s.Q)
        return;
    bool finite = true;
    for (int t0 = 0; t0 < s.T; t0 += 32) {
        const int t = t0 + lane, n = min(count - t0, 32);
        float masks = 0, v = 0;
        if (MASKS && n > 0)
            masks = mask_cost(o, o.mask_logits + (blockIdx.y * s.Q + q) * s.stride, b * s.T + t0, n, s, w);
        if (lane < n) {
            const int label = o.labels[b * s.T + t];
            const float logit = label >= 0 && label < s.K ? o.logits[row * s.K + label] : 0;
            v = detection_cost(o.boxes, o.targets, row, b * s.T + t, logit, w) + masks;
            finite = finite && fabsf(v) <= FLT_MAX;
        }
        if (t < s.T)
            cost[row * s.T + t] = v;
    }
    if (!finite)
        bad[b] = 1; /* by whoever, always the same */
}

/* Replaces what is not finite in an image's valid costs, as match_cost.h says. A block for each image. */
static __global__ void repair(float *cost, const int *bad, const int *counts, sizes s) {
    __shared__ float part[2][32];
    const int64_t b = blockIdx.x;
    if (!bad[b])
        return;
    cost += b * s.Q * s.T;
    const int count = min(max(counts[b], 0), (int)s.T);
    float largest = -INFINITY, magnitude = 0;
    for (int64_t i = threadIdx.x; i < s.Q * count; i += blockDim.x) {
        const float v = cost[i / count * s.T + i % count];
        if (fabsf(v) <= FLT_MAX) {
            largest = fmaxf(largest, v);
            magnitude = fmaxf(magnitude, fabsf(v));
        }
    }
    largest = hm_warp_max(largest);
    magnitude = hm_warp_max(magnitude);
    if (threadIdx.x % 32 == 0) {
        part[0][threadIdx.x / 32] = largest;
        part[1][threadIdx.x / 32] = magnitude;
    }
    __syncthreads();
    for (unsigned i = 0; i < blockDim.x / 32; i++) {
        largest = fmaxf(largest, part[0][i]);
        magnitude = fmaxf(magnitude, part[1][i]);
    }
    const float sum = largest + magnitude + 1;
    const float instead = largest == -INFINITY ? 1 : fminf(sum, FLT_MAX);
    for (int64_t i = threadIdx.x; i < s.Q * count; i += blockDim.x) {
        float *const at = cost + i / count * s.T + i % count;
        if (!(fabsf(*at) <= FLT_MAX))
            *at = instead;
    }
}

/* ---- host side */

static sizes sizes_of(const hm_node *n, const hm_match_cost_room *r) {
    const hm_match_cost_attr *const a = (const hm_match_cost_attr *)n->attr;
    const bool masks = n->n_in == MC_INPUTS;
    sizes s;
    s.B = hm_dim(n->in[MC_LOGITS], 0);
    s.Q = hm_dim(n->in[MC_LOGITS], 1);
    s.K = hm_dim(n->in[MC_LOGITS], 2);
    s.T = hm_dim(n->in[MC_LABELS], 1);
    s.C = masks ? hm_dim(n->in[MC_QUERY], 2) : 0;
    s.points = a->points;
    s.words = r->words;
    s.stride = r->stride;
    s.bytes = masks ? hm_dim(n->in[MC_MASKS], 2) : 0;
    s.map_h = (int)a->map_h;
    s.map_w = (int)a->map_w;
    s.mask_h = (int)a->mask_h;
    s.mask_w = (int)a->mask_w;
    return s;
}

static hm_status sample(const hm_call *c, const hm_match_cost_room *r, sizes s, int *bad) {
    const hm_node *const n = c->node;
    const unsigned blocks = hm_blocks(s.B * (s.points + s.T), WARPS);
    char *const work = (char *)c->work;
    HM_BY_TYPE(n->in[MC_SPATIAL]->dtype, S, HM_BY_TYPE(n->in[MC_QUERY]->dtype, F, {
                   HM_LAUNCH(c, (sample_points<S, F>), blocks, WARPS * 32, 0, (F *)(work + r->sampled),
                             (uint32_t *)(work + r->bits), (int *)(work + r->sizes), bad, (const S *)c->in[MC_SPATIAL],
                             (const uint8_t *)c->in[MC_MASKS], (const int *)c->in[MC_COUNTS], s, c->draw,
                             ((const hm_match_cost_attr *)n->attr)->draw);
               }));
    return HM_OK;
}

/* Logits of `images` images from `first` on. */
static hm_status multiply(const hm_call *c, const hm_match_cost_room *r, sizes s, int64_t first, int64_t images) {
    const hm_dtype type = c->node->in[MC_QUERY]->dtype;
    const size_t item = hm_dtype_size(type);
    hm_cuda_gemm g = hm_cuda_gemm_of(false, true, s.Q, s.points, s.C, type, HM_F32);
    g.ldc = s.stride;
    g.batch = images;
    g.stride_a = s.Q * s.C;
    g.stride_b = s.points * s.C;
    g.stride_c = s.Q * s.stride;
    g.tf32 = c->run->tf32;
    const char *const query = (const char *)c->in[MC_QUERY] + (size_t)(first * g.stride_a) * item;
    const char *const sampled = (const char *)c->work + r->sampled + (size_t)(first * g.stride_b) * item;
    return hm_cuda_gemm_run(c->cuda, &g, query, sampled, NULL, (char *)c->work + r->logits);
}

hm_status match_cost_cuda(const hm_call *c) {
    const hm_cost_weights weight = ((const hm_match_cost_attr *)c->node->attr)->weight;
    const bool masks = c->node->n_in == MC_INPUTS;
    const hm_match_cost_room r = hm_match_cost_layout(c->node);
    const sizes s = sizes_of(c->node, &r);
    char *const work = (char *)c->work;
    float *const cost = (float *)c->out[0];
    int *const bad = (int *)(work + r.bad);
    operands o = {hm_input(c, MC_LOGITS),           hm_input(c, MC_BOXES),
                  hm_input(c, MC_TARGETS),          {NULL, HM_F32},
                  (const int *)c->in[MC_COUNTS],    (const int *)c->in[MC_LABELS],
                  (const float *)(work + r.logits), (const uint32_t *)(work + r.bits),
                  (const int *)(work + r.sizes)};
    if (s.B * s.Q * s.T == 0)
        return HM_OK;
    if (!masks) {
        HM_TRY(hm_cuda_fill(c->cuda, bad, 0, (size_t)s.B * sizeof *bad));
        HM_LAUNCH(c, cost_rows<false>, dim3(hm_blocks(s.Q, WARPS), (unsigned)s.B), WARPS * 32, 0, cost, bad, o, s,
                  (int64_t)0, weight);
    } else {
        o.bias = hm_input(c, MC_BIAS);
        HM_TRY(sample(c, &r, s, bad));
        for (int64_t b = 0; b < s.B; b += r.images) {
            const int64_t images = s.B - b < r.images ? s.B - b : r.images;
            HM_TRY(multiply(c, &r, s, b, images));
            HM_LAUNCH(c, cost_rows<true>, dim3(hm_blocks(s.Q, WARPS), (unsigned)images), WARPS * 32, 0, cost, bad, o, s,
                      b, weight);
        }
    }
    HM_LAUNCH(c, repair, (unsigned)s.B, 512, 0, cost, bad, o.counts, s);
    return HM_OK;
}
