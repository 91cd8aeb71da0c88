/* cuda.cu: attention on the GPU, the score matrix never leaving a block (Dao 2023, "FlashAttention-2"): a running row
 * maximum and sum replace it; the backward pass rebuilds the probabilities from the log-sum-exp, once by blocks of
 * queries for dq and once by blocks of keys for dk and dv, so that nothing is added up by atomics.
 *
 * Any head size and type: tiles in shared memory, everything in fp32. */
#include "ops/attention/attention_attr.h"
#include "ops/cuda_op.cuh"

extern "C" HM_CUDA_DECLARE(attention);
extern "C" HM_CUDA_DECLARE(attention_back);

#define LOG2E 1.4426950408889634f
#define LN2   0.6931471805599453f

/* Blocks are numbered by (image, head, block of rows), the last one running fastest. */
struct sizes {
    int heads, nq, nk, d;
    int64_t c;
    float scale; /* of scores */
};

static sizes sizes_of(const hm_attention_sizes *s) {
    return sizes{(int)s->heads, (int)s->nq, (int)s->nk, (int)s->d, s->c, 1 / sqrtf((float)s->d)};
}

/* Where a block works: its first row, and where its image and head begin in q (y, dq), k (v, dk) and statistics. */
struct place {
    int first;
    int64_t q, k, row;
    __device__ place(const sizes &s, int rows, int per_block) {
        const int blocks = (rows + per_block - 1) / per_block, head = blockIdx.x / blocks % s.heads;
        const int64_t image = blockIdx.x / blocks / s.heads;
        first = blockIdx.x % blocks * per_block;
        q = image * s.nq * s.c + head * s.d;
        k = image * s.nk * s.c + head * s.d;
        row = (image * s.heads + head) * s.nq;
    }
};

static unsigned blocks_of(const hm_attention_sizes *s, int64_t rows, int64_t per_block) {
    return (unsigned)(s->batch * s->heads * ((rows + per_block - 1) / per_block));
}

/* ---- any type and head size
 *
 * A block owns ROWS rows (queries, or keys) of one head and goes through the other side by tiles. It has 16 x 16
 * threads; thread (x, y) has rows 4 y .. 4 y + 3 and, of a tile's scores, columns x, x + 16, ..; of DC channels
 * C x .. C x + C - 1. Tiles are [rows][DC + 4] floats: eight neighbouring rows then start in different banks. Head
 * sizes over DC go by parts, and further blocks (blockIdx.y) compute further parts of the outputs. */

#define ROWS    64
#define THREADS 256
#define PITCH   (DC + 4)

/* tile = rows first .. of a matrix of n rows, channels from `channel`; 0 outside. */
template <int DC, int TILE>
static __device__ void fetch(float *tile, hm_in x, int64_t at, int first, int n, int channel, const sizes &s) {
    for (int i = threadIdx.x; i < TILE * DC; i += THREADS) {
        const int row = i / DC, l = i % DC;
        const bool there = first + row < n && channel + l < s.d;
        tile[row * PITCH + l] = there ? x[at + (first + row) * s.c + channel + l] : 0;
    }
}

/* s[i][j] += <row 4 y + i of a, row x + 16 j of b> */
template <int DC, int N> static __device__ void dots(float s[4][N], const float *a, const float *b) {
    const int x = threadIdx.x % 16, y = threadIdx.x / 16;
#pragma unroll 4
    for (int l = 0; l < DC; l += 4) {
        float mine[4][4], other[4];
#pragma unroll
        for (int i = 0; i < 4; i++)
            hm_load<4>(a + (4 * y + i) * PITCH + l, mine[i]);
#pragma unroll
        for (int j = 0; j < N; j++) {
            hm_load<4>(b + (x + 16 * j) * PITCH + l, other);
#pragma unroll
            for (int i = 0; i < 4; i++)
#pragma unroll
                for (int u = 0; u < 4; u++)
                    s[i][j] += mine[i][u] * other[u];
        }
    }
}

/* out[i][c] += sum over j < N of w[4 y + i][j] b[j][C x + c], w [ROWS][N + 4] */
template <int DC, int N> static __device__ void add(float out[4][DC / 16], const float *w, const float *b) {
    const int x = threadIdx.x % 16, y = threadIdx.x / 16;
#pragma unroll 2
    for (int j = 0; j < N; j += 4) {
        float mine[4][4], other[DC / 16];
#pragma unroll
        for (int i = 0; i < 4; i++)
            hm_load<4>(w + (4 * y + i) * (N + 4) + j, mine[i]);
#pragma unroll
        for (int u = 0; u < 4; u++) {
            hm_load<DC / 16>(b + (j + u) * PITCH + DC / 16 * x, other);
#pragma unroll
            for (int i = 0; i < 4; i++)
#pragma unroll
                for (int c = 0; c < DC / 16; c++)
                    out[i][c] += mine[i][u] * other[c];
        }
    }
}

/* w[4 y + i][x + 16 j] = s[i][j], w [ROWS][16 N + 4] */
template <int N> static __device__ void spread(float *w, const float s[4][N]) {
    const int x = threadIdx.x % 16, y = threadIdx.x / 16;
#pragma unroll
    for (int i = 0; i < 4; i++)
#pragma unroll
        for (int j = 0; j < N; j++)
            w[(4 * y + i) * (16 * N + 4) + x + 16 * j] = s[i][j];
}

/* Rows 4 y + i of an output, times by[i]. */
template <int DC>
static __device__ void store(hm_out to, int64_t at, int first, int n, const float out[4][DC / 16], const float by[4],
                             const sizes &s) {
    const int x = threadIdx.x % 16, y = threadIdx.x / 16, channel = blockIdx.y * DC + DC / 16 * x;
    for (int i = 0; i < 4; i++)
        for (int c = 0; c < DC / 16; c++)
            if (first + 4 * y + i < n && channel + c < s.d)
                to.put(at + (first + 4 * y + i) * s.c + channel + c, out[i][c] * by[i]);
}

/* Over the 16 threads that share rows. */
static __device__ float max_of_row(float x) {
    for (int lane = 8; lane > 0; lane >>= 1)
        x = fmaxf(x, __shfl_xor_sync(0xFFFFFFFFu, x, lane));
    return x;
}
static __device__ float sum_of_row(float x) {
    for (int lane = 8; lane > 0; lane >>= 1)
        x += __shfl_xor_sync(0xFFFFFFFFu, x, lane);
    return x;
}

#define KEYS 64 /* of a tile */

/* Turns the first `cols` columns of scores into weights exp(s - max) and the rest into 0; rescales the sums so far to
 * the new maximum. fmaxf skips NaNs: they come back through the exponential. */
template <int DC>
static __device__ void fold(float s[4][KEYS / 16], float max[4], float sum[4], float out[4][DC / 16], int cols,
                            float scale) {
    const int x = threadIdx.x % 16;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        float to = max[i];
        for (int j = 0; j < KEYS / 16; j++)
            to = x + 16 * j < cols ? fmaxf(to, s[i][j]) : to;
        to = max_of_row(to);
        const float keep = exp2f((max[i] - to) * scale);
        max[i] = to;
        sum[i] *= keep;
        for (int c = 0; c < DC / 16; c++)
            out[i][c] *= keep;
        for (int j = 0; j < KEYS / 16; j++) {
            s[i][j] = x + 16 * j < cols ? exp2f((s[i][j] - to) * scale) : 0;
            sum[i] += s[i][j];
        }
    }
}

template <int DC>
static __global__ __launch_bounds__(THREADS) void forward(hm_out y, hm_out lse, hm_in q, hm_in k, hm_in v, sizes s) {
    HM_DYNAMIC_SHARED(float, shared);
    float *const own = shared, *const other = own + ROWS * PITCH, *const w = other + KEYS * PITCH;
    const place at(s, s.nq, ROWS);
    float max[4], sum[4] = {}, out[4][DC / 16] = {};
    for (int i = 0; i < 4; i++)
        max[i] = -INFINITY;
    for (int key = 0; key < s.nk; key += KEYS) {
        float scores[4][KEYS / 16] = {};
        for (int part = 0; part < s.d; part += DC) {
            __syncthreads(); /* the tiles have been read */
            if (key == 0 || s.d > DC)
                fetch<DC, ROWS>(own, q, at.q, at.first, s.nq, part, s);
            fetch<DC, KEYS>(other, k, at.k, key, s.nk, part, s);
            __syncthreads();
            dots<DC>(scores, own, other);
        }
        fold<DC>(scores, max, sum, out, s.nk - key, s.scale * LOG2E);
        spread(w, scores);
        __syncthreads(); /* so have the keys, whose place the values take */
        fetch<DC, KEYS>(other, v, at.k, key, s.nk, blockIdx.y * DC, s);
        __syncthreads();
        add<DC, KEYS>(out, w, other);
    }
    for (int i = 0; i < 4; i++) {
        const int row = at.first + threadIdx.x / 16 * 4 + i;
        sum[i] = sum_of_row(sum[i]);
        if (row < s.nq && threadIdx.x % 16 == 0 && blockIdx.y == 0)
            lse.put(at.row + row, max[i] * s.scale + logf(sum[i]));
        sum[i] = 1 / sum[i];
    }
    store<DC>(y, at.q, at.first, s.nq, out, sum, s);
}

template <int DC> static hm_status run_forward(const hm_call *c, const hm_attention_sizes *s) {
    const size_t shared = ((ROWS + KEYS) * PITCH + ROWS * (KEYS + 4)) * sizeof(float);
    HM_CUDA_TRY(cudaFuncSetAttribute(forward<DC>, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)shared));
    HM_LAUNCH(c, forward<DC>, dim3(blocks_of(s, s->nq, ROWS), hm_blocks(s->d, DC)), THREADS, shared, hm_output(c, 0),
              hm_output(c, 1), hm_input(c, 0), hm_input(c, 1), hm_input(c, 2), sizes_of(s));
    return HM_OK;
}

/* dot [B, heads, nq] = <dy, y> of a row and head, which is sum_j p_j dp_j: a warp each. */
static __global__ void row_dots(float *dot, hm_in y, hm_in dy, int64_t n, sizes s) {
    const int64_t i = (int64_t)blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32;
    if (i >= n)
        return;
    const int64_t head = i / s.nq % s.heads, image = i / s.nq / s.heads;
    const int64_t at = (image * s.nq + i % s.nq) * s.c + head * s.d;
    float sum = 0;
    for (int l = threadIdx.x % 32; l < s.d; l += 32)
        sum += y[at + l] * dy[at + l];
    sum = hm_warp_sum(sum);
    if (threadIdx.x % 32 == 0)
        dot[i] = sum;
}

#define OTHERS 32 /* rows of the other side's tile */

/* p = exp(s - lse) over the scores and ds / scale = p (dp - dot) over dp; 0 for rows of the other side from `n` on. The
 * rows of the other side are queries when the own ones are keys. */
template <bool OF_KEYS>
static __device__ void rebuild(float p[4][OTHERS / 16], float dp[4][OTHERS / 16], hm_in lse, const float *dot,
                               int64_t stats, int own, int other, int n, const sizes &s) {
    const int x = threadIdx.x % 16, y = threadIdx.x / 16;
#pragma unroll
    for (int i = 0; i < 4; i++)
#pragma unroll
        for (int j = 0; j < OTHERS / 16; j++) {
            const int mine = own + 4 * y + i, theirs = other + x + 16 * j, row = OF_KEYS ? theirs : mine;
            const bool there = theirs < n && row < s.nq;
            const float shift = there ? lse[stats + row] : 0, less = there ? dot[stats + row] : 0;
            p[i][j] = there ? exp2f((p[i][j] * s.scale - shift) * LOG2E) : 0;
            dp[i][j] = p[i][j] * (dp[i][j] - less);
        }
}

/* One kernel for both sides. Own rows are keys: out0 = dk, out1 = dv, own0 = k, own1 = v, other0 = q, other1 = dy. They
 * are queries: out0 = dq, own0 = q, own1 = dy, other0 = k, other1 = v. */
template <int DC, bool OF_KEYS>
static __global__ __launch_bounds__(THREADS) void backward(hm_out out0, hm_out out1, hm_in own0, hm_in own1,
                                                           hm_in other0, hm_in other1, hm_in lse, const float *dot,
                                                           sizes s) {
    HM_DYNAMIC_SHARED(float, shared);
    float *const a0 = shared, *const a1 = a0 + ROWS * PITCH, *const b0 = a1 + ROWS * PITCH,
                 *const b1 = b0 + OTHERS * PITCH, *const w = b1 + OTHERS * PITCH;
    const int mine = OF_KEYS ? s.nk : s.nq, theirs = OF_KEYS ? s.nq : s.nk;
    const place at(s, mine, ROWS);
    const int64_t at_own = OF_KEYS ? at.k : at.q, at_other = OF_KEYS ? at.q : at.k;
    float sum0[4][DC / 16] = {}, sum1[4][DC / 16] = {};
    for (int other = 0; other < theirs; other += OTHERS) {
        float p[4][OTHERS / 16] = {}, ds[4][OTHERS / 16] = {};
        for (int part = 0; part < s.d; part += DC) {
            __syncthreads(); /* the tiles have been read */
            if (other == 0 || s.d > DC) {
                fetch<DC, ROWS>(a0, own0, at_own, at.first, mine, part, s);
                fetch<DC, ROWS>(a1, own1, at_own, at.first, mine, part, s);
            }
            fetch<DC, OTHERS>(b0, other0, at_other, other, theirs, part, s);
            fetch<DC, OTHERS>(b1, other1, at_other, other, theirs, part, s);
            __syncthreads();
            dots<DC>(p, a0, b0);
            dots<DC>(ds, a1, b1);
        }
        rebuild<OF_KEYS>(p, ds, lse, dot, at.row, at.first, other, theirs, s);
        if (s.d > DC) {
            __syncthreads();
            fetch<DC, OTHERS>(b0, other0, at_other, other, theirs, blockIdx.y * DC, s);
            fetch<DC, OTHERS>(b1, other1, at_other, other, theirs, blockIdx.y * DC, s);
        }
        if (OF_KEYS) {
            spread(w, p);
            __syncthreads();
            add<DC, OTHERS>(sum1, w, b1);
            __syncthreads();
        }
        spread(w, ds);
        __syncthreads();
        add<DC, OTHERS>(sum0, w, b0);
    }
    const float scale[4] = {s.scale, s.scale, s.scale, s.scale}, one[4] = {1, 1, 1, 1};
    store<DC>(out0, at_own, at.first, mine, sum0, scale, s);
    if (OF_KEYS)
        store<DC>(out1, at_own, at.first, mine, sum1, one, s);
}

template <int DC> static hm_status run_backward(const hm_call *c, const hm_attention_sizes *s) {
    const size_t shared = ((ROWS + OTHERS) * 2 * PITCH + ROWS * (OTHERS + 4)) * sizeof(float);
    const hm_in q = hm_input(c, 0), k = hm_input(c, 1), v = hm_input(c, 2), lse = hm_input(c, 4), dy = hm_input(c, 5);
    float *const dot = (float *)c->work;
    const int64_t rows = s->batch * s->heads * s->nq;
    const unsigned parts = hm_blocks(s->d, DC);
    HM_LAUNCH(c, row_dots, hm_blocks(rows, 8), 256, 0, dot, hm_input(c, 3), dy, rows, sizes_of(s));
    HM_CUDA_TRY(cudaFuncSetAttribute((backward<DC, false>), cudaFuncAttributeMaxDynamicSharedMemorySize, (int)shared));
    HM_LAUNCH(c, (backward<DC, false>), dim3(blocks_of(s, s->nq, ROWS), parts), THREADS, shared, hm_output(c, 0),
              hm_out(), q, dy, k, v, lse, dot, sizes_of(s));
    HM_CUDA_TRY(cudaFuncSetAttribute((backward<DC, true>), cudaFuncAttributeMaxDynamicSharedMemorySize, (int)shared));
    HM_LAUNCH(c, (backward<DC, true>), dim3(blocks_of(s, s->nk, ROWS), parts), THREADS, shared, hm_output(c, 1),
              hm_output(c, 2), k, v, q, dy, lse, dot, sizes_of(s));
    return HM_OK;
}

/* ---- the ops */

hm_status attention_cuda(const hm_call *c) {
    const hm_attention_sizes s = hm_attention_sizes_of(c->node);
    return s.d > 32 ? run_forward<64>(c, &s) : run_forward<32>(c, &s);
}

hm_status attention_back_cuda(const hm_call *c) {
    const hm_attention_sizes s = hm_attention_sizes_of(c->node);
    return s.d > 32 ? run_backward<64>(c, &s) : run_backward<32>(c, &s);
}
