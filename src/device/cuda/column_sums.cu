/* column_sums.cu: column sums: blocks of rows, then their sums in order. */
#include "device/cuda/column_sums.h"

#include "device/cuda/context.cuh"

#define THREADS 256

/* parts [gridDim.y, n]: sums over the rows of one part. A thread reads V neighbours of every blockDim.y-th row. */
template <typename T, int V> static __global__ void sum_parts(float *parts, const T *x, int64_t rows, int64_t n) {
    __shared__ float room[THREADS * V];
    const int width = (int)blockDim.x * V, tid = (int)(threadIdx.y * blockDim.x + threadIdx.x);
    const int64_t first = (int64_t)blockIdx.x * width, col = first + (int64_t)threadIdx.x * V, part = blockIdx.y;
    const int64_t end = (part + 1) * rows / gridDim.y;
    float sum[V] = {0};
    if (col < n) {
#pragma unroll 4
        for (int64_t r = part * rows / gridDim.y + threadIdx.y; r < end; r += blockDim.y) {
            float v[V];
            hm_load<V>(x + r * n + col, v);
#pragma unroll
            for (int k = 0; k < V; k++)
                sum[k] += v[k];
        }
    }
#pragma unroll
    for (int k = 0; k < V; k++)
        room[(int)threadIdx.y * width + (int)threadIdx.x * V + k] = sum[k];
    __syncthreads();
    for (int j = tid; j < width && first + j < n; j += THREADS) {
        float all = 0;
        for (int y = 0; y < (int)blockDim.y; y++)
            all += room[y * width + j];
        parts[part * n + first + j] = all;
    }
}

/* 32 columns, and as many lines of parts as the block has warps. */
static __global__ void sum_join(hm_out out, const float *parts, int count, int64_t n) {
    __shared__ float room[32][33];
    const int64_t col = (int64_t)blockIdx.x * 32 + threadIdx.x;
    float sum = 0;
    for (int p = (int)threadIdx.y; col < n && p < count; p += (int)blockDim.y)
        sum += parts[p * n + col];
    room[threadIdx.x][threadIdx.y] = sum;
    __syncthreads();
    const int64_t mine = (int64_t)blockIdx.x * 32 + threadIdx.y;
    sum = hm_warp_sum(room[threadIdx.y][threadIdx.x]);
    if (threadIdx.x == 0 && mine < n)
        out.put(mine, sum);
}

template <typename T, int V>
static hm_status run(hm_cuda *d, hm_out out, const T *x, int64_t rows, int64_t n, float *room) {
    const hm_cuda_caller call = {d};
    const int count = hm_column_sums_parts(rows);
    const unsigned across = n <= 8 * V ? 8 : 32;
    HM_LAUNCH(&call, (sum_parts<T, V>), dim3(hm_blocks(n, across * V), (unsigned)count), dim3(across, THREADS / across),
              0, room, x, rows, n);
    HM_LAUNCH(&call, sum_join, hm_blocks(n, 32), dim3(32, 32), 0, out, room, count, n);
    return HM_OK;
}

hm_status hm_cuda_column_sums(hm_cuda *d, void *out, hm_dtype out_type, const void *x, hm_dtype type, int64_t rows,
                              int64_t n, float *room) {
    const hm_out to = {out, out_type};
    HM_BY_TYPE(type, T, {
        constexpr int V = 16 / sizeof(T);
        HM_TRY((n % V == 0 && hm_aligned(x) ? run<T, V>(d, to, (const T *)x, rows, n, room)
                                            : run<T, 1>(d, to, (const T *)x, rows, n, room)));
    });
    return HM_OK;
}
