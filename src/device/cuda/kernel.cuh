/* kernel.cuh: what kernels (ops/<op>/cuda.cu) are made of: launches, numbers of any floating-point type, sums over
 * warps and blocks, random draws. Tensors may overlap only as hm_op.in_place says. */
#ifndef HM_DEVICE_CUDA_KERNEL_CUH
#define HM_DEVICE_CUDA_KERNEL_CUH

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>

#include "base/dtype.h"
#include "base/rng.h"
#include "device/cuda/cuda.h"

/* ---- host side */

hm_status hm_cuda_failed(cudaError_t e, const char *file, int line);
cudaStream_t hm_cuda_stream(hm_cuda *d);
bool hm_cuda_is_at_least(const hm_cuda *d, int capability); /* 75: sm_75 */
void hm_cuda_launched(void);                                /* counts */

#define HM_CUDA_TRY(expr)                                                                                              \
    do {                                                                                                               \
        const cudaError_t hm_cuda_error_ = (expr);                                                                     \
        if (hm_cuda_error_ != cudaSuccess)                                                                             \
            return hm_cuda_failed(hm_cuda_error_, __FILE__, __LINE__);                                                 \
    } while (0)

/* Enqueues kernel<<<grid, block, shared>>>(...) on the stream of call->cuda and returns from the caller on failure;
 * does nothing for an empty grid. A kernel name with commas needs parentheses: (kernel<float, 4>). Emulated builds
 * (tests/emulate) have their own. */
#ifdef HM_EMULATED
#define HM_ENQUEUE(call, kernel, grid, block, shared, ...)                                                             \
    hm_emulate_launch(kernel, dim3(grid), dim3(block), shared, hm_cuda_stream((call)->cuda), __VA_ARGS__)
#else
#define HM_ENQUEUE(call, kernel, grid, block, shared, ...)                                                             \
    kernel<<<dim3(grid), dim3(block), shared, hm_cuda_stream((call)->cuda)>>>(__VA_ARGS__)
#endif
#define HM_LAUNCH(call, kernel, grid, block, shared, ...)                                                              \
    do {                                                                                                               \
        const dim3 hm_grid_ = dim3(grid);                                                                              \
        if (hm_grid_.x > 0 && hm_grid_.y > 0 && hm_grid_.z > 0) {                                                      \
            HM_ENQUEUE(call, kernel, hm_grid_, block, shared, __VA_ARGS__);                                            \
            hm_cuda_launched();                                                                                        \
            HM_CUDA_TRY(cudaGetLastError());                                                                           \
        }                                                                                                              \
    } while (0)

/* Dynamic shared memory of a launch, as an array `name` of T (16-byte aligned). */
#ifdef HM_EMULATED
#define HM_DYNAMIC_SHARED(T, name) T *const name = (T *)hm_emulate_shared()
#else
#define HM_DYNAMIC_SHARED(T, name)                                                                                     \
    extern __shared__ __align__(16) unsigned char hm_dynamic_shared_[];                                                \
    T *const name = (T *)hm_dynamic_shared_
#endif

/* Blocks so that `per_block` items each cover n (as unsigned, at most 2^31 - 1). */
static inline unsigned hm_blocks(int64_t n, int64_t per_block) {
    const int64_t blocks = (n + per_block - 1) / per_block;
    return blocks > INT32_MAX ? INT32_MAX : (unsigned)blocks;
}

/* Blocks for a kernel that goes through n items in strides of its whole grid (hm_each). */
static inline unsigned hm_blocks_strided(int64_t n, int64_t per_block) {
    const unsigned blocks = hm_blocks(n, per_block);
    return blocks > 4096 ? 4096 : blocks;
}

/* A divisor that the host knows: for dividends and divisors below 2^31 a multiplication and a shift. */
struct hm_divisor {
    int64_t by;
    uint32_t multiplier, shift;
    /* i / by for i >= 0, and what remains. */
    __device__ int64_t split(int64_t i, int64_t *rest) const {
        const int64_t q = i > INT32_MAX || by > INT32_MAX
                              ? i / by
                              : (int64_t)(((uint32_t)((uint64_t)i * multiplier >> 32) + (uint32_t)i) >> shift);
        *rest = i - q * by;
        return q;
    }
};
static inline hm_divisor hm_divide_by(int64_t by) {
    hm_divisor d = {by, 0, 0};
    if (by < 1 || by > INT32_MAX)
        return d;
    while ((int64_t)1 << d.shift < by)
        d.shift++;
    d.multiplier = (uint32_t)((((uint64_t)1 << d.shift) - (uint64_t)by) * ((uint64_t)1 << 32) / (uint64_t)by + 1);
    return d;
}

/* Runs the statements with T as the type in which numbers of `type` are stored: float, __half, __nv_bfloat16. */
#define HM_BY_TYPE(type, T, ...)                                                                                       \
    switch (type) {                                                                                                    \
    case HM_F16: {                                                                                                     \
        using T = __half;                                                                                              \
        __VA_ARGS__;                                                                                                   \
        break;                                                                                                         \
    }                                                                                                                  \
    case HM_BF16: {                                                                                                    \
        using T = __nv_bfloat16;                                                                                       \
        __VA_ARGS__;                                                                                                   \
        break;                                                                                                         \
    }                                                                                                                  \
    default: {                                                                                                         \
        using T = float;                                                                                               \
        __VA_ARGS__;                                                                                                   \
    }                                                                                                                  \
    }

/* ---- device side: numbers */

__device__ inline float hm_widen(float x) {
    return x;
}
__device__ inline float hm_widen(__half x) {
    return __half2float(x);
}
__device__ inline float hm_widen(__nv_bfloat16 x) {
    return __bfloat162float(x);
}

template <typename T> __device__ inline T hm_narrow(float x);
template <> __device__ inline float hm_narrow<float>(float x) {
    return x;
}
template <> __device__ inline __half hm_narrow<__half>(float x) {
    return __float2half_rn(x);
}
template <> __device__ inline __nv_bfloat16 hm_narrow<__nv_bfloat16>(float x) {
    return __float2bfloat16_rn(x);
}

/* Number i of an array whose type is known only at run time: the same for all threads, so the branch is cheap. */
__device__ inline float hm_get(hm_dtype type, const void *p, int64_t i) {
    return type == HM_F32   ? ((const float *)p)[i]
           : type == HM_F16 ? __half2float(((const __half *)p)[i])
                            : __bfloat162float(((const __nv_bfloat16 *)p)[i]);
}

__device__ inline void hm_put(hm_dtype type, void *p, int64_t i, float x) {
    if (type == HM_F32)
        ((float *)p)[i] = x;
    else if (type == HM_F16)
        ((__half *)p)[i] = __float2half_rn(x);
    else
        ((__nv_bfloat16 *)p)[i] = __float2bfloat16_rn(x);
}

/* A tensor with its type, as a kernel argument; p is NULL for an absent input. */
struct hm_in {
    const void *p;
    hm_dtype type;
    __device__ float operator[](int64_t i) const {
        return hm_get(type, p, i);
    }
};
struct hm_out {
    void *p;
    hm_dtype type;
    __device__ void put(int64_t i, float x) const {
        hm_put(type, p, i, x);
    }
};

/* Four or eight neighbours at once; p aligned to all of them (at most 16 bytes). */
template <typename T, int N> struct __align__(sizeof(T) * N < 16 ? sizeof(T) * N : 16) hm_pack {
    T x[N];
};
template <int N, typename T> __device__ inline void hm_load(const T *p, float *x) {
    const hm_pack<T, N> v = *(const hm_pack<T, N> *)p;
#pragma unroll
    for (int i = 0; i < N; i++)
        x[i] = hm_widen(v.x[i]);
}
template <int N, typename T> __device__ inline void hm_save(T *p, const float *x) {
    hm_pack<T, N> v;
#pragma unroll
    for (int i = 0; i < N; i++)
        v.x[i] = hm_narrow<T>(x[i]);
    *(hm_pack<T, N> *)p = v;
}

/* The same from number i of a tensor whose type is known only at run time. */
template <int N> __device__ inline void hm_load(hm_in t, int64_t i, float *x) {
    if (t.type == HM_F32)
        hm_load<N>((const float *)t.p + i, x);
    else if (t.type == HM_F16)
        hm_load<N>((const __half *)t.p + i, x);
    else
        hm_load<N>((const __nv_bfloat16 *)t.p + i, x);
}
template <int N> __device__ inline void hm_save(hm_out t, int64_t i, const float *x) {
    if (t.type == HM_F32)
        hm_save<N>((float *)t.p + i, x);
    else if (t.type == HM_F16)
        hm_save<N>((__half *)t.p + i, x);
    else
        hm_save<N>((__nv_bfloat16 *)t.p + i, x);
}

/* Host side: whether an array starts where vectors may. */
static inline bool hm_aligned(const void *p) {
    return (uintptr_t)p % 16 == 0;
}

/* ---- device side: threads */

__device__ inline int64_t hm_first(void) {
    return (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
}
__device__ inline int64_t hm_stride(void) {
    return (int64_t)gridDim.x * blockDim.x;
}
/* for (hm_each(i, n)): every item of 0..n-1 once over the whole grid. */
#define hm_each(i, n)                                                                                                  \
    int64_t i = hm_first(), hm_n_##i = (n);                                                                            \
    i < hm_n_##i;                                                                                                      \
    i += hm_stride()

/* Sum and largest of a full warp, in every lane. */
__device__ inline float hm_warp_sum(float x) {
    for (int lane = 16; lane > 0; lane >>= 1)
        x += __shfl_xor_sync(0xFFFFFFFFu, x, lane);
    return x;
}
__device__ inline double hm_warp_sum(double x) {
    for (int lane = 16; lane > 0; lane >>= 1)
        x += __shfl_xor_sync(0xFFFFFFFFu, x, lane);
    return x;
}
__device__ inline float hm_warp_max(float x) {
    for (int lane = 16; lane > 0; lane >>= 1)
        x = fmaxf(x, __shfl_xor_sync(0xFFFFFFFFu, x, lane));
    return x;
}

/* Smallest of a full warp, in every lane: one instruction from sm_80 on. */
__device__ inline uint32_t hm_warp_min(uint32_t x) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
    return __reduce_min_sync(0xFFFFFFFFu, x);
#else
    for (int lane = 16; lane > 0; lane >>= 1)
        x = min(x, __shfl_xor_sync(0xFFFFFFFFu, x, lane));
    return x;
#endif
}

/* Sum over a block of full warps (at most 32), in every thread and always in the same order. All threads must call. */
template <typename T> __device__ inline T hm_block_sum(T x) {
    __shared__ T part[32];
    const int warp = threadIdx.x / 32, warps = blockDim.x / 32;
    x = hm_warp_sum(x);
    __syncthreads(); /* part may still be read from the call before */
    if (threadIdx.x % 32 == 0)
        part[warp] = x;
    __syncthreads();
    T sum = 0;
    for (int w = 0; w < warps; w++)
        sum += part[w];
    return sum;
}

/* ---- device side: random draws */

__device__ inline uint64_t hm_hash_byte(uint64_t h, unsigned char byte) {
    return (h ^ (uint64_t)byte) * 0x100000001B3ull;
}
__device__ inline uint64_t hm_hash_text(uint64_t h, const char *text) {
    for (; *text; text++)
        h = hm_hash_byte(h, (unsigned char)*text);
    return h;
}
/* As "%0<digits>lld" prints it; v >= 0. */
__device__ inline uint64_t hm_hash_number(uint64_t h, int64_t v, int digits) {
    int64_t ten = 1;
    int n = 1;
    while (v / ten >= 10 || n < digits) {
        ten *= 10;
        n++;
    }
    for (; ten > 0; ten /= 10)
        h = hm_hash_byte(h, (unsigned char)('0' + v / ten % 10));
    return h;
}
#define HM_HASH_START 0xCBF29CE484222325ull
/* Key of the stream "rand.<step>.<draw>" (ops/points.h, hm_draw_key). */
__device__ inline uint64_t hm_draw_key_of(const hm_cuda_draw *d, int draw) {
    uint64_t h = hm_hash_text(HM_HASH_START, "rand.");
    h = hm_hash_number(h, d->step, 1);
    h = hm_hash_byte(h, '.');
    return hm_hash_number(h, draw, 3) ^ (d->seed * HM_RNG_GOLD);
}

#endif
