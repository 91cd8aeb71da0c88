/* cuda_runtime.h: enough of the CUDA runtime, on the CPU, to run the kernels of src/ops/<op>/cuda.cu in tests where
 * there is no GPU: every thread of a block is a fiber, blocks run one after the other, streams run at once. Tensor
 * cores and cuBLASLt are not here (gemm.cpp multiplies). Built with HM_CUDA=EMULATE; no part of the product. */
#ifndef HM_EMULATE_CUDA_RUNTIME_H
#define HM_EMULATE_CUDA_RUNTIME_H

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <tuple>

#define HM_EMULATED 1
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __shared__      static
#define __constant__    static
#define __grid_constant__
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))

using std::max;
using std::min;

struct uint3 {
    unsigned x, y, z;
};
struct dim3 {
    unsigned x, y, z;
    dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};
#define HM_EMULATE_VECTOR(T, name)                                                                                     \
    struct __align__(2 * sizeof(T)) name##2 {                                                                          \
        T x, y;                                                                                                        \
    };                                                                                                                 \
    struct name##3 {                                                                                                   \
        T x, y, z;                                                                                                     \
    };                                                                                                                 \
    struct __align__(16) name##4 {                                                                                     \
        T x, y, z, w;                                                                                                  \
    };                                                                                                                 \
    static inline name##2 make_##name##2(T x, T y) {                                                                   \
        return name##2 {x, y};                                                                                         \
    }                                                                                                                  \
    static inline name##4 make_##name##4(T x, T y, T z, T w) {                                                         \
        return name##4 {x, y, z, w};                                                                                   \
    }
HM_EMULATE_VECTOR(float, float)
HM_EMULATE_VECTOR(int, int)
struct uint2 {
    unsigned x, y;
};
struct uint4 {
    unsigned x, y, z, w;
};

extern uint3 threadIdx, blockIdx;
extern dim3 blockDim, gridDim;
#define warpSize 32

/* ---- the runtime */

typedef int cudaError_t;
enum { cudaSuccess, cudaErrorMemoryAllocation, cudaErrorNotReady, cudaErrorInvalidValue, cudaErrorInsufficientDriver };
enum cudaMemcpyKind { cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost, cudaMemcpyDeviceToDevice };
enum { cudaStreamNonBlocking, cudaStreamCaptureModeThreadLocal, cudaEventDisableTiming };
typedef struct hm_emulate_stream *cudaStream_t;
typedef struct hm_emulate_event *cudaEvent_t;
typedef struct hm_emulate_graph *cudaGraph_t;
typedef struct hm_emulate_graph *cudaGraphExec_t;
typedef struct hm_emulate_place *cudaGraphNode_t;
typedef struct hm_emulate_edge cudaGraphEdgeData;
enum cudaStreamCaptureStatus { cudaStreamCaptureStatusActive };
enum { cudaStreamSetCaptureDependencies };
struct cudaDeviceProp {
    char name[64];
    int major, minor, multiProcessorCount;
    size_t totalGlobalMem;
};
cudaError_t cudaGetDeviceCount(int *n);
cudaError_t cudaDriverGetVersion(int *version);
cudaError_t cudaRuntimeGetVersion(int *version);
cudaError_t cudaSetDevice(int i);
cudaError_t cudaGetDeviceProperties(cudaDeviceProp *p, int i);
cudaError_t cudaMemGetInfo(size_t *left, size_t *all);
cudaError_t cudaMalloc(void **p, size_t bytes);
cudaError_t cudaFree(void *p);
cudaError_t cudaMallocHost(void **p, size_t bytes);
cudaError_t cudaFreeHost(void *p);
cudaError_t cudaMemsetAsync(void *p, int byte, size_t bytes, cudaStream_t s);
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind, cudaStream_t s);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *s, unsigned flags);
cudaError_t cudaStreamSynchronize(cudaStream_t s);
cudaError_t cudaStreamWaitEvent(cudaStream_t s, cudaEvent_t e, unsigned flags);
cudaError_t cudaEventCreate(cudaEvent_t *e);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *e, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t e);
cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t s);
cudaError_t cudaEventQuery(cudaEvent_t e);
cudaError_t cudaEventSynchronize(cudaEvent_t e);
cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t from, cudaEvent_t to);
cudaError_t cudaStreamBeginCapture(cudaStream_t s, int mode);
cudaError_t cudaStreamEndCapture(cudaStream_t s, cudaGraph_t *g);
cudaError_t cudaStreamUpdateCaptureDependencies(cudaStream_t s, cudaGraphNode_t *list, const cudaGraphEdgeData *edges,
                                                size_t n, unsigned flags);
cudaError_t cudaStreamGetCaptureInfo(cudaStream_t s, cudaStreamCaptureStatus *status, unsigned long long *id,
                                     cudaGraph_t *graph, const cudaGraphNode_t **list, const cudaGraphEdgeData **edges,
                                     size_t *n);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t *e, cudaGraph_t g, unsigned long long flags);
cudaError_t cudaGraphLaunch(cudaGraphExec_t e, cudaStream_t s);
cudaError_t cudaGraphDestroy(cudaGraph_t g);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t e);
cudaError_t cudaGetLastError(void);
const char *cudaGetErrorString(cudaError_t e);
const char *cudaGetErrorName(cudaError_t e);
#define cudaFuncAttributeMaxDynamicSharedMemorySize 0
template <typename F> static inline cudaError_t cudaFuncSetAttribute(F, int, int) {
    return cudaSuccess;
}

/* Runs `work` on a stream, or records it. */
void hm_emulate_enqueue(cudaStream_t s, std::function<void()> work);

/* ---- launches */

void hm_emulate_run(dim3 grid, dim3 block, size_t shared, const std::function<void()> &thread);
void *hm_emulate_shared(void); /* exactly the launch's dynamic shared memory */

template <typename... P, typename... A>
static inline void hm_emulate_launch(void (*kernel)(P...), dim3 grid, dim3 block, size_t shared, cudaStream_t s,
                                     A... args) {
    std::tuple<std::decay_t<P>...> kept(args...);
    hm_emulate_enqueue(s, [=]() { hm_emulate_run(grid, block, shared, [&]() { std::apply(kernel, kept); }); });
}

/* ---- inside kernels */

void __syncthreads(void);
void __syncwarp(unsigned mask = 0xFFFFFFFFu);
int __syncthreads_or(int v);
int __syncthreads_and(int v);
int __syncthreads_count(int v);
/* Everyone of the mask gives 8 bytes and sees all lanes'. */
const uint64_t *hm_emulate_exchange(unsigned mask, uint64_t mine);
unsigned hm_emulate_present(unsigned mask);
unsigned __activemask(void);

template <typename T> static inline T hm_emulate_from(unsigned mask, T v, int lane) {
    uint64_t bits = 0;
    static_assert(sizeof(T) <= 8, "a shuffle carries at most 8 bytes");
    memcpy(&bits, &v, sizeof v);
    const uint64_t *const all = hm_emulate_exchange(mask, bits);
    memcpy(&v, &all[lane & 31], sizeof v);
    return v;
}
static inline int hm_emulate_lane(void) {
    return (int)((threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z)) % 32);
}
template <typename T> static inline T __shfl_sync(unsigned mask, T v, int lane, int width = 32) {
    const int own = hm_emulate_lane();
    return hm_emulate_from(mask, v, own / width * width + lane % width);
}
template <typename T> static inline T __shfl_xor_sync(unsigned mask, T v, int with, int width = 32) {
    (void)width;
    return hm_emulate_from(mask, v, hm_emulate_lane() ^ with);
}
template <typename T> static inline T __shfl_down_sync(unsigned mask, T v, int by, int width = 32) {
    const int own = hm_emulate_lane();
    return hm_emulate_from(mask, v, own % width + by < width ? own + by : own);
}
template <typename T> static inline T __shfl_up_sync(unsigned mask, T v, int by, int width = 32) {
    const int own = hm_emulate_lane();
    return hm_emulate_from(mask, v, own % width >= by ? own - by : own);
}
unsigned __ballot_sync(unsigned mask, int v);
static inline int __any_sync(unsigned mask, int v) {
    return __ballot_sync(mask, v) != 0;
}
static inline int __all_sync(unsigned mask, int v) {
    return __ballot_sync(mask, !v) == 0;
}

template <typename T> static inline T atomicAdd(T *p, T v) {
    const T before = *p;
    *p = before + v;
    return before;
}
template <typename T> static inline T atomicMax(T *p, T v) {
    const T before = *p;
    *p = before > v ? before : v;
    return before;
}
template <typename T> static inline T atomicMin(T *p, T v) {
    const T before = *p;
    *p = before < v ? before : v;
    return before;
}
template <typename T> static inline T atomicOr(T *p, T v) {
    const T before = *p;
    *p = before | v;
    return before;
}
template <typename T> static inline T atomicExch(T *p, T v) {
    const T before = *p;
    *p = v;
    return before;
}
template <typename T> static inline T atomicCAS(T *p, T compare, T v) {
    const T before = *p;
    if (before == compare)
        *p = v;
    return before;
}
static inline void __threadfence(void) {}
static inline void __threadfence_block(void) {}
template <typename T> static inline T __ldg(const T *p) {
    return *p;
}

#define __expf(x)    expf(x) /* glibc has functions of these names */
#define __logf(x)    logf(x)
#define __sinf(x)    sinf(x)
#define __cosf(x)    cosf(x)
#define __powf(x, y) powf(x, y)
static inline float rsqrtf(float x) {
    return 1 / sqrtf(x);
}
static inline double rsqrt(double x) {
    return 1 / sqrt(x);
}
static inline float __fdividef(float a, float b) {
    return a / b;
}
static inline float __frcp_rn(float a) {
    return 1 / a;
}
static inline float __fsqrt_rn(float a) {
    return sqrtf(a);
}
static inline float __fdiv_rn(float a, float b) {
    return a / b;
}
static inline float __fmul_rn(float a, float b) {
    return a * b;
}
static inline float __fadd_rn(float a, float b) {
    return a + b;
}
static inline float __fsub_rn(float a, float b) {
    return a - b;
}
static inline float __fmaf_rn(float a, float b, float c) {
    return fmaf(a, b, c);
}
static inline double __dmul_rn(double a, double b) {
    return a * b;
}
static inline double __dadd_rn(double a, double b) {
    return a + b;
}
static inline float __double2float_rn(double a) {
    return (float)a;
}
static inline int __float2int_rn(float a) {
    return (int)rintf(a);
}
static inline int __float2int_rd(float a) {
    return (int)floorf(a);
}
static inline float __saturatef(float a) {
    return a < 0 ? 0 : a > 1 ? 1 : a;
}
static inline void sincospif(float x, float *s, float *c) {
    *s = (float)sin(M_PI * (double)x);
    *c = (float)cos(M_PI * (double)x);
}
template <typename To, typename From> static inline To hm_emulate_bits(From x) {
    To y;
    static_assert(sizeof x == sizeof y, "same size");
    memcpy(&y, &x, sizeof y);
    return y;
}
static inline unsigned __float_as_uint(float x) {
    return hm_emulate_bits<unsigned>(x);
}
static inline int __float_as_int(float x) {
    return hm_emulate_bits<int>(x);
}
static inline float __uint_as_float(unsigned x) {
    return hm_emulate_bits<float>(x);
}
static inline float __int_as_float(int x) {
    return hm_emulate_bits<float>(x);
}
static inline long long __double_as_longlong(double x) {
    return hm_emulate_bits<long long>(x);
}
static inline double __longlong_as_double(long long x) {
    return hm_emulate_bits<double>(x);
}
static inline int __popc(unsigned x) {
    return __builtin_popcount(x);
}
static inline int __clz(int x) {
    return x ? __builtin_clz((unsigned)x) : 32;
}
static inline int __ffs(int x) {
    return __builtin_ffs(x);
}
static inline unsigned __brev(unsigned x) {
    unsigned y = 0;
    for (int i = 0; i < 32; i++)
        y |= (x >> i & 1u) << (31 - i);
    return y;
}

#endif
