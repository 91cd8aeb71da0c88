/* cuda_move.cuh: how numbers are moved on the GPU by ops that do not look at them. Between tensors of one type they go
 * as words of 1 to 16 bytes; else as floats, one or four at a time. A kernel is a template over the mover M and counts
 * in its units: M::unit is one, get and put move one. */
#ifndef HM_OPS_CUDA_MOVE_CUH
#define HM_OPS_CUDA_MOVE_CUH

#include "ops/cuda_op.cuh"

/* Words of any integer type or pack of it. */
template <typename U> struct hm_move {
    typedef U unit;
    U *to;
    const U *from;
    static hm_move make(hm_out to, hm_in from) {
        return hm_move{(U *)to.p, (const U *)from.p};
    }
    __device__ U get(int64_t i) const {
        return from[i];
    }
    __device__ void put(int64_t i, U x) const {
        to[i] = x;
    }
};

/* N floats, rounded to the type they are stored in. */
template <int N> struct hm_move_as {
    typedef hm_pack<float, N> unit;
    hm_out to;
    hm_in from;
    static hm_move_as make(hm_out to, hm_in from) {
        return hm_move_as{to, from};
    }
    __device__ unit get(int64_t i) const {
        unit x;
        hm_load<N>(from, i * N, x.x);
        return x;
    }
    __device__ void put(int64_t i, unit x) const {
        hm_save<N>(to, i * N, x.x);
    }
};

/* Numbers of a unit: a power of two that divides `extents` (counts and offsets, joined by |) and that the addresses
 * allow. */
static inline int64_t hm_move_width(hm_out to, hm_in from, int64_t extents) {
    const int64_t size = (int64_t)hm_dtype_size(to.type), from_size = (int64_t)hm_dtype_size(from.type);
    if (to.type == from.type) {
        const int64_t any = extents * size | (int64_t)(uintptr_t)to.p | (int64_t)(uintptr_t)from.p | 16;
        return (any & -any) / size;
    }
    return (extents & 3) == 0 && (uintptr_t)to.p % (uintptr_t)(4 * size) == 0 &&
                   (uintptr_t)from.p % (uintptr_t)(4 * from_size) == 0
               ? 4
               : 1;
}

/* Runs the statements with M as the mover of `width` numbers between tensors of these types. */
#define HM_BY_MOVE(to_type, from_type, width, M, ...)                                                                  \
    switch ((to_type) != (from_type) ? -(int)(width) : (int)((width) * (int64_t)hm_dtype_size(to_type))) {             \
    case -4: {                                                                                                         \
        using M = hm_move_as<4>;                                                                                       \
        __VA_ARGS__;                                                                                                   \
        break;                                                                                                         \
    }                                                                                                                  \
    case -1: {                                                                                                         \
        using M = hm_move_as<1>;                                                                                       \
        __VA_ARGS__;                                                                                                   \
        break;                                                                                                         \
    }                                                                                                                  \
    case 1: {                                                                                                          \
        using M = hm_move<uint8_t>;                                                                                    \
        __VA_ARGS__;                                                                                                   \
        break;                                                                                                         \
    }                                                                                                                  \
    case 2: {                                                                                                          \
        using M = hm_move<uint16_t>;                                                                                   \
        __VA_ARGS__;                                                                                                   \
        break;                                                                                                         \
    }                                                                                                                  \
    case 4: {                                                                                                          \
        using M = hm_move<uint32_t>;                                                                                   \
        __VA_ARGS__;                                                                                                   \
        break;                                                                                                         \
    }                                                                                                                  \
    case 8: {                                                                                                          \
        using M = hm_move<hm_pack<uint32_t, 2>>;                                                                       \
        __VA_ARGS__;                                                                                                   \
        break;                                                                                                         \
    }                                                                                                                  \
    default: {                                                                                                         \
        using M = hm_move<hm_pack<uint32_t, 4>>;                                                                       \
        __VA_ARGS__;                                                                                                   \
    }                                                                                                                  \
    }

#endif
