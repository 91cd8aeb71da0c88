/* cuda.cu: change of type on the GPU, 4 or 8 neighbours a thread; several tensors at once in blocks over all of them.
 */
#include "device/cuda/batch.cuh"
#include "device/cuda/vector.cuh"
#include "ops/cuda_op.cuh"

extern "C" HM_CUDA_DECLARE(hm_cast);

#define THREADS 256
#define BLOCK   8192 /* elements of a block, where there are several tensors */

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

struct copy {
    void *to;
    const void *from;
    uint64_t count : 48, to_type : 8, from_type : 8;
};

static __global__ void cast_some(const hm_batch<copy> b) {
    unsigned part;
    const copy t = b.item[hm_batch_find(b, &part)];
    const hm_out y = {t.to, (hm_dtype)t.to_type};
    const hm_in x = {t.from, (hm_dtype)t.from_type};
    const int64_t count = (int64_t)t.count, first = (int64_t)part * BLOCK;
    const int64_t end = first + BLOCK < count ? first + BLOCK : count;
    for (int64_t i = first + threadIdx.x * 4; i < end; i += THREADS * 4)
        if (i + 4 <= end)
            cast_at<4>(y, x, i);
        else
            for (int64_t k = i; k < end; k++)
                cast_at<1>(y, x, k);
}

static hm_status cast_all(const hm_call *c) {
    const hm_node *const n = c->node;
    for (int i = 0; i < n->n_in;) {
        hm_batch<copy> b = {};
        for (; i < n->n_in && !hm_batch_full(&b); i++) {
            copy t = {};
            t.to = c->out[i];
            t.from = c->in[i];
            t.count = (uint64_t)hm_count(n->in[i]);
            t.to_type = (uint64_t)n->out[i]->dtype;
            t.from_type = (uint64_t)n->in[i]->dtype;
            hm_batch_add(&b, t, hm_blocks(hm_count(n->in[i]), BLOCK));
        }
        HM_LAUNCH(c, cast_some, b.blocks, THREADS, 0, b);
    }
    return HM_OK;
}

hm_status hm_cast_cuda(const hm_call *c) {
    if (c->node->n_in > 1)
        return cast_all(c);
    const hm_out y = hm_output(c, 0);
    const hm_in x = hm_input(c, 0);
    const int64_t count = hm_count(c->node->in[0]);
    HM_BY_WIDTH(hm_width(y.type, x.type), N,
                { HM_LAUNCH(c, cast<N>, hm_blocks(count, THREADS * N), THREADS, 0, y, x, count); });
    return HM_OK;
}
