/* cuda.cu: global gradient norm on the GPU; squares and sums in double. Blocks over all tensors leave partial sums,
 * which one block adds up: always in the same order. */
#include "device/cuda/batch.cuh"
#include "device/cuda/vector.cuh"
#include "ops/cuda_op.cuh"
#include "ops/grad_norm/grad_norm_attr.h"

extern "C" HM_CUDA_DECLARE(hm_grad_norm);

#define THREADS 256
#define BLOCK   HM_GRAD_NORM_CUDA_BLOCK

struct gradient {
    const void *p;
    uint64_t count : 56, type : 8;
};

/* sums[blockIdx.x]: of the squares of this block's numbers. */
static __global__ void sum_squares(double *sums, const hm_batch<gradient> b) {
    unsigned part;
    const gradient g = b.item[hm_batch_find(b, &part)];
    const hm_in x = {g.p, (hm_dtype)g.type};
    const int64_t count = (int64_t)g.count, first = (int64_t)part * BLOCK;
    const int64_t end = first + BLOCK < count ? first + BLOCK : count;
    double sum = 0;
    for (int64_t i = first + threadIdx.x * 4; i < end; i += THREADS * 4) {
        float v[4] = {};
        if (i + 4 <= end)
            hm_read<4>(v, x, i);
        else
            for (int k = 0; i + k < end; k++)
                v[k] = x[i + k];
#pragma unroll
        for (int k = 0; k < 4; k++)
            sum += (double)v[k] * (double)v[k];
    }
    sum = hm_block_sum(sum);
    if (threadIdx.x == 0)
        sums[blockIdx.x] = sum;
}

static __global__ void finish(hm_out norm, hm_out factor, hm_out overflow, const double *sums, int64_t n, hm_in state,
                              const hm_grad_norm_attr a) {
    double total = 0;
    for (int64_t i = threadIdx.x; i < n; i += blockDim.x)
        total += sums[i];
    total = hm_block_sum(total);
    if (threadIdx.x != 0)
        return;
    const double scale = state.p != NULL ? hm_loss_scale_now(&a.scale, (double)state[0]) : 1;
    const double length = sqrt(total) / scale;
    norm.put(0, (float)length);
    factor.put(0, (float)(hm_clip_factor(length, (double)a.max_norm) / scale));
    overflow.put(0, total - total == 0 ? 0.0f : 1.0f); /* squares of floats cannot overflow a double */
}

hm_status hm_grad_norm_cuda(const hm_call *c) {
    double *const sums = (double *)c->work;
    int64_t blocks = 0;
    for (int i = 1; i < c->node->n_in;) {
        hm_batch<gradient> b = {};
        for (; i < c->node->n_in && !hm_batch_full(&b); i++) {
            gradient g = {};
            g.p = c->in[i];
            g.count = (uint64_t)hm_count(c->node->in[i]);
            g.type = (uint64_t)c->node->in[i]->dtype;
            hm_batch_add(&b, g, hm_blocks(hm_count(c->node->in[i]), BLOCK));
        }
        HM_LAUNCH(c, sum_squares, b.blocks, THREADS, 0, sums + blocks, b);
        blocks += b.blocks;
    }
    HM_LAUNCH(c, finish, 1, 1024, 0, hm_output(c, 0), hm_output(c, 1), hm_output(c, 2), sums, blocks, hm_input(c, 0),
              *(const hm_grad_norm_attr *)c->node->attr);
    return HM_OK;
}
