/* column_sums.cu: column sums in one launch. A block sums some rows of 32 or 64 columns (128 bytes of a row); of the
 * blocks that share columns the last one to finish adds up what all have found, in the order of the rows. */
#include "device/cuda/column_sums.h"

#include "device/cuda/context.cuh"

#define THREADS 256
#define WARPS   (THREADS / 32)
#define TICKETS (2 * HM_COLUMN_SUMS_BLOCKS + 2)

/* By columns: blocks that are done. Zero between launches, which follow each other on one stream. */
static __device__ unsigned tickets[TICKETS];

/* True in all threads of the last of gridDim.y blocks to come here; it sees what the others have written before. */
static __device__ bool is_last(void) {
    __shared__ bool last;
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0) {
        last = atomicAdd(&tickets[blockIdx.x], 1u) == gridDim.y - 1;
        if (last)
            tickets[blockIdx.x] = 0;
    }
    __syncthreads();
    __threadfence();
    return last;
}

/* Sums over lines of room [lines][width], by threads 0 .. width - 1. */
template <int WIDTH> static __device__ float add_lines(const float *room, int lines, int col) {
    float sum = 0;
    for (int k = 0; k < lines; k++)
        sum += room[k * WIDTH + col];
    return sum;
}

/* parts [gridDim.y, n]. A warp reads 32 / ACROSS rows at a time, a thread V neighbours of each. */
template <typename T, int V, int ACROSS>
static __global__ void column_sums(hm_out out, float *parts, const T *x, int64_t rows, int64_t n) {
    constexpr int WIDTH = ACROSS * V, DOWN = THREADS / ACROSS, LINES = THREADS / WIDTH;
    __shared__ float room[(WARPS > LINES ? WARPS : LINES) * WIDTH];
    const int tid = (int)threadIdx.x, across = tid % ACROSS, part = (int)blockIdx.y, count = (int)gridDim.y;
    const int64_t first = (int64_t)blockIdx.x * WIDTH, col = first + across * V, end = (part + 1) * rows / count;
    float sum[V] = {0};
    if (col < n) {
#pragma unroll 4
        for (int64_t r = part * rows / count + tid / ACROSS; r < end; r += DOWN) {
            float v[V];
            hm_load<V>(x + r * n + col, v);
#pragma unroll
            for (int k = 0; k < V; k++)
                sum[k] += v[k];
        }
    }
#pragma unroll
    for (int k = 0; k < V; k++) {
        for (int lane = ACROSS; lane < 32; lane *= 2)
            sum[k] += __shfl_xor_sync(0xFFFFFFFFu, sum[k], lane);
        if (tid % 32 < ACROSS)
            room[tid / 32 * WIDTH + across * V + k] = sum[k];
    }
    __syncthreads();
    const bool mine = tid < WIDTH && first + tid < n;
    if (mine) {
        const float all = add_lines<WIDTH>(room, WARPS, tid);
        if (count == 1)
            out.put(first + tid, all);
        else
            parts[part * n + first + tid] = all;
    }
    if (count == 1 || !is_last())
        return;
    const int64_t at = first + tid % WIDTH;
    float some = 0;
    for (int p = tid / WIDTH; at < n && p < count; p += LINES)
        some += parts[p * n + at];
    room[tid] = some;
    __syncthreads();
    if (mine)
        out.put(first + tid, add_lines<WIDTH>(room, LINES, tid));
}

template <typename T, int V, int ACROSS>
static hm_status run(hm_cuda *d, hm_out out, const T *x, int64_t rows, int64_t n, float *room) {
    const hm_cuda_caller call = {d};
    HM_LAUNCH(&call, (column_sums<T, V, ACROSS>),
              dim3(hm_blocks(n, ACROSS * V), (unsigned)hm_column_sums_parts(rows, n)), THREADS, 0, out, room, x, rows,
              n);
    return HM_OK;
}

hm_status hm_cuda_column_sums(hm_cuda *d, void *out, hm_dtype out_type, const void *x, hm_dtype type, int64_t rows,
                              int64_t n, float *room) {
    const hm_out to = {out, out_type};
    HM_BY_TYPE(type, T, {
        constexpr int V = 16 / sizeof(T);
        HM_TRY((n % V == 0 && hm_aligned(x) ? run<T, V, 8>(d, to, (const T *)x, rows, n, room)
                                            : run<T, 1, 32>(d, to, (const T *)x, rows, n, room)));
    });
    return HM_OK;
}
