/* cuda.cu: change of type on the GPU, 4 or 8 neighbours a thread. */
#include "device/cuda/vector.cuh"
#include "ops/cuda_op.cuh"

extern "C" HM_CUDA_DECLARE(hm_cast);

#define THREADS 256

template <int N> static __device__ inline void cast_at(const hm_out &y, const hm_in &x, int64_t i) {
    float v[N];
    hm_read<N>(v, x, i);
    hm_write<N>(y, i, v);
}

template <int N> static __global__ void cast(hm_out y, hm_in x, int64_t count) {
    int64_t i = hm_first() * N;
    if (i + N <= count)
        cast_at<N>(y, x, i);
    else
        for (; i < count; i++)
            cast_at<1>(y, x, i);
}

hm_status hm_cast_cuda(const hm_call *c) {
    const hm_out y = hm_output(c, 0);
    const hm_in x = hm_input(c, 0);
    const int64_t count = hm_count(c->node->in[0]);
    HM_BY_WIDTH(hm_width(y.type, x.type), N,
                { HM_LAUNCH(c, cast<N>, hm_blocks(count, THREADS * N), THREADS, 0, y, x, count); });
    return HM_OK;
}
