/* tile_product.cuh: products of matrices whose sizes only the device knows, one tile for a block: 128 x 128 results,
 * sums in fp32. Half operands of one type go through tensor cores (sm_80 and later; elsewhere their arithmetic in plain
 * code) and are copied to shared memory two steps ahead; anything else goes through fp32, read a step ahead into
 * registers. */
#ifndef HM_OPS_MASK_LOSS_TILE_PRODUCT_CUH
#define HM_OPS_MASK_LOSS_TILE_PRODUCT_CUH

#include <string.h>

#include "device/cuda/mma.cuh"
#include "ops/cuda_op.cuh"

#define TILE_M       128
#define TILE_N       128
#define TILE_THREADS 256

/* A matrix as it is stored: n_outer rows of n_inner numbers, `ld` apart; row i is row list[i] where there is a list.
 * The inner index is the one summed over, or the outer one. */
struct operand {
    const void *p;
    hm_dtype type;
    int64_t ld;
    const int *list;
    int n_outer, n_inner;
};

/* ---- tensor cores */

/* Four 8x8 matrices of half numbers; lane l gives the address of row l % 8 of matrix l / 8 and gets, of each, numbers
 * 2 (l % 4) and the next of row l / 4 (`turn`: of the transposed matrix). */
template <bool turn, typename T> static __device__ void load_matrices(uint32_t *r, const T *row) {
#ifdef HM_EMULATED
    const T *rows[32];
    memcpy(rows, hm_emulate_exchange(0xFFFFFFFFu, (uint64_t)row), sizeof rows);
    const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4 * 2;
    for (int i = 0; i < 4; i++)
        for (int e = 0; e < 2; e++)
            memcpy((T *)&r[i] + e, turn ? &rows[8 * i + t + e][g] : &rows[8 * i + g][t + e], sizeof(T));
#else
    const unsigned at = (unsigned)__cvta_generic_to_shared(row);
    if (turn)
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                     : "r"(at));
    else
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                     : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                     : "r"(at));
#endif
}

/* multiply_add: d [16, 8] += a [16, 16] b [16, 8], the operands spread over the warp as the instruction has them. */
#ifdef HM_EMULATED
template <typename T> static __device__ void multiply_add(float *d, const uint32_t *a, const uint32_t *b, T) {
    T lane[3][32][4]; /* each lane's a0 and a1, a2 and a3, b */
    const uint32_t *const mine[3] = {a, a + 2, b};
    for (int i = 0; i < 3; i++) {
        uint64_t bits;
        memcpy(&bits, mine[i], sizeof bits);
        memcpy(lane[i], hm_emulate_exchange(0xFFFFFFFFu, bits), sizeof lane[i]);
    }
    const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
    for (int k = 0; k < 16; k++)
        for (int i = 0; i < 4; i++) {
            const T x = lane[k / 8][4 * g + k % 8 / 2][i / 2 * 2 + k % 2];
            const T y = lane[2][4 * (2 * t + i % 2) + k % 8 / 2][k / 8 * 2 + k % 2];
            d[i] += hm_widen(x) * hm_widen(y);
        }
}
#elif defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
template <typename T> static __device__ void multiply_add(float *d, const uint32_t *a, const uint32_t *b, T) {
    const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
    for (int k = 0; k < 8; k++) { /* 2 terms */
        const int half = k / 4, lane = k % 4;
        const uint32_t packed[4] = {__shfl_sync(0xFFFFFFFFu, a[2 * half], 4 * g + lane),
                                    __shfl_sync(0xFFFFFFFFu, a[2 * half + 1], 4 * g + lane),
                                    __shfl_sync(0xFFFFFFFFu, b[half], 8 * t + lane),
                                    __shfl_sync(0xFFFFFFFFu, b[half], 8 * t + 4 + lane)};
        T low[2], high[2], left[2], right[2];
        memcpy(low, &packed[0], sizeof low);
        memcpy(high, &packed[1], sizeof high);
        memcpy(left, &packed[2], sizeof left);
        memcpy(right, &packed[3], sizeof right);
        for (int e = 0; e < 2; e++) {
            d[0] += hm_widen(low[e]) * hm_widen(left[e]);
            d[1] += hm_widen(low[e]) * hm_widen(right[e]);
            d[2] += hm_widen(high[e]) * hm_widen(left[e]);
            d[3] += hm_widen(high[e]) * hm_widen(right[e]);
        }
    }
}
#else
#define MULTIPLY_ADD(T, name)                                                                                          \
    static __device__ void multiply_add(float *d, const uint32_t *a, const uint32_t *b, T) {                           \
        asm volatile("mma.sync.aligned.m16n8k16.row.col.f32." name "." name                                            \
                     ".f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"                            \
                     : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])                                                  \
                     : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));                              \
    }
MULTIPLY_ADD(__half, "f16")
MULTIPLY_ADD(__nv_bfloat16, "bf16")
#undef MULTIPLY_ADD
#endif

/* ---- half operands */

#define STAGES 3 /* steps in shared memory at a time */

/* One operand's share of a step: SPAN results, 32 terms. INNER: the terms lie next to each other. */
template <typename T, int SPAN, bool INNER> struct half_side {
    static constexpr int OUTER = INNER ? SPAN : 32, ROW = INNER ? 32 : SPAN, LD = ROW + 8; /* rows on other banks */
    static constexpr int VECTORS = SPAN * 32 / 8 / TILE_THREADS, SIZE = OUTER * LD;
    const T *row[VECTORS]; /* that this thread copies from in the next step; NULL beyond the end */
    bool aligned;

    static __device__ const T *row_of(const operand &x, int outer) {
        if (outer >= x.n_outer)
            return NULL;
        return (const T *)x.p + (int64_t)(x.list != NULL ? x.list[outer] : outer) * x.ld;
    }
    /* Results from s on; the first step has the terms from k on. */
    __device__ void open(const operand &x, int s, int k) {
        aligned = x.ld % 8 == 0 && (uintptr_t)x.p % 16 == 0;
#pragma unroll
        for (int i = 0; i < VECTORS; i++)
            row[i] = row_of(x, (threadIdx.x + i * TILE_THREADS) / (ROW / 8) + (INNER ? s : k));
    }
    /* Copies the terms from k on; steps follow each other. */
    __device__ void fetch(T *shared, const operand &x, int s, int k) {
#pragma unroll
        for (int i = 0; i < VECTORS; i++) {
            const int at = threadIdx.x + i * TILE_THREADS;
            const int inner = at % (ROW / 8) * 8 + (INNER ? k : s);
            T *const to = shared + at / (ROW / 8) * LD + at % (ROW / 8) * 8;
            const bool there = row[i] != NULL && inner < x.n_inner;
            if (aligned && (!there || inner + 8 <= x.n_inner))
                hm_copy_async<16>(hm_shared_of(to), there ? row[i] + inner : (const T *)x.p, there);
            else
#pragma unroll
                for (int e = 0; e < 8; e++)
                    to[e] = there && inner + e < x.n_inner ? row[i][inner + e] : hm_narrow<T>(0);
            if (!INNER)
                row[i] = row_of(x, at / (ROW / 8) + k + 32);
        }
    }
};

/* r: 16 results x 16 terms from (s, k) on, as multiply_add takes an a, or 2 b. */
template <bool A, bool INNER, typename T>
static __device__ void load_side(uint32_t *r, const T *shared, int ld, int s, int k) {
    const int lane = threadIdx.x % 32, eight = lane / 8 % 2 * 8, sixteen = lane / 16 * 8;
    const int outer = lane % 8 + (A == INNER ? eight : sixteen), inner = A == INNER ? sixteen : eight;
    load_matrices<!INNER>(r, shared + (outer + (INNER ? s : k)) * ld + inner + (INNER ? k : s));
}

/* use(row, column, v0, v1) for the results from (m0, n0) on, two neighbours at a time, also for those beyond the
 * operands' ends; terms k0..k1-1. */
template <typename T, bool A_INNER, bool B_INNER, typename F>
static __device__ void half_product(T *shared, const operand &a, const operand &b, int m0, int n0, int k0, int k1,
                                    F use) {
    typedef half_side<T, TILE_M, A_INNER> side_a;
    typedef half_side<T, TILE_N, B_INNER> side_b;
    constexpr int SIZE = side_a::SIZE + side_b::SIZE;
    const int warp = threadIdx.x / 32, m = warp / 2 * 32, n = warp % 2 * 64; /* of this warp's 32 x 64 results */
    float sum[2][8][4] = {};
    side_a from_a;
    side_b from_b;
    from_a.open(a, m0, k0);
    from_b.open(b, n0, k0);
    __syncthreads();                 /* shared memory may still be read from the product before */
    int ahead = k0, to = 0, now = 0; /* the step to be copied, and where; the one to be multiplied */
    const auto copy = [&]() {
        if (ahead < k1) {
            from_a.fetch(shared + to * SIZE, a, m0, ahead);
            from_b.fetch(shared + to * SIZE + side_a::SIZE, b, n0, ahead);
        }
        hm_copy_batch();
        ahead += 32;
        to = to + 1 < STAGES ? to + 1 : 0;
    };
    for (int i = 0; i < STAGES - 1; i++)
        copy();
    for (int k = k0; k < k1; k += 32) {
        hm_copy_wait_batches<STAGES - 2>();
        __syncthreads(); /* this step is there for everyone, and everyone is done with the one before */
        copy();          /* over that */
        const T *const now_a = shared + now * SIZE, *const now_b = now_a + side_a::SIZE;
        now = now + 1 < STAGES ? now + 1 : 0;
#pragma unroll
        for (int step = 0; step < 32; step += 16) {
            uint32_t ra[2][4], rb[4][4];
#pragma unroll
            for (int i = 0; i < 2; i++)
                load_side<true, A_INNER>(ra[i], now_a, side_a::LD, m + 16 * i, step);
#pragma unroll
            for (int j = 0; j < 4; j++)
                load_side<false, B_INNER>(rb[j], now_b, side_b::LD, n + 16 * j, step);
#pragma unroll
            for (int i = 0; i < 2; i++)
#pragma unroll
                for (int j = 0; j < 8; j++)
                    multiply_add(sum[i][j], ra[i], rb[j / 2] + j % 2 * 2, T());
        }
    }
    const int g = threadIdx.x % 32 / 4, t = threadIdx.x % 4;
#pragma unroll
    for (int i = 0; i < 2; i++)
#pragma unroll
        for (int j = 0; j < 8; j++) {
            const int row = m0 + m + 16 * i + g, column = n0 + n + 8 * j + 2 * t;
            use(row, column, sum[i][j][0], sum[i][j][1]);
            use(row + 8, column, sum[i][j][2], sum[i][j][3]);
        }
}

/* ---- fp32 */

#define FLOAT_K 16

/* As half_side; staged with the terms outside. */
template <int SPAN, bool INNER> struct float_side {
    static constexpr int ROW = INNER ? FLOAT_K : SPAN, COUNT = SPAN * FLOAT_K / TILE_THREADS, LD = SPAN + 4;
    float v[COUNT];

    __device__ void fetch(const operand &x, int s, int k) {
#pragma unroll
        for (int i = 0; i < COUNT; i++) {
            const int at = threadIdx.x + i * TILE_THREADS;
            const int outer = at / ROW + (INNER ? s : k), inner = at % ROW + (INNER ? k : s);
            v[i] = 0;
            if (outer < x.n_outer && inner < x.n_inner)
                v[i] = hm_get(x.type, x.p, (int64_t)(x.list != NULL ? x.list[outer] : outer) * x.ld + inner);
        }
    }
    __device__ void put(float *shared) const {
#pragma unroll
        for (int i = 0; i < COUNT; i++) {
            const int at = threadIdx.x + i * TILE_THREADS;
            shared[INNER ? at % ROW * LD + at / ROW : at / ROW * LD + at % ROW] = v[i];
        }
    }
};

template <bool A_INNER, bool B_INNER, typename F>
static __device__ void float_product(float *shared, const operand &a, const operand &b, int m0, int n0, int k0, int k1,
                                     F use) {
    typedef float_side<TILE_M, A_INNER> side_a;
    typedef float_side<TILE_N, B_INNER> side_b;
    constexpr int A_SIZE = FLOAT_K * side_a::LD, SIZE = A_SIZE + FLOAT_K * side_b::LD;
    const int m = threadIdx.x / 16 * 8, n = threadIdx.x % 16 * 4; /* rows m.., columns n.. and 64 + n.. */
    float sum[8][8] = {};
    side_a next_a;
    side_b next_b;
    next_a.fetch(a, m0, k0);
    next_b.fetch(b, n0, k0);
    int turn = 0;
    __syncthreads();
    for (int k = k0; k < k1; k += FLOAT_K) {
        float *const now_a = shared + turn * SIZE, *const now_b = now_a + A_SIZE;
        next_a.put(now_a);
        next_b.put(now_b);
        __syncthreads();
        if (k + FLOAT_K < k1) {
            next_a.fetch(a, m0, k + FLOAT_K);
            next_b.fetch(b, n0, k + FLOAT_K);
        }
#pragma unroll
        for (int step = 0; step < FLOAT_K; step++) {
            float va[8], vb[8];
            hm_load<4>(now_a + step * side_a::LD + m, va);
            hm_load<4>(now_a + step * side_a::LD + m + 4, va + 4);
            hm_load<4>(now_b + step * side_b::LD + n, vb);
            hm_load<4>(now_b + step * side_b::LD + 64 + n, vb + 4);
#pragma unroll
            for (int i = 0; i < 8; i++)
#pragma unroll
                for (int j = 0; j < 8; j++)
                    sum[i][j] += va[i] * vb[j];
        }
        turn ^= 1;
    }
#pragma unroll
    for (int i = 0; i < 8; i++)
#pragma unroll
        for (int j = 0; j < 8; j += 2)
            use(m0 + m + i, n0 + n + j % 4 + (j < 4 ? 0 : 64), sum[i][j], sum[i][j + 1]);
}

/* ---- either */

/* Bytes of shared memory (aligned to 16): the steps of both operands. */
template <typename T> constexpr int tile_bytes(void) {
    return sizeof(T) == 4 ? 2 * FLOAT_K * (TILE_M + TILE_N + 8) * 4 : STAGES * 40 * (TILE_M + TILE_N) * 2;
}

/* Blocks of a kernel that should fit on a multiprocessor. */
template <typename T> constexpr int tile_blocks(void) {
    return sizeof(T) == 4 ? 1 : 2;
}

template <typename T, bool A_INNER, bool B_INNER, typename F>
static __device__ void tile_product(unsigned char *shared, const operand &a, const operand &b, int m0, int n0, int k0,
                                    int k1, F use) {
    if constexpr (sizeof(T) == 4)
        float_product<A_INNER, B_INNER>((float *)shared, a, b, m0, n0, k0, k1, use);
    else
        half_product<T, A_INNER, B_INNER>((T *)shared, a, b, m0, n0, k0, k1, use);
}

#endif
