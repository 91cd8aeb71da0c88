/* cuda.cu: choice of rows on the GPU. topk sorts a row's keys in one block (a bitonic network): a key holds the value's
 * order in its high half and the inverted index in its low half, so that all keys differ and ties go to the lower
 * index; NaN counts as the largest number. gather_rows_back lets every row of dx look for its index and add what it
 * finds in order. Indices outside of the rows give zeros. */
#include "ops/cuda_move.cuh"
#include "ops/select/select_attr.h"

extern "C" HM_CUDA_DECLARE(hm_max_last);
extern "C" HM_CUDA_DECLARE(hm_topk);
extern "C" HM_CUDA_DECLARE(hm_gather_rows);
extern "C" HM_CUDA_DECLARE(hm_gather_rows_back);
extern "C" HM_CUDA_DECLARE(hm_mask_rows);

#define THREADS 256
#define WARPS   (THREADS / 32)

/* ---- max_last */

static __device__ float larger(float a, float b) {
    return a != a || a > b ? a : b;
}

/* A warp for each row. */
static __global__ void row_max(hm_out y, hm_in x, int64_t rows, int64_t n) {
    const int64_t row = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32;
    if (row >= rows)
        return;
    float best = -INFINITY;
    for (int64_t i = threadIdx.x % 32; i < n; i += 32)
        best = larger(x[row * n + i], best);
    for (int lane = 16; lane > 0; lane >>= 1)
        best = larger(__shfl_xor_sync(0xFFFFFFFFu, best, lane), best);
    if (threadIdx.x % 32 == 0)
        y.put(row, best);
}

hm_status hm_max_last_cuda(const hm_call *c) {
    const int64_t n = hm_dim(c->node->in[0], -1), rows = hm_rows(c->node->in[0], 1);
    HM_LAUNCH(c, row_max, hm_blocks(rows, WARPS), THREADS, 0, hm_output(c, 0), hm_input(c, 0), rows, n);
    return HM_OK;
}

/* ---- topk */

static __device__ uint64_t key_of(float x, int64_t i) {
    const uint32_t u = __float_as_uint(x + 0.0f); /* -0 and 0 are equal */
    const uint32_t order = x != x ? 0xFFFFFFFFu : (u & 0x80000000u) ? ~u : u | 0x80000000u;
    return (uint64_t)order << 32 | (0xFFFFFFFFu - (uint32_t)i);
}

/* Sorts n keys (a power of two, at least 64), the largest first. A warp's pairs at distances up to 32 lie in 64 keys
 * that no other warp touches meanwhile, so that such steps need no barrier of the block. */
static __device__ void sort(uint64_t *key, int n) {
    __syncthreads();
    for (int size = 2; size <= n; size *= 2)
        for (int apart = size / 2; apart > 0; apart /= 2) {
            for (int pair = (int)threadIdx.x; pair < n / 2; pair += (int)blockDim.x) {
                const int i = 2 * pair - (pair & (apart - 1)), j = i + apart;
                const uint64_t a = key[i], b = key[j];
                if ((a < b) == ((i & size) == 0)) {
                    key[i] = b;
                    key[j] = a;
                }
            }
            if (apart > 32 || (apart == 1 && size > 32))
                __syncthreads();
            else
                __syncwarp();
        }
    __syncthreads();
}

/* A block for each row: the best k come first, and behind them new keys, until all n have been seen. */
static __global__ void topk(int32_t *y, hm_in x, uint64_t *work, int keys, int64_t n, int64_t k) {
    HM_DYNAMIC_SHARED(uint64_t, shared);
    const int64_t row = blockIdx.x;
    uint64_t *const key = work != NULL ? work + row * keys : shared;
    int64_t kept = 0;
    for (int64_t seen = 0; seen < n; seen += keys - kept) {
        kept = seen > 0 ? k : 0;
        for (int64_t i = kept + threadIdx.x; i < keys; i += blockDim.x) {
            const int64_t at = seen + i - kept;
            key[i] = at < n ? key_of(x[row * n + at], at) : 0;
        }
        sort(key, keys);
    }
    for (int64_t i = threadIdx.x; i < k; i += blockDim.x)
        y[row * k + i] = (int32_t)(0xFFFFFFFFu - (uint32_t)key[i]);
}

hm_status hm_topk_cuda(const hm_call *c) {
    const int64_t n = hm_dim(c->node->in[0], -1), rows = hm_rows(c->node->in[0], 1), k = hm_dim(c->node->out[0], -1);
    const int64_t keys = hm_topk_keys(n, k);
    const bool fits = keys <= HM_TOPK_SHARED;
    if (k > 0)
        HM_LAUNCH(c, topk, hm_blocks(rows, 1), (unsigned)(keys > 2048 ? 1024 : keys / 2),
                  fits ? (size_t)keys * sizeof(uint64_t) : 0, (int32_t *)c->out[0], hm_input(c, 0),
                  fits ? NULL : (uint64_t *)c->work, (int)keys, n, k);
    return HM_OK;
}

/* ---- gather_rows, mask_rows */

/* channels in words; image and row of an output: r = image * k + j */
template <typename M>
static __global__ void gather(M move, const int32_t *index, hm_divisor channels, hm_divisor k, int64_t rows,
                              int64_t count) {
    for (hm_each(i, count)) {
        int64_t at, j;
        const int64_t r = channels.split(i, &at), image = k.split(r, &j);
        const int32_t row = index[r];
        move.put(i, row >= 0 && row < rows ? move.get((image * rows + row) * channels.by + at) : typename M::unit{});
    }
}

hm_status hm_gather_rows_cuda(const hm_call *c) {
    const hm_tensor *const t = c->node->in[0];
    const hm_out y = hm_output(c, 0);
    const hm_in x = hm_input(c, 0);
    const int64_t width = hm_move_width(y, x, t->shape.dim[2]), count = hm_count(c->node->out[0]) / width;
    const hm_divisor channels = hm_divide_by(t->shape.dim[2] / width), k = hm_divide_by(hm_dim(c->node->in[1], 1));
    HM_BY_MOVE(y.type, x.type, width, M, {
        HM_LAUNCH(c, gather<M>, hm_blocks_strided(count, THREADS), THREADS, 0, M::make(y, x), (const int32_t *)c->in[1],
                  channels, k, t->shape.dim[1], count);
    });
    return HM_OK;
}

/* y may be x; then only what is masked is written. */
template <typename M>
static __global__ void mask(M move, const uint8_t *keep, hm_divisor channels, int64_t count, bool same) {
    for (hm_each(i, count)) {
        int64_t at;
        if (!keep[channels.split(i, &at)])
            move.put(i, typename M::unit{});
        else if (!same)
            move.put(i, move.get(i));
    }
}

hm_status hm_mask_rows_cuda(const hm_call *c) {
    const int64_t channels = hm_dim(c->node->in[0], -1);
    const hm_out y = hm_output(c, 0);
    const hm_in x = hm_input(c, 0);
    const int64_t width = hm_move_width(y, x, channels), count = hm_count(c->node->in[0]) / width;
    HM_BY_MOVE(y.type, x.type, width, M, {
        HM_LAUNCH(c, mask<M>, hm_blocks_strided(count, THREADS), THREADS, 0, M::make(y, x), (const uint8_t *)c->in[1],
                  hm_divide_by(channels / width), count, x.p == y.p);
    });
    return HM_OK;
}

/* ---- gather_rows_back */

/* A warp for 32 N channels of one row of dx: `chunks` warps for each of its rows [batch, rows, channels]. */
template <int N>
static __global__ void scatter(hm_out dx, hm_in dout, const int32_t *index, hm_divisor chunks, hm_divisor rows, int k,
                               int64_t channels, int64_t warps) {
    const int64_t warp = (int64_t)blockIdx.x * WARPS + threadIdx.x / 32;
    if (warp >= warps)
        return;
    const int lane = threadIdx.x % 32;
    int64_t chunk, row;
    const int64_t r = chunks.split(warp, &chunk), image = rows.split(r, &row), channel = (chunk * 32 + lane) * N;
    float sum[N] = {0};
    for (int first = 0; first < k; first += 32) {
        const bool mine = first + lane < k && index[image * k + first + lane] == row;
        for (unsigned found = __ballot_sync(0xFFFFFFFFu, mine); found != 0; found &= found - 1) {
            float x[N] = {0};
            if (channel < channels)
                hm_load<N>(dout, (image * k + first + __ffs((int)found) - 1) * channels + channel, x);
            for (int n = 0; n < N; n++)
                sum[n] += x[n];
        }
    }
    if (channel < channels)
        hm_save<N>(dx, r * channels + channel, sum);
}

hm_status hm_gather_rows_back_cuda(const hm_call *c) {
    const hm_tensor *const dx = c->node->out[0];
    const int64_t channels = hm_dim(dx, 2), width = channels % 4 == 0 ? 4 : 1;
    const int64_t chunks = (channels + 32 * width - 1) / (32 * width), warps = hm_rows(dx, 1) * chunks;
    const hm_divisor by_chunks = hm_divide_by(chunks), by_rows = hm_divide_by(hm_dim(dx, 1));
    const int k = (int)hm_dim(c->node->in[0], 1);
    if (width == 4)
        HM_LAUNCH(c, scatter<4>, hm_blocks(warps, WARPS), THREADS, 0, hm_output(c, 0), hm_input(c, 0),
                  (const int32_t *)c->in[1], by_chunks, by_rows, k, channels, warps);
    else
        HM_LAUNCH(c, scatter<1>, hm_blocks(warps, WARPS), THREADS, 0, hm_output(c, 0), hm_input(c, 0),
                  (const int32_t *)c->in[1], by_chunks, by_rows, k, channels, warps);
    return HM_OK;
}
