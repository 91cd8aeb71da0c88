/* vector.cuh: several neighbours at once of tensors whose type is known only at run time. Operands are fetched as they
 * lie in memory and unpacked later, so that all loads of a thread are under way before it waits for the first one; the
 * branches on the type are the same for all threads. N is 1, 4 or 8; the first of N neighbours must be aligned to all
 * of them (at most 16 bytes): whole tensors are, and what lies a multiple of N further. */
#ifndef HM_DEVICE_CUDA_VECTOR_CUH
#define HM_DEVICE_CUDA_VECTOR_CUH

#include "device/cuda/kernel.cuh"

/* How many neighbours make 16 bytes in the widest of these types. */
static inline int hm_width(hm_dtype a, hm_dtype b, hm_dtype c = HM_F16) {
    return a == HM_F32 || b == HM_F32 || c == HM_F32 ? 4 : 8;
}

/* Runs the statements with N = 8, 4 or 1 as `width` says. */
#define HM_BY_WIDTH(width, N, ...)                                                                                     \
    switch (width) {                                                                                                   \
    case 8: {                                                                                                          \
        constexpr int N = 8;                                                                                           \
        __VA_ARGS__;                                                                                                   \
        break;                                                                                                         \
    }                                                                                                                  \
    case 4: {                                                                                                          \
        constexpr int N = 4;                                                                                           \
        __VA_ARGS__;                                                                                                   \
        break;                                                                                                         \
    }                                                                                                                  \
    default: {                                                                                                         \
        constexpr int N = 1;                                                                                           \
        __VA_ARGS__;                                                                                                   \
    }                                                                                                                  \
    }

/* N numbers as they lie in memory: fp32 in N words, half in the first N / 2 (a single half in the lower half of one).
 */
template <int N> struct hm_words { unsigned w[N]; };

template <int N, typename U> __device__ inline hm_words<N> hm_fetch_as(const void *p, int64_t i) {
    constexpr int n = N * (int)sizeof(U) < 4 ? 1 : N * (int)sizeof(U) / 4; /* words */
    hm_words<N> r = {};
    if constexpr (N == 1) {
        r.w[0] = ((const U *)p)[i];
    } else {
        const hm_pack<unsigned, n> v = *(const hm_pack<unsigned, n> *)((const U *)p + i);
#pragma unroll
        for (int k = 0; k < n; k++)
            r.w[k] = v.x[k];
    }
    return r;
}

/* Numbers i .. i + N - 1. */
template <int N> __device__ inline hm_words<N> hm_fetch(const hm_in &t, int64_t i) {
    return t.type == HM_F32 ? hm_fetch_as<N, uint32_t>(t.p, i) : hm_fetch_as<N, uint16_t>(t.p, i);
}

__device__ inline float hm_half_bits(hm_dtype type, unsigned bits) {
    const unsigned short low = (unsigned short)bits;
    __half h;
    memcpy(&h, &low, sizeof h);
    return type == HM_BF16 ? __uint_as_float(bits << 16) : __half2float(h);
}

template <int N> __device__ inline void hm_unpack(float *x, const hm_words<N> &r, hm_dtype type) {
    if (type == HM_F32) {
#pragma unroll
        for (int k = 0; k < N; k++)
            x[k] = __uint_as_float(r.w[k]);
    } else if (type == HM_BF16) { /* one branch for all: none for each number */
#pragma unroll
        for (int k = 0; k < N; k++)
            x[k] = hm_half_bits(HM_BF16, k % 2 ? r.w[k / 2] >> 16 : r.w[k / 2] & 0xFFFFu);
    } else {
#pragma unroll
        for (int k = 0; k < N; k++)
            x[k] = hm_half_bits(HM_F16, k % 2 ? r.w[k / 2] >> 16 : r.w[k / 2] & 0xFFFFu);
    }
}

/* Both in one, for a single operand. */
template <int N> __device__ inline void hm_read(float *x, const hm_in &t, int64_t i) {
    hm_unpack<N>(x, hm_fetch<N>(t, i), t.type);
}

template <int N> __device__ inline void hm_write(const hm_out &t, int64_t i, const float *x) {
    if (t.type == HM_F32)
        hm_save<N>((float *)t.p + i, x);
    else if (t.type == HM_F16)
        hm_save<N>((__half *)t.p + i, x);
    else
        hm_save<N>((__nv_bfloat16 *)t.p + i, x);
}

#endif
