/* mma.cuh: products on tensor cores, and what feeds them: warp-wide 16 x 8 x 16 products of halves with sums in fp32,
 * ldmatrix, asynchronous copies to shared memory, a fast 2^x. Needs sm_80, or sm_75 for fp16 (hm_mma_works). The
 * emulator has them all, after the layouts documented here (PTX ISA, "Warp Level Matrix Multiply-Accumulate"), so that
 * kernels made of them are tested as they are.
 *
 * With g = lane / 4 and t = lane % 4, and two halves in each 32-bit register (the lower one first):
 *   A [16 rows, 16 k]: a[0] row g, k 2t, 2t+1;  a[1] row g+8, same k;  a[2] row g, k 2t+8, 2t+9;  a[3] row g+8, these
 *   B [16 k, 8 columns]: b[0] k 2t, 2t+1, column g;  b[1] k 2t+8, 2t+9, column g
 *   C, D [16 rows, 8 columns]: d[0], d[1] row g, columns 2t, 2t+1;  d[2], d[3] row g+8, same columns
 * so the sums of two neighbouring tiles, rounded, are an A of a further product: hm_pair(d[0], d[1]) and
 * hm_pair(d[2], d[3]) of the first tile are a[0] and a[1], those of the second tile a[2] and a[3]. */
#ifndef HM_DEVICE_CUDA_MMA_CUH
#define HM_DEVICE_CUDA_MMA_CUH

#include "device/cuda/kernel.cuh"

/* Host: whether the device multiplies halves of this type with hm_mma. */
static inline bool hm_mma_works(const hm_cuda *d, hm_dtype type) {
    return type == HM_F16 ? hm_cuda_is_at_least(d, 75) : type == HM_BF16 && hm_cuda_is_at_least(d, 80);
}

/* ---- two halves in a register */

template <typename T> __device__ inline uint32_t hm_pair(float low, float high);
#ifdef HM_EMULATED
template <typename T> inline uint32_t hm_pair(float low, float high) {
    return hm_narrow<T>(low).bits | (uint32_t)hm_narrow<T>(high).bits << 16;
}
template <typename T> inline float hm_half_of(uint32_t pair, int i) {
    return hm_widen(T{(uint16_t)(pair >> 16 * i)});
}
#else
template <> __device__ inline uint32_t hm_pair<__half>(float low, float high) {
    const __half2 h = __floats2half2_rn(low, high);
    return *(const uint32_t *)&h;
}
template <> __device__ inline uint32_t hm_pair<__nv_bfloat16>(float low, float high) {
    const __nv_bfloat162 h = __floats2bfloat162_rn(low, high);
    return *(const uint32_t *)&h;
}
/* Number i (0 or 1) of a pair. */
template <typename T> __device__ inline float hm_half_of(uint32_t pair, int i) {
    const uint16_t bits = (uint16_t)(pair >> 16 * i);
    return hm_widen(*(const T *)&bits);
}
#endif

/* 2^x to about 2 units in the last place; results below 2^-126 are 0. */
__device__ inline float hm_exp2_fast(float x) {
#ifdef HM_EMULATED
    return exp2f(x);
#else
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
#endif
}

/* ---- products: d += a b */

#ifdef HM_EMULATED
/* One exchange for a product: fragments lie in memory, two turns of them, since a lane that is ahead may write those of
 * the next product while others still read. */
template <typename T> static inline void hm_mma(float d[4], const uint32_t a[4], uint32_t b0, uint32_t b1) {
    static float fragments[2][1024][12]; /* by thread: a[0] .. a[3], b0, b1, two numbers each */
    static unsigned char turns[1024];
    const int thread = (int)(threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z));
    const int lane = thread % 32, g = lane / 4, t = lane % 4;
    float(*const warp)[12] = fragments[turns[thread] ^= 1] + (thread - lane);
    for (int i = 0; i < 12; i++)
        warp[lane][i] = hm_half_of<T>(i < 8 ? a[i / 2] : i < 10 ? b0 : b1, i % 2);
    hm_emulate_exchange(0xFFFFFFFFu, 0);
    for (int i = 0; i < 4; i++) {
        const int row = i / 2, column = 2 * t + i % 2; /* of A: g + 8 row */
        float sum = d[i];
        for (int k = 0; k < 16; k++) /* lane t = k % 8 / 2 of a group has it */
            sum += warp[4 * g + k % 8 / 2][2 * row + k / 8 * 4 + k % 2] *
                   warp[4 * column + k % 8 / 2][8 + k / 8 * 2 + k % 2];
        d[i] = sum;
    }
}
#else
template <typename T> __device__ inline void hm_mma(float d[4], const uint32_t a[4], uint32_t b0, uint32_t b1);
template <> __device__ inline void hm_mma<__half>(float d[4], const uint32_t a[4], uint32_t b0, uint32_t b1) {
#if __CUDA_ARCH__ >= 800
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, "
        "%3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#else /* the halves of k one after the other: their registers are the same */
    asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(b0));
    asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5}, {%6}, {%0, %1, %2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[2]), "r"(a[3]), "r"(b1));
#endif
}
template <> __device__ inline void hm_mma<__nv_bfloat16>(float d[4], const uint32_t a[4], uint32_t b0, uint32_t b1) {
#if __CUDA_ARCH__ >= 800
    asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, "
        "%2, %3};"
        : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#else
    (void)d, (void)a, (void)b0, (void)b1;
    __trap(); /* hm_mma_works says no */
#endif
}
#endif

/* ---- shared memory by address */

#ifdef HM_EMULATED
typedef uintptr_t hm_shared_at;
#else
typedef uint32_t hm_shared_at;
#endif
__device__ inline hm_shared_at hm_shared_of(const void *p) {
#ifdef HM_EMULATED
    return (hm_shared_at)p;
#else
    return (hm_shared_at)__cvta_generic_to_shared(p);
#endif
}

/* Four matrices of 8 x 8 halves. Lanes 8 m .. 8 m + 7 give the addresses of the rows of matrix m, 16 bytes each and
 * 16-byte aligned. Every lane gets r[m] = row g, columns 2t, 2t+1 of matrix m; hm_ldmatrix_trans: rows 2t, 2t+1 of
 * column g. */
#ifdef HM_EMULATED
static inline void hm_ldmatrix(uint32_t r[4], hm_shared_at row) {
    const int lane = hm_emulate_lane();
    const uint64_t *const all = hm_emulate_exchange(0xFFFFFFFFu, row);
    for (int m = 0; m < 4; m++)
        r[m] = ((const uint32_t *)all[8 * m + lane / 4])[lane % 4];
}
static inline void hm_ldmatrix_trans(uint32_t r[4], hm_shared_at row) {
    const int lane = hm_emulate_lane();
    const uint64_t *const all = hm_emulate_exchange(0xFFFFFFFFu, row);
    for (int m = 0; m < 4; m++) {
        const uint64_t *const rows = all + 8 * m + 2 * (lane % 4);
        r[m] = ((const uint16_t *)rows[0])[lane / 4] | (uint32_t)((const uint16_t *)rows[1])[lane / 4] << 16;
    }
}
#else
__device__ inline void hm_ldmatrix(uint32_t r[4], hm_shared_at row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(row)
                 : "memory");
}
__device__ inline void hm_ldmatrix_trans(uint32_t r[4], hm_shared_at row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(row)
                 : "memory");
}
#endif

/* Copies N = 8 or 16 bytes (aligned to as many) to shared memory, or zeros if not `there`; they have arrived, for this
 * thread, after hm_copy_wait, and for others after a barrier behind it. Ordinary copies before sm_80. */
template <int N> __device__ inline void hm_copy_async(hm_shared_at to, const void *from, bool there) {
#ifdef HM_EMULATED
    if (there)
        memcpy((void *)to, from, N);
    else
        memset((void *)to, 0, N);
#elif __CUDA_ARCH__ >= 800
    if (N == 16) /* around the first-level cache */
        asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(there ? 16 : 0)
                     : "memory");
    else
        asm volatile("cp.async.ca.shared.global [%0], [%1], 8, %2;" ::"r"(to), "l"(from), "r"(there ? 8 : 0)
                     : "memory");
#else
    uint2 v[N / 8];
    for (int i = 0; i < N / 8; i++)
        v[i] = there ? ((const uint2 *)from)[i] : make_uint2(0, 0);
    for (int i = 0; i < N / 8; i++)
        asm volatile("st.shared.v2.u32 [%0], {%1, %2};" ::"r"(to + 8 * i), "r"(v[i].x), "r"(v[i].y) : "memory");
#endif
}
/* Closes a batch of this thread's copies (it may be empty), and waits for all batches but the `but` last ones. */
__device__ inline void hm_copy_batch(void) {
#if !defined(HM_EMULATED) && __CUDA_ARCH__ >= 800
    asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}
template <int but> __device__ inline void hm_copy_wait_batches(void) {
#if !defined(HM_EMULATED) && __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_group %0;" ::"n"(but) : "memory");
#endif
}
/* Waits for all copies of this thread. */
__device__ inline void hm_copy_wait(void) {
#if !defined(HM_EMULATED) && __CUDA_ARCH__ >= 800
    asm volatile("cp.async.wait_all;" ::: "memory");
#endif
}

#endif
