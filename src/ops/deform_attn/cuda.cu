/* cuda.cu: deformable attention on the GPU. Four lanes take a query's head: with 16 channels a head, as every shipped
 * model has, each lane holds four of them and a corner is one contiguous read. A block owns whole queries, so that the
 * gradients to offsets, logits and boxes need no atomics.
 *
 * The gradient to the values is scattered into a sum for each of them with atomic additions: of floats, or, where runs
 * must repeat bit by bit, of 64-bit integers, which add up to the same in any order. Their unit is set by the largest
 * |dout|, which bounds every term, so that Q*S terms cannot overflow; it leaves the sums as exact as those of floats,
 * but for numbers millions of times smaller than the largest. A term that is not finite makes the whole gradient NaN.
 */
#include "ops/cuda_op.cuh"
#include "ops/deform_attn/deform_attn_attr.h"

extern "C" HM_CUDA_DECLARE(deform_attn);
extern "C" HM_CUDA_DECLARE(deform_attn_back);

#define LANES   4   /* of a query's head */
#define THREADS 256 /* most of a block */

typedef unsigned long long fixed; /* two's complement */

struct deform_sizes {
    int queries;                /* B*Q */
    int Q, N, C, M, P, S, D, L; /* S = L*P samples of a head, D channels of a head */
    int h[4], w[4], start[4];   /* start: first token of each level */
    int per;                    /* queries of a block */
};

struct deform_inputs {
    hm_in offsets; /* [B, Q, M, S, 2] */
    hm_in logits;  /* [B, Q, M, S] */
    hm_in ref;     /* [B, Q, 4] */
    hm_in ratios;  /* [B, L, 2] */
};

/* The forward inputs begin at input `first`. */
static deform_sizes sizes_of(const hm_call *c, int first) {
    const hm_deform_attn_attr *const a = (const hm_deform_attn_attr *)c->node->attr;
    const hm_tensor *const value = c->node->in[first], *const ref = c->node->in[first + 3];
    deform_sizes z = {};
    z.Q = (int)hm_dim(ref, 1);
    z.queries = (int)hm_rows(ref, 1);
    z.N = (int)hm_dim(value, 1);
    z.C = (int)hm_dim(value, 2);
    z.M = a->heads;
    z.P = a->points;
    z.L = a->levels.n;
    z.S = z.L * z.P;
    z.D = z.C / z.M;
    for (int l = 0; l < z.L; l++) {
        z.h[l] = (int)a->levels.h[l];
        z.w[l] = (int)a->levels.w[l];
        z.start[l] = l > 0 ? z.start[l - 1] + z.h[l - 1] * z.w[l - 1] : 0;
    }
    z.per = z.M * LANES < THREADS ? THREADS / (z.M * LANES) : 1;
    return z;
}

static deform_inputs where_of(const hm_call *c, int first) {
    return deform_inputs{hm_input(c, first + 1), hm_input(c, first + 2), hm_input(c, first + 3),
                         hm_input(c, first + 4)};
}

/* Threads of a block: four for each head of its queries, in full warps. */
static unsigned threads_of(const deform_sizes &z) {
    const int want = (z.per * z.M * LANES + 31) / 32 * 32;
    return (unsigned)(want < THREADS ? want : THREADS);
}

static unsigned blocks_of(const deform_sizes &z) {
    return hm_blocks(z.queries, z.per);
}

/* One head of query n = b*Q + q. */
struct head {
    float ref[4];
    float top, sum; /* of its logits, for the softmax */
    int64_t sample; /* its first, counted over all */
    int64_t value;  /* index of its first channel at token 0 */
    int64_t ratio;  /* index of the image's first */
};

static __device__ inline head head_of(const deform_inputs &in, const deform_sizes &z, int n, int m) {
    head r;
    const int b = n / z.Q;
    r.sample = ((int64_t)n * z.M + m) * z.S;
    r.value = (int64_t)b * z.N * z.C + m * z.D;
    r.ratio = (int64_t)b * z.L * 2;
    for (int k = 0; k < 4; k++)
        r.ref[k] = in.ref[(int64_t)n * 4 + k];
    r.top = in.logits[r.sample];
    r.sum = 0;
    for (int i = 1; i < z.S; i++)
        r.top = fmaxf(r.top, in.logits[r.sample + i]);
    for (int i = 0; i < z.S; i++)
        r.sum += expf(in.logits[r.sample + i] - r.top);
    return r;
}

static __device__ inline float weight_of(const deform_inputs &in, const head &r, int i) {
    return expf(in.logits[r.sample + i] - r.top) / r.sum;
}

/* Sample i, of level l. */
struct sample {
    float weight, x, y; /* pixels */
    float rx, ry;       /* the level's ratios */
    float ox, oy;       /* the offsets, in units of the box */
};

static __device__ inline sample sample_of(const deform_inputs &in, const deform_sizes &z, const head &r, int i, int l) {
    sample s;
    const float unit = 0.5f / (float)z.P;
    s.weight = weight_of(in, r, i);
    s.rx = in.ratios[r.ratio + 2 * l];
    s.ry = in.ratios[r.ratio + 2 * l + 1];
    s.ox = in.offsets[(r.sample + i) * 2] * unit;
    s.oy = in.offsets[(r.sample + i) * 2 + 1] * unit;
    s.x = (r.ref[0] + s.ox * r.ref[2]) * s.rx * (float)z.w[l] - 0.5f;
    s.y = (r.ref[1] + s.oy * r.ref[3]) * s.ry * (float)z.h[l] - 0.5f;
    return s;
}

/* The pixels around a sample: (y, x), (y, x+1), (y+1, x), (y+1, x+1). */
struct corners {
    int at[4];    /* index from the head's first channel at token 0; -1 outside */
    float fx, fy; /* position between them, 0 to 1 */
    bool any;     /* at least one is inside */
};

static __device__ inline corners corners_of(const deform_sizes &z, const sample &s, int l) {
    corners k;
    const int w = z.w[l], h = z.h[l];
    k.any = s.x > -1 && s.y > -1 && s.x < (float)w && s.y < (float)h;
    if (!k.any)
        return k;
    const float x0 = floorf(s.x), y0 = floorf(s.y);
    const int x = (int)x0, y = (int)y0, first = (z.start[l] + y * w + x) * z.C;
    const bool left = x >= 0, right = x + 1 < w, up = y >= 0, down = y + 1 < h;
    k.fx = s.x - x0;
    k.fy = s.y - y0;
    k.at[0] = left && up ? first : -1;
    k.at[1] = right && up ? first + z.C : -1;
    k.at[2] = left && down ? first + w * z.C : -1;
    k.at[3] = right && down ? first + (w + 1) * z.C : -1;
    return k;
}

static __device__ inline void blend(const corners &k, float weight, float *out) {
    const float top = weight * (1 - k.fy), bottom = weight * k.fy;
    out[0] = top * (1 - k.fx);
    out[1] = top * k.fx;
    out[2] = bottom * (1 - k.fx);
    out[3] = bottom * k.fx;
}

/* N neighbours of a tensor whose type is known only at run time. */
template <int N> static __device__ inline void get(const hm_in &from, int64_t i, float *x) {
    HM_BY_TYPE(from.type, T, hm_load<N>((const T *)from.p + i, x));
}
template <int N> static __device__ inline void put(const hm_out &to, int64_t i, const float *x) {
    HM_BY_TYPE(to.type, T, hm_save<N>((T *)to.p + i, x));
}

/* HEAD: channels of a head, known (a lane has four of them), or 0: any number, each lane has one at a time. */
template <typename V, int HEAD>
static __global__ void __launch_bounds__(THREADS, 4)
    forward(hm_out out, const V *__restrict__ value, const __grid_constant__ deform_inputs in,
            const __grid_constant__ deform_sizes z) {
    constexpr int VEC = HEAD > 0 ? 4 : 1;
    const int D = HEAD > 0 ? HEAD : z.D, first = blockIdx.x * z.per;
    for (int t = threadIdx.x / LANES; t < z.per * z.M; t += (int)blockDim.x / LANES) {
        const int n = first + t / z.M, m = t % z.M;
        if (n >= z.queries)
            return;
        const head r = head_of(in, z, n, m);
        const V *const from = value + r.value;
        for (int c = (int)threadIdx.x % LANES * VEC; c < D; c += LANES * VEC) {
            float sum[VEC] = {};
            for (int l = 0; l < z.L; l++)
                for (int i = l * z.P; i < (l + 1) * z.P; i++) {
                    const sample s = sample_of(in, z, r, i, l);
                    const corners k = corners_of(z, s, l);
                    float four[4] = {}, none = 0;
                    if (k.any)
                        blend(k, s.weight, four);
                    else /* zero, or NaN when the weight or the position is not finite */
                        none = s.weight * (0 * s.x + 0 * s.y);
#pragma unroll
                    for (int j = 0; j < 4; j++) {
                        float v[VEC] = {};
                        if (k.any && k.at[j] >= 0)
                            hm_load<VEC>(from + k.at[j] + c, v);
#pragma unroll
                        for (int e = 0; e < VEC; e++)
                            sum[e] += four[j] * v[e] + none;
                    }
                }
            put<VEC>(out, (int64_t)n * z.C + m * D + c, sum);
        }
    }
}

hm_status deform_attn_cuda(const hm_call *c) {
    const deform_sizes z = sizes_of(c, 0);
    HM_BY_TYPE(c->node->in[0]->dtype, V, {
        if (z.D == 16)
            HM_LAUNCH(c, (forward<V, 16>), blocks_of(z), threads_of(z), 0, hm_output(c, 0), (const V *)c->in[0],
                      where_of(c, 0), z);
        else
            HM_LAUNCH(c, (forward<V, 0>), blocks_of(z), threads_of(z), 0, hm_output(c, 0), (const V *)c->in[0],
                      where_of(c, 0), z);
    });
    return HM_OK;
}

/* ---- sums */

#define INFINITE 0x7F800000u /* bits of an infinite float; a NaN's are larger */

/* Units of a fixed sum in 1, a power of two: 2^bits terms of at most `largest` (bits of a float) stay below 2^62. */
static __device__ inline float fixed_scale(unsigned largest, int bits) {
    const int exponent = (int)(largest >> 23) - 126; /* largest < 2^exponent */
    const int scale = 62 - bits - exponent;
    return ldexpf(1, scale < 126 ? scale : 126);
}

/* p [N] += x; the floats know no scale. */
template <int N> static __device__ inline void add(float *p, const float *x, float, unsigned *) {
#if !defined(HM_EMULATED) && __CUDA_ARCH__ >= 900
    if constexpr (N == 4)
        asm volatile("red.relaxed.gpu.global.add.v4.f32 [%0], {%1, %2, %3, %4};" ::"l"(__cvta_generic_to_global(p)),
                     "f"(x[0]), "f"(x[1]), "f"(x[2]), "f"(x[3])
                     : "memory");
    else
#endif
        for (int i = 0; i < N; i++)
            atomicAdd(p + i, x[i]);
}
template <int N> static __device__ inline void add(fixed *p, const float *x, float scale, unsigned *largest) {
#pragma unroll
    for (int i = 0; i < N; i++)
        if (__float_as_uint(fabsf(x[i])) < INFINITE)
            atomicAdd(p + i, (fixed)llrintf(x[i] * scale));
        else
            atomicMax(largest, INFINITE);
}

/* *largest = bits of max |x|, NaN above all; 0 before. */
static __global__ void find_largest(unsigned *largest, hm_in x, int64_t n) {
    unsigned most = 0;
    for (hm_each(i, n))
        most = max(most, __float_as_uint(fabsf(x[i])));
    for (int lane = 16; lane > 0; lane >>= 1)
        most = max(most, __shfl_xor_sync(0xFFFFFFFFu, most, lane));
    if (threadIdx.x % 32 == 0)
        atomicMax(largest, most);
}

/* to [n] = sums in the tensor's type; n is a multiple of N. */
template <int N> static __global__ void settle(hm_out to, const float *sums, int64_t n) {
    for (hm_each(i, n / N)) {
        float x[N];
        hm_load<N>(sums + i * N, x);
        put<N>(to, i * N, x);
    }
}
static __global__ void settle_fixed(hm_out to, const fixed *sums, const unsigned *largest, int bits, int64_t n) {
    const float unit = *largest < INFINITE ? 1 / fixed_scale(*largest, bits) : NAN;
    for (hm_each(i, n))
        to.put(i, (float)(long long)sums[i] * unit);
}

/* ---- backward */

struct deform_grads {
    hm_out offsets, logits, ref; /* as the inputs */
    hm_in dout;                  /* [B, Q, C] */
    unsigned *largest;           /* of |dout|; 2^bits terms at most are added to a value (fixed sums only) */
    int bits;
};

/* Derivatives by a sample's weight and position (in pixels). */
struct slopes {
    float weight, x, y;
};

/* This lane's share of the slopes; adds weight * dout to the sums of the four corners, where `on`. */
template <int VEC, typename V, typename Sum>
static __device__ inline slopes back_sample(Sum *sums, const deform_grads &d, const V *__restrict__ value,
                                            const corners &k, float weight, int64_t dout, int D, float scale, bool on) {
    float four[4], g[4] = {};
    blend(k, weight, four);
    for (int c = (int)threadIdx.x % LANES * VEC; c < D; c += LANES * VEC) {
        float go[VEC];
        get<VEC>(d.dout, dout + c, go);
#pragma unroll
        for (int j = 0; j < 4; j++) {
            if (k.at[j] < 0)
                continue;
            float v[VEC];
            hm_load<VEC>(value + k.at[j] + c, v);
#pragma unroll
            for (int e = 0; e < VEC; e++) {
                g[j] += go[e] * v[e];
                v[e] = four[j] * go[e];
            }
            if (on)
                add<VEC>(sums + k.at[j] + c, v, scale, d.largest);
        }
    }
    const float fx = k.fx, fy = k.fy;
    return slopes{(1 - fy) * ((1 - fx) * g[0] + fx * g[1]) + fy * ((1 - fx) * g[2] + fx * g[3]),
                  (1 - fy) * (g[1] - g[0]) + fy * (g[3] - g[2]), (1 - fx) * (g[2] - g[0]) + fx * (g[3] - g[1])};
}

/* Over the four lanes of a head. */
static __device__ inline float sum_lanes(float x) {
    x += __shfl_xor_sync(0xFFFFFFFFu, x, 1);
    return x + __shfl_xor_sync(0xFFFFFFFFu, x, 2);
}

/* All samples of a head; dweight [S] is shared memory of its lanes, dref [4] the head's share. Where not `on` nothing
 * is stored outside of them. All lanes of a warp call. */
template <int HEAD, typename V, typename Sum>
static __device__ inline void back_head(Sum *sums, const deform_grads &d, float *dweight, float *dref,
                                        const V *__restrict__ value, const deform_inputs &in, const deform_sizes &z,
                                        int n, int m, float scale, bool on) {
    constexpr int VEC = HEAD > 0 ? 4 : 1;
    const int D = HEAD > 0 ? HEAD : z.D, lane = threadIdx.x % LANES;
    const head r = head_of(in, z, n, m);
    const float unit = 0.5f / (float)z.P;
    float mean = 0, by_ref[4] = {};
    for (int l = 0; l < z.L; l++)
        for (int i = l * z.P; i < (l + 1) * z.P; i++) {
            const sample s = sample_of(in, z, r, i, l);
            const corners k = corners_of(z, s, l);
            const float none = 0 * s.x + 0 * s.y; /* NaN for a position that is not finite */
            slopes g = {none, none, none};
            if (k.any)
                g = back_sample<VEC>(sums + r.value, d, value + r.value, k, s.weight, (int64_t)n * z.C + m * D, D,
                                     scale, on);
            g = slopes{sum_lanes(g.weight), sum_lanes(g.x), sum_lanes(g.y)};
            const float dx = g.x * s.weight * (float)z.w[l] * s.rx, dy = g.y * s.weight * (float)z.h[l] * s.ry;
            by_ref[0] += dx;
            by_ref[1] += dy;
            by_ref[2] += dx * s.ox;
            by_ref[3] += dy * s.oy;
            mean += s.weight * g.weight;
            if (on && lane < 2)
                d.offsets.put((r.sample + i) * 2 + lane, lane == 0 ? dx * r.ref[2] * unit : dy * r.ref[3] * unit);
            if (lane == 0)
                dweight[i] = g.weight;
        }
    __syncwarp();
    for (int i = lane; i < z.S && on; i += LANES)
        d.logits.put(r.sample + i, weight_of(in, r, i) * (dweight[i] - mean));
    if (on && lane == 0)
        for (int k = 0; k < 4; k++)
            dref[k] = by_ref[k];
    __syncwarp(); /* dweight is the next head's */
}

/* Sums of values [B, N, C] are 0 before. Dynamic shared memory: back_shared. */
template <typename V, int HEAD, typename Sum>
static __global__ void __launch_bounds__(THREADS, 4)
    backward(Sum *sums, const __grid_constant__ deform_grads d, const V *__restrict__ value,
             const __grid_constant__ deform_inputs in, const __grid_constant__ deform_sizes z) {
    HM_DYNAMIC_SHARED(float, memory);
    const int heads = z.per * z.M, at_once = (int)blockDim.x / LANES, own = threadIdx.x / LANES;
    float *const dref = memory, *const dweight = memory + heads * 4 + own * z.S; /* [heads, 4], [S] */
    const int first = blockIdx.x * z.per;
    const float scale = sizeof(Sum) == sizeof(fixed) ? fixed_scale(*d.largest, d.bits) : 1;
    for (int t = own; t - own < heads; t += at_once) {
        const bool on = t < heads && first + t / z.M < z.queries; /* else the lanes go along with the first head */
        back_head<HEAD>(sums, d, dweight, dref + (on ? t : 0) * 4, value, in, z, on ? first + t / z.M : first,
                        on ? t % z.M : 0, scale, on);
    }
    __syncthreads();
    for (int t = threadIdx.x; t < z.per * 4; t += (int)blockDim.x) {
        float sum = 0;
        if (first + t / 4 >= z.queries)
            break;
        for (int m = 0; m < z.M; m++)
            sum += dref[(t / 4 * z.M + m) * 4 + t % 4];
        d.ref.put((int64_t)first * 4 + t, sum);
    }
}

static size_t back_shared(const deform_sizes &z) {
    return (size_t)(z.per * z.M * 4 + (int)threads_of(z) / LANES * z.S) * sizeof(float);
}

template <typename Sum>
static hm_status scatter(const hm_call *c, Sum *sums, const deform_grads &d, const deform_sizes &z) {
    HM_BY_TYPE(c->node->in[1]->dtype, V, {
        if (z.D == 16)
            HM_LAUNCH(c, (backward<V, 16, Sum>), blocks_of(z), threads_of(z), back_shared(z), sums, d,
                      (const V *)c->in[1], where_of(c, 1), z);
        else
            HM_LAUNCH(c, (backward<V, 0, Sum>), blocks_of(z), threads_of(z), back_shared(z), sums, d,
                      (const V *)c->in[1], where_of(c, 1), z);
    });
    return HM_OK;
}

static hm_status back_floats(const hm_call *c, const deform_grads &d, const deform_sizes &z) {
    const int64_t n = hm_count(c->node->in[1]);
    const hm_out dvalue = hm_output(c, 0);
    float *const sums = dvalue.type == HM_F32 ? (float *)dvalue.p : (float *)c->work;
    HM_TRY(hm_cuda_fill(c->cuda, sums, 0, (size_t)n * sizeof *sums));
    HM_TRY(scatter(c, sums, d, z));
    if (dvalue.type == HM_F32)
        return HM_OK;
    if (n % 4 == 0)
        HM_LAUNCH(c, settle<4>, hm_blocks_strided(n / 4, 256), 256, 0, dvalue, sums, n);
    else
        HM_LAUNCH(c, settle<1>, hm_blocks_strided(n, 256), 256, 0, dvalue, sums, n);
    return HM_OK;
}

/* Workspace: the largest |dout| on a line of its own, the sums. */
static hm_status back_fixed(const hm_call *c, const deform_grads &d, const deform_sizes &z) {
    const int64_t n = hm_count(c->node->in[1]), n_out = hm_count(c->node->in[0]);
    fixed *const sums = (fixed *)((char *)c->work + HM_DEFORM_CUDA_LINE);
    HM_TRY(hm_cuda_fill(c->cuda, c->work, 0, HM_DEFORM_CUDA_LINE + (size_t)n * sizeof *sums));
    HM_LAUNCH(c, find_largest, hm_blocks_strided(n_out, 256 * 8), 256, 0, d.largest, d.dout, n_out);
    HM_TRY(scatter(c, sums, d, z));
    HM_LAUNCH(c, settle_fixed, hm_blocks_strided(n, 256), 256, 0, hm_output(c, 0), sums, d.largest, d.bits, n);
    return HM_OK;
}

hm_status deform_attn_back_cuda(const hm_call *c) {
    const deform_sizes z = sizes_of(c, 1);
    deform_grads d = {hm_output(c, 1), hm_output(c, 2), hm_output(c, 3), hm_input(c, 0), (unsigned *)c->work, 0};
    while ((int64_t)1 << d.bits < (int64_t)z.Q * z.S)
        d.bits++;
    if (back_shared(z) > (size_t)(48 << 10))
        HM_FAIL(HM_ERR_UNSUPPORTED, "deformable attention with %d heads does not fit the GPU's kernel", z.M);
    return c->run->deterministic ? back_fixed(c, d, z) : back_floats(c, d, z);
}
