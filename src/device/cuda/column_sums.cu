/* column_sums.cu: column sums in one launch: blocks add up parts of the rows, and the last one to finish adds up the
 * parts, in their order. */
#include "device/cuda/column_sums.h"

#include "device/cuda/context.cuh"

#define THREADS 256
#define AHEAD   8     /* loads of a thread under way */
#define SLOTS   16384 /* more than the blocks' columns of all sums of a graph, which may run side by side */

hm_status hm_cuda_column_sums_start(hm_cuda *d) {
    HM_TRY(hm_cuda_alloc(d, (void **)&d->arrived, SLOTS * sizeof *d->arrived));
    return hm_cuda_fill(d, d->arrived, 0, SLOTS * sizeof *d->arrived);
}

/* sum [V] += rows r, r + step, .. below `end` of x from p on, n numbers apart. */
template <int V, typename T>
static __device__ void add_rows(float *sum, const T *p, int64_t r, int64_t end, int step, int64_t n) {
    for (; r < end; r += AHEAD * step) {
        hm_pack<T, V> v[AHEAD];
#pragma unroll
        for (int i = 0; i < AHEAD; i++) {
            v[i] = hm_pack<T, V>{};
            if (r + i * step < end)
                v[i] = *(const hm_pack<T, V> *)(p + (r + i * step) * n);
        }
#pragma unroll
        for (int i = 0; i < AHEAD; i++)
#pragma unroll
            for (int k = 0; k < V; k++)
                sum[k] += hm_widen(v[i].x[k]);
    }
}

/* room [lines, width] = each thread's sums of V neighbours; then out(j, sum over lines) for each of `width` columns. */
template <int V, typename OUT>
static __device__ void join(float *room, const float *sum, int line, int at, int lines, int width, const OUT &out) {
    __syncthreads(); /* room has been read */
#pragma unroll
    for (int k = 0; k < V; k++)
        room[line * width + at * V + k] = sum[k];
    __syncthreads();
    for (int j = (int)threadIdx.x; j < width; j += THREADS) {
        float all = 0;
        for (int y = 0; y < lines; y++)
            all += room[y * width + j];
        out(j, all);
    }
}

/* Whether this block is the last of its columns to come here; what the others wrote before is then to be seen. */
static __device__ bool last_one(unsigned *arrived) {
    __shared__ bool last;
    __threadfence();
    __syncthreads();
    if (threadIdx.x == 0)
        last = atomicAdd(arrived, 1u) == gridDim.y - 1;
    __syncthreads();
    if (last && threadIdx.x == 0)
        *arrived = 0; /* for the next run */
    __threadfence();
    return last;
}

/* out [n] of x [rows, n]; parts [gridDim.y, n]. A line of `across` threads has V neighbours of a row each. */
template <typename T, int V>
static __global__ void __launch_bounds__(THREADS)
    column_sums(hm_out out, float *parts, unsigned *arrived, const T *x, int64_t rows, int64_t n, int across) {
    constexpr int W = V < 4 ? V : 4; /* of the parts, likewise */
    __shared__ float room[THREADS * V];
    const int width = across * V, at = (int)threadIdx.x % across, line = (int)threadIdx.x / across;
    const int64_t first = (int64_t)blockIdx.x * width, part = blockIdx.y;
    const int64_t begin = part * rows / gridDim.y, end = (part + 1) * rows / gridDim.y;
    float sum[V] = {0}, all[W] = {0};
    if (first + at * V < n)
        add_rows<V>(sum, x + first + at * V, begin + line, end, THREADS / across, n);
    join<V>(room, sum, line, at, THREADS / across, width, [&](int j, float s) {
        if (first + j < n)
            parts[part * n + first + j] = s;
    });
    if (!last_one(arrived + blockIdx.x))
        return;
    const int packs = width / W, pack = (int)threadIdx.x % packs, group = (int)threadIdx.x / packs;
    if (first + pack * W < n)
        add_rows<W>(all, (const float *)parts + first + pack * W, group, gridDim.y, THREADS / packs, n);
    join<W>(room, all, group, pack, THREADS / packs, width, [&](int j, float s) {
        if (first + j < n)
            out.put(first + j, s);
    });
}

/* The next free slots; those of a graph that was captured long ago come round again, but no two of one graph meet. */
static unsigned *take_slots(hm_cuda *d, unsigned n) {
    if (d->next_arrived + n > SLOTS)
        d->next_arrived = 0;
    d->next_arrived += n;
    return d->arrived + d->next_arrived - n;
}

template <typename T, int V>
static hm_status run(hm_cuda *d, hm_out out, const T *x, int64_t rows, int64_t n, float *room) {
    const hm_cuda_caller call = {d};
    const int across = n <= 8 * V ? 8 : 32;
    const unsigned columns = hm_blocks(n, across * V);
    if (columns > SLOTS)
        HM_FAIL(HM_ERR_UNSUPPORTED, "sums over rows of %lld numbers are too many for the GPU", (long long)n);
    HM_LAUNCH(&call, (column_sums<T, V>), dim3(columns, (unsigned)hm_column_sums_parts(rows, n)), THREADS, 0, out, room,
              take_slots(d, columns), x, rows, n, across);
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
