/* batch.cuh: launches over many arrays of very different sizes, such as all parameters of a model. Each array is cut
 * into blocks of a fixed size, and a launch takes as many arrays as their table, passed by value, finds room in the
 * kernel's arguments: a captured launch keeps it. T is what a kernel wants to know of an array. */
#ifndef HM_DEVICE_CUDA_BATCH_CUH
#define HM_DEVICE_CUDA_BATCH_CUH

#include "device/cuda/kernel.cuh"

template <typename T> struct hm_batch {
    static constexpr int most = 3840 / (int)(sizeof(T) + sizeof(unsigned)); /* arguments may take 4096 bytes */
    int n;
    unsigned blocks;
    unsigned first[most]; /* block of each array */
    T item[most];
};

/* The array that block blockIdx.x belongs to; *part is the block's number in it. */
template <typename T> __device__ inline int hm_batch_find(const hm_batch<T> &b, unsigned *part) {
    int low = 0, high = b.n; /* the last one that begins at this block or before it is in low .. high - 1 */
    while (high - low > 1) {
        const int middle = (low + high) / 2;
        if (b.first[middle] <= blockIdx.x)
            low = middle;
        else
            high = middle;
    }
    *part = blockIdx.x - b.first[low];
    return low;
}

/* Appends an array of `blocks` blocks (none: no block finds it). */
template <typename T> static inline void hm_batch_add(hm_batch<T> *b, const T &item, unsigned blocks) {
    b->first[b->n] = b->blocks;
    b->item[b->n++] = item;
    b->blocks += blocks;
}
template <typename T> static inline bool hm_batch_full(const hm_batch<T> *b) {
    return b->n == hm_batch<T>::most;
}

#endif
