/* cuda.cu: attention on the GPU, the score matrix never leaving a block (Dao 2023, "FlashAttention-2"): a running row
 * maximum and sum replace it; the backward pass rebuilds the probabilities from the log-sum-exp, once by blocks of
 * queries for dq and once by blocks of keys for dk and dv, so that nothing is added up by atomics.
 *
 * Any head size and type: tiles in shared memory, everything in fp32. Halves with the usual head sizes: tensor cores,
 * probabilities and their gradients rounded to the same half before they are multiplied, sums in fp32. */
#include "device/cuda/mma.cuh"
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

/* ---- halves, head sizes 16, 32 and 64: tensor cores
 *
 * Four warps a block. A warp owns MT times 16 rows and multiplies them by tiles of TILE rows of the other side: first
 * its rows' registers (A) by the tile, rows as columns of B, which gives scores; the scores' weights, rounded to T,
 * stay in registers and are the A of the second product, whose B is a tile again, this time rows as k. Fragments are
 * laid out as mma.cuh says: g = lane / 4, t = lane % 4. Tiles come by asynchronous copies, one ahead. */

#define WARPS 4
#define TILE  64

/* Where in a tile of rows of D halves the 16-byte piece `piece` of a row lies: rearranged so that any eight rows that
 * ldmatrix reads at once (8 i .. 8 i + 7) lie in different banks. */
template <int D> static __device__ unsigned piece_at(int row, int piece) {
    const int pieces = D / 8, turn = row / (8 / pieces) % pieces;
    return (unsigned)(row * pieces + (piece ^ turn)) * 16;
}

/* The rows a lane names to ldmatrix for 16 rows x 16 channels; others are whole multiples of 16 rows (16 * 2 D bytes)
 * away, or 2 i pieces (^ 32 i). As B with rows as columns, r[0] and r[1] are columns 0..7, r[2] and r[3] 8..15. */
template <int D> static __device__ unsigned lane_as_columns(void) {
    const int lane = threadIdx.x % 32;
    return piece_at<D>(lane / 16 * 8 + lane % 8, lane / 8 % 2);
}
/* As A: r is a. As B with rows as k (hm_ldmatrix_trans): r[0] and r[1] are channels 0..7, r[2] and r[3] 8..15. */
template <int D> static __device__ unsigned lane_as_rows(void) {
    const int lane = threadIdx.x % 32;
    return piece_at<D>(lane / 8 % 2 * 8 + lane % 8, lane / 16);
}

/* tile = N rows first .. of a matrix of n rows; zeros beyond. */
template <int D, int N, typename T>
static __device__ void bring(hm_shared_at tile, const T *x, int first, int n, int64_t c) {
    const int pieces = D / 8, step = WARPS * 32 / pieces; /* step is a multiple of 8: piece_at turns as for `row` */
    const int row = threadIdx.x / pieces, piece = threadIdx.x % pieces;
    const hm_shared_at to = tile + piece_at<D>(row, piece);
    x += (first + row) * c + piece * 8;
#pragma unroll
    for (int i = 0; i < N / step; i++)
        hm_copy_async<16>(to + i * step * D * sizeof(T), x + i * step * c, first + row + i * step < n);
}

/* a = rows first .. first + 15, D channels, as A of D / 16 products; zeros beyond row n. */
template <int D, typename T>
static __device__ void own_rows(uint32_t a[D / 16][4], const T *x, int first, int n, int64_t c) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        const int row = first + lane / 4 + i % 2 * 8;
        const uint32_t *const from = (const uint32_t *)(x + row * c) + lane % 4 + i / 2 * 4;
#pragma unroll
        for (int k = 0; k < D / 16; k++)
            a[k][i] = row < n ? from[8 * k] : 0;
    }
}

/* s[m][j] += own rows x columns 8 j .. 8 j + 7, which are rows of the tile; `lane` is lane_as_columns. */
template <typename T, int D, int MT, int N>
static __device__ void score(float s[MT][N / 8][4], const uint32_t a[MT][D / 16][4], hm_shared_at tile, unsigned lane) {
#pragma unroll
    for (int k = 0; k < D / 16; k++)
#pragma unroll
        for (int j = 0; j < N / 16; j++) {
            uint32_t b[4];
            hm_ldmatrix(b, tile + (lane ^ 32 * k) + j * 32 * D);
#pragma unroll
            for (int m = 0; m < MT; m++) {
                hm_mma<T>(s[m][2 * j], a[m][k], b[0], b[1]);
                hm_mma<T>(s[m][2 * j + 1], a[m][k], b[2], b[3]);
            }
        }
}

/* The same where the own rows lie in shared memory too, from `own` on; `rows` is lane_as_rows. */
template <typename T, int D, int MT, int N>
static __device__ void score_shared(float s[MT][N / 8][4], hm_shared_at own, unsigned rows, hm_shared_at tile,
                                    unsigned lane) {
#pragma unroll
    for (int k = 0; k < D / 16; k++) {
        uint32_t a[MT][4];
#pragma unroll
        for (int m = 0; m < MT; m++)
            hm_ldmatrix(a[m], own + (rows ^ 32 * k) + m * 32 * D);
#pragma unroll
        for (int j = 0; j < N / 16; j++) {
            uint32_t b[4];
            hm_ldmatrix(b, tile + (lane ^ 32 * k) + j * 32 * D);
#pragma unroll
            for (int m = 0; m < MT; m++) {
                hm_mma<T>(s[m][2 * j], a[m], b[0], b[1]);
                hm_mma<T>(s[m][2 * j + 1], a[m], b[2], b[3]);
            }
        }
    }
}

/* out[m][c] += w[m], rounded to T, x tile, N rows of it; out's columns are channels 8 c .. 8 c + 7; `lane` is
 * lane_as_rows. */
template <typename T, int D, int MT, int N>
static __device__ void gather(float out[MT][D / 8][4], const float w[MT][N / 8][4], hm_shared_at tile, unsigned lane) {
#pragma unroll
    for (int k = 0; k < N / 16; k++) {
        uint32_t a[MT][4];
#pragma unroll
        for (int m = 0; m < MT; m++)
#pragma unroll
            for (int i = 0; i < 4; i++)
                a[m][i] = hm_pair<T>(w[m][2 * k + i / 2][i % 2 * 2], w[m][2 * k + i / 2][i % 2 * 2 + 1]);
#pragma unroll
        for (int c = 0; c < D / 16; c++) {
            uint32_t b[4];
            hm_ldmatrix_trans(b, tile + (lane ^ 32 * c) + k * 32 * D);
#pragma unroll
            for (int m = 0; m < MT; m++) {
                hm_mma<T>(out[m][2 * c], a[m], b[0], b[1]);
                hm_mma<T>(out[m][2 * c + 1], a[m], b[2], b[3]);
            }
        }
    }
}

/* Rows g and g + 8 from `first` on of an output, times by[0] and by[1]. */
template <int D>
static __device__ void put_rows(hm_out to, int64_t at, int first, int n, const float out[D / 8][4], float by0,
                                float by1, int64_t c) {
    const int lane = threadIdx.x % 32;
#pragma unroll
    for (int half = 0; half < 2; half++) {
        const int row = first + lane / 4 + 8 * half;
        const float by = half ? by1 : by0;
        if (row >= n)
            continue;
#pragma unroll
        for (int j = 0; j < D / 8; j++) {
            const int64_t i = at + row * c + 8 * j + lane % 4 * 2;
            const float a = out[j][2 * half] * by, b = out[j][2 * half + 1] * by;
            if (to.type == HM_F32)
                *(float2 *)((float *)to.p + i) = make_float2(a, b);
            else
                *(uint32_t *)((uint16_t *)to.p + i) =
                    to.type == HM_F16 ? hm_pair<__half>(a, b) : hm_pair<__nv_bfloat16>(a, b);
        }
    }
}

/* Over the four lanes that share rows. */
static __device__ float max_of_quad(float x) {
    x = fmaxf(x, __shfl_xor_sync(0xFFFFFFFFu, x, 1));
    return fmaxf(x, __shfl_xor_sync(0xFFFFFFFFu, x, 2));
}
static __device__ float sum_of_quad(float x) {
    x += __shfl_xor_sync(0xFFFFFFFFu, x, 1);
    return x + __shfl_xor_sync(0xFFFFFFFFu, x, 2);
}

/* fold() for rows g (half 0) and g + 8 (half 1): scale includes log2(e). */
template <int D>
static __device__ void fold_rows(float s[TILE / 8][4], float max[2], float sum[2], float out[D / 8][4], float scale) {
#pragma unroll
    for (int half = 0; half < 2; half++) {
        float to = max[half];
#pragma unroll
        for (int j = 0; j < TILE / 8; j++)
            to = fmaxf(to, fmaxf(s[j][2 * half], s[j][2 * half + 1]));
        to = max_of_quad(to);
        const float shift = to * scale, keep = hm_exp2_fast(max[half] * scale - shift);
        float here = 0;
        max[half] = to;
#pragma unroll
        for (int j = 0; j < TILE / 8; j++)
#pragma unroll
            for (int i = 2 * half; i < 2 * half + 2; i++) {
                s[j][i] = hm_exp2_fast(fmaf(s[j][i], scale, -shift));
                here += s[j][i];
            }
        sum[half] = sum[half] * keep + here;
#pragma unroll
        for (int c = 0; c < D / 8; c++) {
            out[c][2 * half] *= keep;
            out[c][2 * half + 1] *= keep;
        }
    }
}

/* s of columns from `cols` on = value */
template <int MT, int N> static __device__ void mask_columns(float s[MT][N / 8][4], int cols, float value) {
    const int column = threadIdx.x % 4 * 2;
#pragma unroll
    for (int m = 0; m < MT; m++)
#pragma unroll
        for (int j = 0; j < N / 8; j++)
#pragma unroll
            for (int i = 0; i < 4; i++)
                s[m][j][i] = 8 * j + column + i % 2 < cols ? s[m][j][i] : value;
}

/* One times 16 rows a warp: with two there are too few warps to hide the exponentials. */
template <typename T, int D>
static __global__ __launch_bounds__(WARPS * 32, 3) void mma_forward(hm_out y, float *lse, const T *q, const T *k,
                                                                    const T *v, sizes s) {
    constexpr int MT = 1;
    HM_DYNAMIC_SHARED(unsigned char, shared); /* [2][k, v][TILE][D] */
    const hm_shared_at tiles = hm_shared_of(shared);
    const unsigned bytes = TILE * D * sizeof(T), columns = lane_as_columns<D>(), rows = lane_as_rows<D>();
    const place at(s, s.nq, WARPS * 16 * MT);
    const int first = at.first + threadIdx.x / 32 * 16 * MT;
    const float scale = s.scale * LOG2E;
    k += at.k;
    v += at.k;
    bring<D, TILE>(tiles, k, 0, s.nk, s.c);
    bring<D, TILE>(tiles + bytes, v, 0, s.nk, s.c);
    uint32_t a[MT][D / 16][4];
    float max[MT][2], sum[MT][2] = {}, out[MT][D / 8][4] = {};
#pragma unroll
    for (int m = 0; m < MT; m++) {
        own_rows<D>(a[m], q + at.q, first + 16 * m, s.nq, s.c);
        max[m][0] = max[m][1] = -INFINITY;
    }
    for (int key = 0, stage = 0; key < s.nk; key += TILE, stage ^= 1) {
        const hm_shared_at here = tiles + stage * 2 * bytes, next = tiles + (stage ^ 1) * 2 * bytes;
        hm_copy_wait();
        __syncthreads(); /* this tile is there, and nobody reads the one before any more */
        if (key + TILE < s.nk) {
            bring<D, TILE>(next, k, key + TILE, s.nk, s.c);
            bring<D, TILE>(next + bytes, v, key + TILE, s.nk, s.c);
        }
        if (first >= s.nq)
            continue;
        float w[MT][TILE / 8][4] = {};
        score<T, D, MT, TILE>(w, a, here, columns);
        if (key + TILE > s.nk)
            mask_columns<MT, TILE>(w, s.nk - key, -INFINITY);
#pragma unroll
        for (int m = 0; m < MT; m++)
            fold_rows<D>(w[m], max[m], sum[m], out[m], scale);
        gather<T, D, MT, TILE>(out, w, here + bytes, rows);
    }
#pragma unroll
    for (int m = 0; m < MT; m++) {
        for (int half = 0; half < 2; half++) {
            const int row = first + 16 * m + threadIdx.x % 32 / 4 + 8 * half;
            sum[m][half] = sum_of_quad(sum[m][half]);
            if (row < s.nq && threadIdx.x % 4 == 0)
                lse[at.row + row] = max[m][half] * s.scale + logf(sum[m][half]);
        }
        put_rows<D>(y, at.q, first + 16 * m, s.nq, out[m], 1 / sum[m][0], 1 / sum[m][1], s.c);
    }
}

#define SUB 32 /* columns of scores at once in the backward pass: registers are short */

/* dq, and for the other kernel stats [B, heads, nq, 2]: log-sum-exp in powers of 2, <dy, y>. */
template <typename T, int D, int MT>
static __global__ __launch_bounds__(WARPS * 32, MT == 2 ? 2 : 3) void mma_back_q(hm_out dq, float *stats, const T *q,
                                                                                 const T *k, const T *v, hm_in y,
                                                                                 const float *lse, const T *dy,
                                                                                 sizes s) {
    HM_DYNAMIC_SHARED(unsigned char, shared); /* [2][k, v][TILE][D] */
    const hm_shared_at tiles = hm_shared_of(shared);
    const unsigned bytes = TILE * D * sizeof(T), columns = lane_as_columns<D>(), rows = lane_as_rows<D>();
    const place at(s, s.nq, WARPS * 16 * MT);
    const int first = at.first + threadIdx.x / 32 * 16 * MT, lane = threadIdx.x % 32;
    const float scale = s.scale * LOG2E;
    k += at.k;
    v += at.k;
    bring<D, TILE>(tiles, k, 0, s.nk, s.c);
    bring<D, TILE>(tiles + bytes, v, 0, s.nk, s.c);
    uint32_t a[MT][D / 16][4], b[MT][D / 16][4]; /* q, dy */
    float shift[MT][2], less[MT][2], out[MT][D / 8][4] = {};
#pragma unroll
    for (int m = 0; m < MT; m++) {
        own_rows<D>(a[m], q + at.q, first + 16 * m, s.nq, s.c);
        own_rows<D>(b[m], dy + at.q, first + 16 * m, s.nq, s.c);
#pragma unroll
        for (int half = 0; half < 2; half++) {
            const int row = first + 16 * m + lane / 4 + 8 * half;
            const int64_t in_y = at.q + row * s.c + lane % 4 * 2;
            float dot = 0;
#pragma unroll
            for (int i = 0; i < D / 4; i++) { /* i = 4 k + 2 u + low or high: register half + 2 u of product k */
                const int u = i / 2 % 2;
                dot += row < s.nq
                           ? hm_half_of<T>(b[m][i / 4][half + 2 * u], i % 2) * y[in_y + i / 4 * 16 + u * 8 + i % 2]
                           : 0;
            }
            less[m][half] = sum_of_quad(dot);
            shift[m][half] = row < s.nq ? lse[at.row + row] * LOG2E : 0;
            if (row < s.nq && lane % 4 == 0)
                *(float2 *)(stats + 2 * (at.row + row)) = make_float2(shift[m][half], less[m][half]);
        }
    }
    for (int key = 0, stage = 0; key < s.nk; key += TILE, stage ^= 1) {
        const hm_shared_at here = tiles + stage * 2 * bytes, next = tiles + (stage ^ 1) * 2 * bytes;
        hm_copy_wait();
        __syncthreads(); /* this tile is there, and nobody reads the one before any more */
        if (key + TILE < s.nk) {
            bring<D, TILE>(next, k, key + TILE, s.nk, s.c);
            bring<D, TILE>(next + bytes, v, key + TILE, s.nk, s.c);
        }
        if (first >= s.nq)
            continue;
#pragma unroll
        for (int sub = 0; sub < TILE; sub += SUB) {
            if (key + sub >= s.nk)
                break;
            const hm_shared_at keys = here + sub * D * sizeof(T);
            float p[MT][SUB / 8][4] = {}, ds[MT][SUB / 8][4] = {};
            score<T, D, MT, SUB>(p, a, keys, columns);
            score<T, D, MT, SUB>(ds, b, keys + bytes, columns);
            if (key + sub + SUB > s.nk) /* their weights must not be inf, which times zero keys would be NaN */
                mask_columns<MT, SUB>(p, s.nk - key - sub, -INFINITY);
#pragma unroll
            for (int m = 0; m < MT; m++)
#pragma unroll
                for (int j = 0; j < SUB / 8; j++)
#pragma unroll
                    for (int i = 0; i < 4; i++)
                        ds[m][j][i] =
                            hm_exp2_fast(fmaf(p[m][j][i], scale, -shift[m][i / 2])) * (ds[m][j][i] - less[m][i / 2]);
            gather<T, D, MT, SUB>(out, ds, keys, rows);
        }
    }
#pragma unroll
    for (int m = 0; m < MT; m++)
        put_rows<D>(dq, at.q, first + 16 * m, s.nq, out[m], s.scale, s.scale, s.c);
}

/* dk and dv: rows are keys, columns queries. */
template <typename T, int D, int MT>
static __global__
__launch_bounds__(WARPS * 32, MT == 2 ? 2 : 3) void mma_back_k(hm_out dk, hm_out dv, const T *q, const T *k, const T *v,
                                                               const float *stats, const T *dy, sizes s) {
    const int OWN = WARPS * 16 * MT;
    HM_DYNAMIC_SHARED(unsigned char, shared); /* [k, v][OWN][D], [2][q, dy][TILE][D], stats [2][TILE][2] */
    const unsigned bytes = TILE * D * sizeof(T), own = OWN * D * sizeof(T);
    const unsigned columns = lane_as_columns<D>(), rows = lane_as_rows<D>();
    const hm_shared_at owns = hm_shared_of(shared), tiles = owns + 2 * own, numbers = tiles + 4 * bytes;
    const float *const at_numbers = (const float *)(shared + 2 * own + 4 * bytes);
    const place at(s, s.nk, OWN);
    const int warp = threadIdx.x / 32, first = at.first + warp * 16 * MT;
    const hm_shared_at mine = owns + warp * 16 * MT * D * sizeof(T);
    const float scale = s.scale * LOG2E;
    q += at.q;
    dy += at.q;
    stats += 2 * at.row;
    const auto fetch_queries = [&](int query, int stage) {
        const hm_shared_at to = tiles + stage * 2 * bytes;
        bring<D, TILE>(to, q, query, s.nq, s.c);
        bring<D, TILE>(to + bytes, dy, query, s.nq, s.c);
        const int i = threadIdx.x, row = query + i;
        if (i < TILE) /* zeros for absent queries, so that p = exp(0 - 0) meets dy = 0, and ds = p (0 - 0) */
            hm_copy_async<8>(numbers + (stage * TILE + i) * 8, stats + 2 * (row < s.nq ? row : 0), row < s.nq);
    };
    float out0[MT][D / 8][4] = {}, out1[MT][D / 8][4] = {}; /* dk / scale, dv */
    if (s.nq > 0) {
        bring<D, OWN>(owns, k + at.k, at.first, s.nk, s.c);
        bring<D, OWN>(owns + own, v + at.k, at.first, s.nk, s.c);
        fetch_queries(0, 0);
    }
    for (int query = 0, stage = 0; query < s.nq; query += TILE, stage ^= 1) {
        const hm_shared_at here = tiles + stage * 2 * bytes;
        hm_copy_wait();
        __syncthreads(); /* this tile is there, and nobody reads the one before any more */
        if (query + TILE < s.nq)
            fetch_queries(query + TILE, stage ^ 1);
        if (first >= s.nk)
            continue;
#pragma unroll
        for (int sub = 0; sub < TILE; sub += SUB) {
            if (query + sub >= s.nq)
                break;
            const hm_shared_at queries = here + sub * D * sizeof(T);
            const float *const number = at_numbers + (stage * TILE + sub + threadIdx.x % 4 * 2) * 2;
            float p[MT][SUB / 8][4] = {}, ds[MT][SUB / 8][4] = {};
            score_shared<T, D, MT, SUB>(p, mine, rows, queries, columns);
#pragma unroll
            for (int j = 0; j < SUB / 8; j++) { /* of queries 2 t and 2 t + 1 */
                const float shift[2] = {number[16 * j], number[16 * j + 2]};
#pragma unroll
                for (int m = 0; m < MT; m++)
#pragma unroll
                    for (int i = 0; i < 4; i++)
                        p[m][j][i] = hm_exp2_fast(fmaf(p[m][j][i], scale, -shift[i % 2]));
            }
            gather<T, D, MT, SUB>(out1, p, queries + bytes, rows);
            score_shared<T, D, MT, SUB>(ds, mine + own, rows, queries + bytes, columns);
#pragma unroll
            for (int j = 0; j < SUB / 8; j++) {
                const float less[2] = {number[16 * j + 1], number[16 * j + 3]};
#pragma unroll
                for (int m = 0; m < MT; m++)
#pragma unroll
                    for (int i = 0; i < 4; i++)
                        ds[m][j][i] = p[m][j][i] * (ds[m][j][i] - less[i % 2]);
            }
            gather<T, D, MT, SUB>(out0, ds, queries, rows);
        }
    }
#pragma unroll
    for (int m = 0; m < MT; m++) {
        put_rows<D>(dk, at.k, first + 16 * m, s.nk, out0[m], s.scale, s.scale, s.c);
        put_rows<D>(dv, at.k, first + 16 * m, s.nk, out1[m], 1, 1, s.c);
    }
}

template <typename T, int D> static hm_status run_mma_forward(const hm_call *c, const hm_attention_sizes *s) {
    const size_t shared = 4 * TILE * D * sizeof(T);
    HM_LAUNCH(c, (mma_forward<T, D>), blocks_of(s, s->nq, WARPS * 16), WARPS * 32, shared, hm_output(c, 0),
              (float *)c->out[1], (const T *)c->in[0], (const T *)c->in[1], (const T *)c->in[2], sizes_of(s));
    return HM_OK;
}

template <typename T, int D, int MT> static hm_status run_mma_back_q(const hm_call *c, const hm_attention_sizes *s) {
    const size_t shared = 4 * TILE * D * sizeof(T);
    HM_LAUNCH(c, (mma_back_q<T, D, MT>), blocks_of(s, s->nq, WARPS * 16 * MT), WARPS * 32, shared, hm_output(c, 0),
              (float *)c->work, (const T *)c->in[0], (const T *)c->in[1], (const T *)c->in[2], hm_input(c, 3),
              (const float *)c->in[4], (const T *)c->in[5], sizes_of(s));
    return HM_OK;
}

template <typename T, int D, int MT> static hm_status run_mma_back_k(const hm_call *c, const hm_attention_sizes *s) {
    const int own = WARPS * 16 * MT;
    const size_t shared = (2 * own + 4 * TILE) * D * sizeof(T) + 4 * TILE * sizeof(float);
    HM_CUDA_TRY(cudaFuncSetAttribute((mma_back_k<T, D, MT>), cudaFuncAttributeMaxDynamicSharedMemorySize, (int)shared));
    HM_LAUNCH(c, (mma_back_k<T, D, MT>), blocks_of(s, s->nk, own), WARPS * 32, shared, hm_output(c, 1), hm_output(c, 2),
              (const T *)c->in[0], (const T *)c->in[1], (const T *)c->in[2], (const float *)c->work,
              (const T *)c->in[5], sizes_of(s));
    return HM_OK;
}

/* Backward, two times 16 rows a warp read shared memory half as often; one suits few rows, and old cards' shared
 * memory. */
static bool wide(const hm_call *c, int64_t rows) {
    return rows > 128 && hm_cuda_is_at_least(c->cuda, 80);
}

template <typename T, int D> static hm_status mma_backward_of(const hm_call *c, const hm_attention_sizes *s) {
    HM_TRY((wide(c, s->nq) ? run_mma_back_q<T, D, 2>(c, s) : run_mma_back_q<T, D, 1>(c, s)));
    return wide(c, s->nk) ? run_mma_back_k<T, D, 2>(c, s) : run_mma_back_k<T, D, 1>(c, s);
}

template <typename T> static hm_status mma_sized(const hm_call *c, const hm_attention_sizes *s, bool back) {
    return s->d == 64   ? back ? mma_backward_of<T, 64>(c, s) : run_mma_forward<T, 64>(c, s)
             : s->d == 32 ? back ? mma_backward_of<T, 32>(c, s) : run_mma_forward<T, 32>(c, s)
             : back ? mma_backward_of<T, 16>(c, s)
                        : run_mma_forward<T, 16>(c, s);
}

/* Whether the operands are of one half that the device multiplies, and the head size is one of those above. */
static bool suits_mma(const hm_call *c, const hm_attention_sizes *s, bool back) {
    hm_tensor *const *const in = c->node->in;
    const hm_dtype type = in[0]->dtype, lse = back ? in[4]->dtype : c->node->out[1]->dtype;
    return hm_mma_works(c->cuda, type) && in[1]->dtype == type && in[2]->dtype == type &&
           (!back || in[5]->dtype == type) && lse == HM_F32 && (s->d == 16 || s->d == 32 || s->d == 64);
}

static hm_status run_mma(const hm_call *c, const hm_attention_sizes *s, bool back) {
    return c->node->in[0]->dtype == HM_F16 ? mma_sized<__half>(c, s, back) : mma_sized<__nv_bfloat16>(c, s, back);
}

/* ---- the ops */

hm_status attention_cuda(const hm_call *c) {
    const hm_attention_sizes s = hm_attention_sizes_of(c->node);
    if (suits_mma(c, &s, false))
        return run_mma(c, &s, false);
    return s.d > 32 ? run_forward<64>(c, &s) : run_forward<32>(c, &s);
}

hm_status attention_back_cuda(const hm_call *c) {
    const hm_attention_sizes s = hm_attention_sizes_of(c->node);
    if (suits_mma(c, &s, true))
        return run_mma(c, &s, true);
    return s.d > 32 ? run_backward<64>(c, &s) : run_backward<32>(c, &s);
}
